/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * dit-model: the packed weights of a Wan transformer.
 */
#ifndef DIT_MODEL_H
#define DIT_MODEL_H

#include "dit-config.h"
#include "dit-linear.h"
#include "dit-tensors.h"
#include "kit-packed.h"
#include "kit-weights.h"

typedef struct
{
  DitLinear qkv, self_o;              /* [3D, D], [D, D] */
  DitLinear cross_q, kv, cross_o;     /* [D, D], [2D, D], [D, D] */
  DitLinear ff_1, ff_2;               /* [F, D] with GELU, [D, F] */
  float *table;                       /* [6, D] */
  float *norm_q, *norm_k;             /* [D], of self-attention */
  float *cross_norm_q, *cross_norm_k; /* [D] */
  float *norm_2_w, *norm_2_b;         /* [D]; NULL without cross_attn_norm */
} DitLayer;

typedef struct
{
  DitConfig config;
  SoraKitCache *cache;
  SoraKitLinear *patch, *text_1, *text_2, *time_1, *time_2, *time_proj, *out;
  float *out_table; /* [2, D] */
  DitLayer *layers;
  SoraKitPacked packed; /* where all weights are; without memory: each layer has its own */
} DitModel;

/**
 * dit_model_is_fast:
 * @config: with the job's precision
 * @weight: of a layer of a block
 * @layer: which block
 *
 * Which layers compute in 8 bits: docs/numerics.md has what each costs.
 *
 * Returns: nonzero if that one does
 */
int dit_model_is_fast (const DitConfig *config, DitTensor weight, int64_t layer);

/** dit_model_bytes: Returns: bytes that the packed weights take, within 5 %. */
uint64_t dit_model_bytes (const DitConfig *config);

/**
 * dit_model_new:
 * @config: what the tensors must fit
 * @team: takes the reason of a failure
 * @model: (out): a model without weights; %NULL on failure
 *
 * On the compute thread, as the three that follow.
 *
 * Returns: %SORA_OK or %SORA_FAILED
 */
int dit_model_new (const DitConfig *config, SoraKitTeam *team, DitModel **model);

/** dit_model_size: Returns: bytes that its weights take in one piece of memory. */
uint64_t dit_model_size (DitModel *model);

/**
 * dit_model_layout:
 * @model: a model
 * @team: takes the reason of a failure
 * @sum: (out): a checksum over the order of all packed weights
 *
 * Returns: %SORA_OK or %SORA_FAILED
 */
int dit_model_layout (DitModel *model, SoraKitTeam *team, uint64_t *sum);

/**
 * dit_model_place:
 * @model: a model without weights
 * @packed: dit_model_size() bytes, or none; the model's from here on
 *
 * All layers take their places.  If it is whole, the model has its weights; else dit_model_load() packs
 * them there.
 */
void dit_model_place (DitModel *model, const SoraKitPacked *packed);

/**
 * dit_model_load:
 * @model: a model
 * @from: the open component `transformer`, and who works
 * @piece: 0: what stands before and after the layers; 1 and on: layer @piece - 1
 *
 * Packs one piece, and gives the stored pages back after each tensor.  On the compute thread.  A
 * model is whole after all pieces; after a failure it can only be freed.
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int dit_model_load (DitModel *model, const SoraKitWeights *from, int64_t piece);

/** dit_model_free: @model: (nullable): ends it. */
void dit_model_free (DitModel *model);

#endif
