/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * umt5-encoder.h: the encoder half of UMT5, in f32, on real tokens only.
 */
#pragma once

#include "kit-linear.h"

typedef struct SoraUmt5 SoraUmt5;

/**
 * SoraUmt5Config:
 *
 * What text_encoder/config.json says, each value within the range that sora_umt5_config_read()
 * names.
 */
typedef struct
{
  int64_t vocab_size, d_model, d_kv, d_ff, num_layers, num_heads;
  int64_t num_buckets, max_distance;
  double eps;
} SoraUmt5Config;

/**
 * SoraUmt5Tensor:
 * @name: as in Hugging Face's files
 * @shape: expected; @ndim of it
 *
 * One tensor of the model, in the order in which the encoder wants them.
 */
typedef struct
{
  char name[112];
  int64_t shape[2];
  int ndim;
} SoraUmt5Tensor;

/* Tensors of one layer, in this order. */
enum
{
  SORA_UMT5_Q,
  SORA_UMT5_K,
  SORA_UMT5_V,
  SORA_UMT5_O,
  SORA_UMT5_BIAS,
  SORA_UMT5_NORM_1,
  SORA_UMT5_WI_0,
  SORA_UMT5_WI_1,
  SORA_UMT5_WO,
  SORA_UMT5_NORM_2,
  SORA_UMT5_LAYER_TENSORS
};

/**
 * SoraUmt5Segment:
 * @ids: [@n], each within the vocabulary
 * @x: f32 [@n, d_model]: the hidden states, and at the end the result
 *
 * One text.  Texts do not see each other; they go through each layer one after the other, so that
 * its weights are brought in once.
 */
typedef struct
{
  const int64_t *ids;
  int64_t n;
  float *x;
} SoraUmt5Segment;

/** sora_umt5_layer_tensor: name and shape of tensor @which (an enum above) of layer @layer. */
void sora_umt5_layer_tensor (const SoraUmt5Config *config, int64_t layer, int which,
                             SoraUmt5Tensor *tensor);

/** sora_umt5_layer_bytes: Returns: bytes that one packed layer takes. */
uint64_t sora_umt5_layer_bytes (const SoraUmt5Config *config);
/** sora_umt5_work_bytes: Returns: bytes of memory that a run on at most @n tokens takes, besides
 * the weights. */
uint64_t sora_umt5_work_bytes (const SoraUmt5Config *config, int64_t n);
/** sora_umt5_flops: Returns: operations of a run on @n tokens. */
double sora_umt5_flops (const SoraUmt5Config *config, int64_t n);

/**
 * sora_umt5_bucket:
 * @distance: position of the key less that of the query
 * @num_buckets: all of them; half are for keys that come later
 * @max_distance: from here on all distances share one
 *
 * Returns: the bucket of T5's relative position bias, both directions, with the reference's f32
 * roundings (transformers, UMT5Attention._relative_position_bucket)
 */
int64_t sora_umt5_bucket (int64_t distance, int64_t num_buckets, int64_t max_distance);

/**
 * sora_umt5_new:
 * @config: checked
 * @team: takes the reason of a failure
 *
 * Returns: (nullable): an encoder without weights
 */
SoraUmt5 *sora_umt5_new (const SoraUmt5Config *config, SoraKitTeam *team);
void sora_umt5_free (SoraUmt5 *encoder);

/** sora_umt5_begin: before a run: forgets what was made for texts of other lengths, before it piles
 * up. */
void sora_umt5_begin (SoraUmt5 *encoder);

/** sora_umt5_layer_is_packed: Returns: nonzero if layer @layer has its weights. */
int sora_umt5_layer_is_packed (const SoraUmt5 *encoder, int64_t layer);

/* Who is told that a tensor of the layer was packed and will not be read again. */
typedef struct
{
  void (*packed) (void *data, int which);
  void *data;
} SoraUmt5Watch;

/**
 * sora_umt5_pack_layer:
 * @views: the tensors of layer @layer, in the order of the enum above; f32, f16 or bf16, shapes
 * checked
 * @watch: (nullable): is told of each tensor, on this thread
 *
 * Brings the weights of one layer into the order that it computes with.  Returns: a #SoraResult
 */
int sora_umt5_pack_layer (SoraUmt5 *encoder, SoraKitTeam *team, int64_t layer,
                          const SoraTensorView views[SORA_UMT5_LAYER_TENSORS],
                          const SoraUmt5Watch *watch);

/** sora_umt5_drop_layer: forgets the weights of layer @layer; the next one to be packed takes its
 * memory. */
void sora_umt5_drop_layer (SoraUmt5 *encoder, int64_t layer);

/**
 * sora_umt5_embed:
 * @table: [vocab, d_model]; only the rows of the ids are read
 *
 * The first hidden states of a segment.  Returns: a #SoraResult
 */
int sora_umt5_embed (SoraUmt5 *encoder, SoraKitTeam *team, const SoraTensorView *table,
                     SoraUmt5Segment *segment);

/**
 * sora_umt5_run_layer:
 *
 * One packed layer on one segment, in place: RMS norm, attention with the layer's own relative bias
 * and without scaling, residual; RMS norm, gated GELU (tanh), residual.  Tested to 1e-4 of the
 * largest value over whole models against transformers in f32.  Returns: a #SoraResult
 */
int sora_umt5_run_layer (SoraUmt5 *encoder, SoraKitTeam *team, int64_t layer,
                         SoraUmt5Segment *segment);

/** sora_umt5_finish: the last norm, in place, with @weight [d_model].  Returns: a #SoraResult */
int sora_umt5_finish (SoraUmt5 *encoder, SoraKitTeam *team, const SoraTensorView *weight,
                      SoraUmt5Segment *segment);
