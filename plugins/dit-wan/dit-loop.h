/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * dit-loop: a run of the stage, from noise to a clip; private to the loop and what saves it.
 */
#ifndef DIT_LOOP_H
#define DIT_LOOP_H

#include "dit-reuse.h"
#include "dit-stage.h"

#include "kit-rng.h"

typedef struct
{
  const SoraHost *host;
  SoraContext *ctx;
  DitInstance *instance;
  DitJob job;
  SoraTensor *texts[DIT_MAX_TEXTS], *noise; /* what was pulled */
  SoraTensor *sample;                       /* becomes the output */
  float *x;                                 /* its values */
  float *outputs;                           /* of the model: one for each text */
  size_t n;                                 /* values of the sample */
  uint64_t seed;
  DitForward *forward; /* of the expert in the instance */
  int32_t *of_token;   /* of a probe; NULL: all tokens are at one time */
  SoraKitSampler *sampler;
  DitReuse *reuse;           /* NULL: every step is computed */
  SoraKitRng *rng;           /* for fresh noise between steps; else NULL */
  uint32_t computed, reused; /* forwards so far, one for each text of a step */
  int step;                  /* the one to make */
  int expert;                /* whose `forward` is */
} DitLoop;

/**
 * dit_loop_resume:
 * @loop: is at its first step; goes to the one that a checkpoint says, if there is one of this job
 * @ctx: run, on the stage's thread
 *
 * Returns: %SORA_OK, also without a checkpoint, or another result of the host's
 */
int dit_loop_resume (DitLoop *loop, SoraContext *ctx);

/**
 * dit_loop_save:
 * @loop: has made its step
 * @ctx: run, on the stage's thread
 *
 * The sample and what sampler and reuse remember are a checkpoint: a run that begins with it gives
 * the same bytes as an undisturbed one, and counts the same forwards.
 *
 * Returns: %SORA_OK, %SORA_UNAVAILABLE where the host keeps none, or another result, told
 */
int dit_loop_save (DitLoop *loop, SoraContext *ctx);

#endif
