/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * dit-forward: the transformer itself.  Source: diffusers 0.42.1, transformer_wan.py (Apache-2.0,
 * read and written anew); the Wan report, arXiv 2503.20314, section 4.2.
 *
 * Tolerance: 1e-5 of the largest value against diffusers in f32 (tests/kit/test-dit.c, and
 * test-dit-wan22.c with a timestep for each token), cosine 0.99999 and better.
 */
#ifndef DIT_FORWARD_H
#define DIT_FORWARD_H

#include "dit-model.h"

/* One or two texts are computed at once: with guidance, a small clip goes through as a batch of
 * two, which keeps the weights in the cache and the threads busy; a large one one after the other,
 * which keeps memory small. */
#define DIT_MAX_TEXTS 2

typedef struct
{
  const float *rows; /* f32 [n, text_dim] */
  int64_t n;
  int64_t padded; /* how many rows there would be with the zeros that the model was trained with */
} DitText;

/* At what time a token is: 0 … 1000, may have a fraction.  Tokens at one time share what follows
 * from it. */
#define DIT_MAX_TIMES 32

typedef struct
{
  float values[DIT_MAX_TIMES];
  int n;                   /* how many different ones */
  const int32_t *of_token; /* [tokens], indices of values; NULL: all tokens are at the first */
} DitTimes;

/* Who wants to know how far a pass is. */
typedef struct
{
  void (*part) (void *data, double fraction); /* after each block, on the compute thread: 0 … 1 */
  void *data;
} DitWatch;

typedef struct DitForward DitForward;

/** dit_forward_bytes: Returns: bytes that dit_forward_new() and its use take, within 15 %. */
uint64_t dit_forward_bytes (const DitConfig *config, const DitGeometry *geometry,
                            const int64_t *text_rows, int n_texts, int n_times);

/** dit_forward_flops: Returns: operations of one pass with all texts. */
double dit_forward_flops (const DitConfig *config, const DitGeometry *geometry,
                          const int64_t *text_rows, int n_texts);

/**
 * dit_forward_new:
 * @model: packed weights; must outlive it
 * @geometry: of the job
 * @texts: texts, whose keys and values are computed here, once a job
 * @n_texts: 1 or 2
 * @n_times: the most different times that tokens will have
 * @team: who works; takes the reason of a failure
 * @forward: (out): what a job needs; %NULL but with %SORA_OK
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int dit_forward_new (DitModel *model, const DitGeometry *geometry, const DitText *texts,
                     int n_texts, int n_times, SoraKitTeam *team, DitForward **forward);

/** dit_forward_free: @forward: (nullable): ends it. */
void dit_forward_free (DitForward *forward);

/**
 * dit_forward_run:
 * @forward: a job
 * @team: who works
 * @latents: f32 [C, T, H, W]
 * @n_texts: how many of the texts, from the first on: 1 or all
 * @times: when the tokens are
 * @watch: (nullable): is told after each block
 * @out: f32 [n_texts, C, T, H, W]: the model's output for each text
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int dit_forward_run (DitForward *forward, SoraKitTeam *team, const float *latents, int n_texts,
                     const DitTimes *times, const DitWatch *watch, float *out);

#endif
