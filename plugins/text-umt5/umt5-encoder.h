/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * umt5-encoder.h: the encoder half of UMT5, in f32, on real tokens only.
 */
#pragma once

#include "kit-parallel.h"

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
 * @x: f32 [@n, d_model]: where the result goes
 *
 * One text.  Texts do not see each other; their rows go through each product together, so that its
 * weights are read once.
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

/** sora_umt5_work_bytes: Returns: bytes of memory that a run takes besides the mapped weights, with
 * @rows tokens in all texts and @longest in one. */
uint64_t sora_umt5_work_bytes (const SoraUmt5Config *config, int64_t rows, int64_t longest);
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
 * Returns: (nullable): an encoder; it holds no weights
 */
SoraUmt5 *sora_umt5_new (const SoraUmt5Config *config, SoraKitTeam *team);
void sora_umt5_free (SoraUmt5 *encoder);

/**
 * sora_umt5_begin:
 * @team: no later one of this run may have more threads
 * @segments: the texts, which live until sora_umt5_end()
 * @n_segments: how many
 *
 * Before a run: takes its memory, and forgets what was made for texts of other lengths, before it
 * piles up.  Returns: a #SoraResult
 */
int sora_umt5_begin (SoraUmt5 *encoder, SoraKitTeam *team, SoraUmt5Segment *segments,
                     int n_segments);

/**
 * sora_umt5_embed:
 * @table: [vocab, d_model]; only the rows of the ids are read
 *
 * The first hidden states.  Returns: a #SoraResult
 */
int sora_umt5_embed (SoraUmt5 *encoder, SoraKitTeam *team, const SoraTensorView *table);

/* Who is told that a tensor of the layer (of the enum above) will not be read again. */
typedef struct
{
  void (*done) (void *data, int which);
  void *data;
} SoraUmt5Watch;

/**
 * sora_umt5_run_layer:
 * @views: the layer's tensors, in the order of the enum above, as they are stored: f32, f16 or bf16,
 * shapes checked
 * @watch: (nullable): is told of each large tensor, on this thread
 *
 * One layer on all texts: RMS norm, attention with the layer's own relative bias and without scaling,
 * residual; RMS norm, gated GELU (tanh), residual.  Tested to 1e-4 of the largest value over whole
 * models against transformers in f32.  Returns: a #SoraResult
 */
int sora_umt5_run_layer (SoraUmt5 *encoder, SoraKitTeam *team,
                         const SoraTensorView views[SORA_UMT5_LAYER_TENSORS],
                         const SoraUmt5Watch *watch);

/** sora_umt5_finish: the last norm, with @weight [d_model], into the segments.  Returns: a #SoraResult
 */
int sora_umt5_finish (SoraUmt5 *encoder, SoraKitTeam *team, const SoraTensorView *weight);

/** sora_umt5_end: gives the memory of a run back, wherever it stands. */
void sora_umt5_end (SoraUmt5 *encoder);
