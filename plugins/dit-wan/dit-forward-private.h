/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Private to the forward pass: what a job has allocated, and one block of the transformer.
 *
 * Of the wide intermediate results (queries, keys and values; the feed-forward layer's hidden rows)
 * only some rows stand in memory at a time.  What stands whole is the residual, one buffer of its
 * size, and the packed keys and values of the self-attention: four times the residual.
 */
#ifndef DIT_FORWARD_PRIVATE_H
#define DIT_FORWARD_PRIVATE_H

#include "dit-forward.h"

#include "kit-attention-int8.h"

typedef struct
{
  SoraKitKeys **keys; /* of each layer */
  float *key_bias;    /* [n + 1] */
} DitTextKeys;

struct DitForward
{
  DitModel *model;
  DitGeometry geometry;
  int n_texts, running; /* texts there are, and those that are computed now */
  int batch;            /* texts in one pass: all of these, or 1 */
  int64_t chunk;      /* rows that are worked on at once; whole blocks of keys, or all */
  DitTextKeys texts[DIT_MAX_TEXTS];
  SoraKitKeys *self_keys[DIT_MAX_TEXTS];   /* of each text in a pass, or, */
  SoraKitKeys8 *self_keys8[DIT_MAX_TEXTS]; /* where it is the faster one, in 8 bits */
  float *cosines, *sines;                /* [tokens, head_dim / 2] */
  float *patches;                        /* [tokens, C·patch], also rows of the output */
  float *x;                              /* [batch · tokens, D]: the residual */
  float *h;      /* [batch · tokens, D]: its norm, then queries, then what attention gave */
  float *wide;   /* [chunk, 3 D] */
  float *hidden; /* [DIT_FF_ROWS, F] */
  SoraKitRows8 h8, hidden8; /* fast: `h` and `hidden` in 8 bits; else zeros */
  int n_times;   /* what `time` is for */
  float *time;   /* of each time: sinusoids and embeddings, freq_dim + 2 D + 6 D, then the modulation
                    of two layers: 12 D */
};

/* Rows of the feed-forward layer computed at once, so that its wide hidden rows stay in the cache.
 */
#define DIT_FF_ROWS 512

/* What follows from the times: the embedding and its projection of each, and room for the
 * modulation of two layers.  */
typedef struct
{
  const DitTimes *times;
  const float *temb, *proj; /* [n, D], [n, 6 D] */
  float *mod;               /* [n, 12 D] */
} DitMoment;

/* Norm of queries (and keys) across their heads, and rotation.  */
typedef struct
{
  float *q, *k; /* k NULL: queries alone */
  int64_t stride;
  const float *norm_q, *norm_k;
  const float *cosines, *sines; /* NULL: no rotation */
  int64_t first, tokens;        /* which row the first is, of so many of each text */
  int64_t heads, head_dim;
  float eps;
} DitTurn;

/** dit_turn_rows: for sora_kit_rows_parallel(), @data is a #DitTurn. */
void dit_turn_rows (void *data, int64_t row, int64_t count);

/**
 * dit_blocks_begin:
 * @self: its `x` is the embedded patches
 * @team: who works
 * @moment: when
 *
 * The norm before the first block.
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int dit_blocks_begin (DitForward *self, SoraKitTeam *team, const DitMoment *moment);

/**
 * dit_block_run:
 * @self: its `h` is the norm that dit_blocks_begin() or the block before left
 * @team: who works
 * @first_text: of those that are computed at once
 * @index: of the block
 * @moment: when
 *
 * One block; leaves in `h` the norm before the next one, or before the output.
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int dit_block_run (DitForward *self, SoraKitTeam *team, int first_text, int64_t index,
                   const DitMoment *moment);

#endif
