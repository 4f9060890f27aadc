/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * dit-tensors: which tensors a Wan transformer has, by diffusers' names, and their shapes.  One
 * table; other spellings of the names become another column.
 */
#ifndef DIT_TENSORS_H
#define DIT_TENSORS_H

#include "dit-config.h"

/* Tensors of the whole, then of each layer. */
typedef enum
{
  DIT_PATCH_W,
  DIT_PATCH_B,
  DIT_TEXT_1_W,
  DIT_TEXT_1_B,
  DIT_TEXT_2_W,
  DIT_TEXT_2_B,
  DIT_TIME_1_W,
  DIT_TIME_1_B,
  DIT_TIME_2_W,
  DIT_TIME_2_B,
  DIT_TIME_PROJ_W,
  DIT_TIME_PROJ_B,
  DIT_OUT_TABLE,
  DIT_OUT_W,
  DIT_OUT_B,
  DIT_N_GLOBAL,
  DIT_TABLE = DIT_N_GLOBAL,
  DIT_SELF_Q_W,
  DIT_SELF_Q_B,
  DIT_SELF_K_W,
  DIT_SELF_K_B,
  DIT_SELF_V_W,
  DIT_SELF_V_B,
  DIT_SELF_O_W,
  DIT_SELF_O_B,
  DIT_SELF_NORM_Q,
  DIT_SELF_NORM_K,
  DIT_CROSS_Q_W,
  DIT_CROSS_Q_B,
  DIT_CROSS_K_W,
  DIT_CROSS_K_B,
  DIT_CROSS_V_W,
  DIT_CROSS_V_B,
  DIT_CROSS_O_W,
  DIT_CROSS_O_B,
  DIT_CROSS_NORM_Q,
  DIT_CROSS_NORM_K,
  DIT_FF_1_W,
  DIT_FF_1_B,
  DIT_FF_2_W,
  DIT_FF_2_B,
  DIT_NORM_2_W, /* these two only with cross_attn_norm: keep them last */
  DIT_NORM_2_B,
  DIT_N_TENSORS,
} DitTensor;

#define DIT_NAME_SIZE 96
#define DIT_MAX_RANK 5

/** dit_tensor_name: writes the name of @tensor (of @layer, for those of layers) to @name.  Returns:
 * @name. */
const char *dit_tensor_name (DitTensor tensor, int64_t layer, char name[DIT_NAME_SIZE]);

/** dit_tensor_shape: writes the extents to @shape.  Returns: the rank. */
int dit_tensor_shape (DitTensor tensor, const DitConfig *config, int64_t shape[DIT_MAX_RANK]);

/** dit_tensors_end: Returns: the end of the layer's tensors, which begin at %DIT_N_GLOBAL. */
DitTensor dit_tensors_end (const DitConfig *config);

/**
 * dit_tensors_check:
 * @host: the host
 * @ctx: infer
 * @config: of the model
 * @stored_bytes: (out): bytes of all tensors as stored
 *
 * Looks at the headers of the model's files: every tensor has to be there, in its shape, as f32,
 * f16 or bf16.
 *
 * Returns: %SORA_OK, or another result, told to the host with the names
 */
int dit_tensors_check (const SoraHost *host, SoraContext *ctx, const DitConfig *config,
                       uint64_t *stored_bytes);

/** dit_tensors_known: Returns: nonzero if a tensor of that name is part of such a transformer, or
 * of no consequence. */
int dit_tensors_known (const DitConfig *config, const char *name);

#endif
