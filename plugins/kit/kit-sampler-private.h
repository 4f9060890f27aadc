/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-sampler-private.h: what the files of the sampler share.  One file a sampler; kit-sampler.c is
 * the common part, kit-sampler-config.c reads the checkpoint's words.
 */
#pragma once

#include "kit-sampler.h"

#define SORA_KIT_SAMPLER_MAX_ORDER 3

typedef struct
{
  const char *name;
  /* Fills sigmas (steps + 1) and timesteps (steps). */
  void (*schedule) (SoraKitSampler *s);
  /* How many samples it remembers from one step to the next. */
  int (*history) (const SoraKitSampler *s);
  void (*step) (SoraKitSampler *s, int i, const float *model_output, float *sample);
} SoraKitSamplerClass;

struct SoraKitSampler
{
  const SoraKitSamplerClass *klass;
  SoraKitSamplerConfig config; /* with the overrides in it */
  int steps;
  int next; /* the step that is due; 0: none was made */
  float *timesteps;
  float *sigmas;
  size_t n;       /* values of a sample, once known */
  float *history; /* history() times n values */
};

extern const SoraKitSamplerClass sora_kit_sampler_unipc;
extern const SoraKitSamplerClass sora_kit_sampler_euler;
extern const SoraKitSamplerClass sora_kit_sampler_dpm;
extern const SoraKitSamplerClass sora_kit_sampler_dmd;
extern const SoraKitSamplerClass sora_kit_sampler_distill;

/* Checks the list of timesteps of a few-step kind, or puts the rule's own there; sets the shift.
 * Returns: 0, or -1 with @err set. */
int sora_kit_sampler_few_prepare (SoraKitSamplerConfig *config, double flow_shift, char *err,
                                  size_t err_size);
