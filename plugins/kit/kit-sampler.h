/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-sampler.h: the loop's other half of a denoiser.  A sampler holds the schedule (timesteps,
 * sigmas) and moves the sample one step from noise to picture for each output of the model.  It is
 * read from the checkpoint's scheduler_config.json, so that a checkpoint is sampled as its authors
 * meant.
 */
#pragma once

#include "kit-config.h"

#include <stddef.h>
#include <stdint.h>

typedef enum
{
  SORA_KIT_SAMPLER_AUTO = 0, /* what the checkpoint's class says */
  SORA_KIT_SAMPLER_UNIPC = 1,
  SORA_KIT_SAMPLER_EULER = 2,
  SORA_KIT_SAMPLER_DPM = 3,
  SORA_KIT_SAMPLER_DMD = 4,     /* FastVideo's few steps */
  SORA_KIT_SAMPLER_DISTILL = 5, /* lightx2v's few steps */
} SoraKitSamplerKind;

typedef enum
{
  SORA_KIT_PREDICTION_FLOW = 0,   /* the model gives v = noise - x0 */
  SORA_KIT_PREDICTION_SAMPLE = 1, /* the model gives x0 */
} SoraKitPrediction;

#define SORA_KIT_SAMPLER_MAX_FEW 64

/* What a scheduler_config.json says, checked.  Fields of the class that it does not name stand at
 * what Wan's checkpoints use, for the case that the user overrides the kind. */
typedef struct
{
  SoraKitSamplerKind kind; /* of the file's class; the caller may put another */
  SoraKitPrediction prediction;
  int64_t num_train_timesteps; /* 2..1,000,000 */
  double flow_shift;           /* up to 1000, above 0 */
  int solver_order;            /* 1..3 */
  int solver_bh;               /* 1 or 2: B(h) = h or e^h - 1 */
  int lower_order_final;       /* boolean */
  int final_sigma_zero;        /* boolean: the last sigma is 0, else sigma_min */
  int dpm_heun;                /* boolean: DPM++ of order 2 by Heun's rule, else midpoint */
  /* For DMD and DISTILL alone: their timesteps, falling, and their shift.  0 of them, and a shift
   * of 0, stand for the rule's own; a file of the class WanStepDistillScheduler names them. */
  double few[SORA_KIT_SAMPLER_MAX_FEW];
  int n_few;
  double few_shift;
} SoraKitSamplerConfig;

typedef struct SoraKitSampler SoraKitSampler;

#define SORA_KIT_SAMPLER_MAX_STEPS 10000

/**
 * sora_kit_sampler_config_read:
 * @file: a scheduler_config.json
 * @config: (out): what it says
 *
 * Takes the classes UniPCMultistepScheduler, FlowMatchEulerDiscreteScheduler,
 * DPMSolverMultistepScheduler and WanStepDistillScheduler (a list of steps, `denoising_step_list`,
 * and `sample_shift`, by lightx2v's names).  An option that would change the numbers and is not
 * implemented here is refused by its name; so is an option that this version does not know, unless
 * it is null, false or empty.  An error is kept in @file.
 */
void sora_kit_sampler_config_read (SoraKitConfig *file, SoraKitSamplerConfig *config);

/**
 * sora_kit_sampler_kind_from_name:
 * @name: "auto", "unipc", "euler", "dpmpp-2m", "dmd" or "distill"
 *
 * Returns: the #SoraKitSamplerKind, or -1
 */
int sora_kit_sampler_kind_from_name (const char *name);

/**
 * sora_kit_sampler_kind_is_few:
 *
 * Returns: whether the kind has its steps in a list, and takes no guidance
 */
int sora_kit_sampler_kind_is_few (SoraKitSamplerKind kind);

/**
 * sora_kit_sampler_new:
 * @config: from sora_kit_sampler_config_read()
 * @kind: overrides the checkpoint's class, unless it is AUTO
 * @flow_shift: overrides the checkpoint's, unless it is 0; few-step kinds have their own (8 and 5)
 * where @config has no `few_shift`, as their checkpoints carry the scheduler of the model that they
 * were made from
 * @steps: 1..#SORA_KIT_SAMPLER_MAX_STEPS; few-step kinds have as many as their list
 * @err: (out): why not
 * @err_size: room in @err
 *
 * The schedule is computed in the reference's types (sigmas in f64, rounded to f32), as
 * WanPipeline's `scheduler.set_timesteps(steps)` does.  Source: diffusers 0.42.1,
 * scheduling_unipc_multistep.py, scheduling_flow_match_euler_discrete.py and
 * scheduling_dpmsolver_multistep.py; of the few-step kinds see kit-sampler-few.c.
 *
 * Returns: a sampler to be freed with sora_kit_sampler_free(), or %NULL with @err set
 */
SoraKitSampler *sora_kit_sampler_new (const SoraKitSamplerConfig *config, SoraKitSamplerKind kind,
                                      double flow_shift, int steps, char *err, size_t err_size);
void sora_kit_sampler_free (SoraKitSampler *sampler);

/** sora_kit_sampler_get_steps: Returns: how many steps there are */
int sora_kit_sampler_get_steps (const SoraKitSampler *sampler);

/** sora_kit_sampler_get_name: Returns: a name that sora_kit_sampler_kind_from_name() knows */
const char *sora_kit_sampler_get_name (const SoraKitSampler *sampler);

/**
 * sora_kit_sampler_get_timesteps:
 *
 * Returns: (array length=steps): what the model is told, falling from about num_train_timesteps;
 * whole numbers for UniPC and DPM++ (the references truncate them), not for Euler and `distill`
 */
const float *sora_kit_sampler_get_timesteps (const SoraKitSampler *sampler);

/**
 * sora_kit_sampler_get_sigmas:
 *
 * Returns: (array length=steps+1): the noise's share before each step, and after the last
 */
const float *sora_kit_sampler_get_sigmas (const SoraKitSampler *sampler);

/**
 * sora_kit_sampler_step:
 * @sampler: a sampler
 * @i: which step; 0, 1, 2 ... in this order.  0 begins a new sample
 * @model_output: what the model gave for @sample at timestep @i; f32, @n values, any layout
 * @sample: (inout): replaced by the sample of the next step
 * @n: the same in all steps
 *
 * Within 1e-5 relative of the reference, tested step by step.  Works on the caller's thread; memory
 * bound, about 1 ns a value.
 *
 * Returns: 0; -1 when memory is short or @i is out of turn
 */
int sora_kit_sampler_step (SoraKitSampler *sampler, int i, const float *model_output, float *sample,
                           size_t n);

/**
 * sora_kit_sampler_noise_share:
 * @i: the step that was made
 *
 * Returns: with DMD, the noise's share in the next sample: sora_kit_sampler_step() gave x0, and
 * sora_kit_sampler_add_noise() has to follow.  0 after the last step, and with all other kinds
 */
float sora_kit_sampler_noise_share (const SoraKitSampler *sampler, int i);

/**
 * sora_kit_sampler_add_noise:
 * @share: from sora_kit_sampler_noise_share()
 * @noise: @n fresh normals
 * @sample: (inout): x0, replaced by (1 - @share) x0 + @share noise.  It may be done in parts, if
 * the noise has another layout
 * @n: how many values
 */
void sora_kit_sampler_add_noise (float share, const float *noise, float *sample, size_t n);

/**
 * sora_kit_sampler_state_size:
 * @n: values of a sample
 *
 * Returns: bytes that sora_kit_sampler_state_save() writes; the same at every step.  It is also
 * what the sampler holds in memory while it runs.
 */
size_t sora_kit_sampler_state_size (const SoraKitSampler *sampler, size_t n);

/**
 * sora_kit_sampler_state_save:
 * @state: (out): what the sampler remembers between two steps, for a checkpoint.  The sample itself
 * is the caller's to save
 *
 * Returns: 0; -1 when no step was made yet, or not with this @n
 */
int sora_kit_sampler_state_save (const SoraKitSampler *sampler, void *state, size_t n);

/**
 * sora_kit_sampler_state_load:
 * @next: the step to be made next, 1..steps
 * @state: from sora_kit_sampler_state_save() of a sampler made in the same way
 *
 * The steps that follow give the same bytes as an undisturbed run's.
 *
 * Returns: 0; -1 when memory is short or @next is out of range
 */
int sora_kit_sampler_state_load (SoraKitSampler *sampler, int next, const void *state, size_t n);
