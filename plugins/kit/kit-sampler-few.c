/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-sampler-few.c: the rules of checkpoints that were distilled to a few fixed steps.  Both go to
 * x0 = x - sigma v, and differ in how they come back to the next sigma.
 *
 * `dmd` mixes fresh noise in.  Source: FastVideo at 2f3d4074, DmdDenoisingStage
 * (stages/denoising.py), pred_noise_to_pred_video() (models/utils.py) and
 * FlowMatchEulerDiscreteScheduler.add_noise().  The model is told the timestep as it stands in the
 * list; its sigma is the nearest of the training schedule's.  That schedule is shifted by 8
 * whatever the checkpoint says.
 *
 * `distill` keeps the noise that it has, which is Euler's step.  Source: lightx2v at 21ef47a4,
 * schedulers/wan/step_distill/scheduler.py, Wan22StepDistillScheduler.  Its list counts steps of
 * the schedule before the shift; the model is told the shifted timestep.
 */
#include "kit-sampler-private.h"

#include <math.h>
#include <stdio.h>

static const double dmd_steps[] = { 1000, 757, 522 };
static const double distill_steps[] = { 1000, 750, 500, 250 };

int
sora_kit_sampler_kind_is_few (SoraKitSamplerKind kind)
{
  return kind == SORA_KIT_SAMPLER_DMD || kind == SORA_KIT_SAMPLER_DISTILL;
}

int
sora_kit_sampler_few_prepare (SoraKitSamplerConfig *c, double flow_shift, char *err,
                              size_t err_size)
{
  const int dmd = c->kind == SORA_KIT_SAMPLER_DMD;
  const double *own = dmd ? dmd_steps : distill_steps;
  const double train = (double)c->num_train_timesteps;
  if (c->n_few == 0)
    {
      c->n_few = dmd ? 3 : 4;
      /* Written for the usual thousand; another schedule has them at the same places. */
      for (int i = 0; i < c->n_few; i++)
        c->few[i] = own[i] / 1000 * train;
    }
  if (c->n_few < 0 || c->n_few > SORA_KIT_SAMPLER_MAX_FEW)
    {
      snprintf (err, err_size, "%d timesteps, expected at most %d", c->n_few,
                SORA_KIT_SAMPLER_MAX_FEW);
      return -1;
    }
  for (int i = 0; i < c->n_few; i++)
    {
      const double t = c->few[i];
      if (!(t > 0 && t <= train) || (i > 0 && t >= c->few[i - 1]))
        {
          snprintf (err, err_size,
                    "timestep %d of the list is %g, expected numbers that fall from at most %g to "
                    "above 0",
                    i + 1, t, train);
          return -1;
        }
      if (!dmd && t != floor (t))
        {
          snprintf (err, err_size,
                    "timestep %d of the list is %g, expected a whole number: 'distill' counts "
                    "steps of the training schedule",
                    i + 1, t);
          return -1;
        }
    }
  c->flow_shift = flow_shift > 0 ? flow_shift : c->few_shift > 0 ? c->few_shift : dmd ? 8 : 5;
  return 0;
}

static float
shifted (float sigma, float shift, float rest)
{
  return shift * sigma / (1.0f + rest * sigma);
}

static void
dmd_schedule (SoraKitSampler *s)
{
  const float shift = (float)s->config.flow_shift, rest = (float)(s->config.flow_shift - 1);
  const float train = (float)s->config.num_train_timesteps;
  for (int i = 0; i < s->steps; i++)
    {
      const double t = (float)s->config.few[i];
      double nearest = INFINITY;
      for (int64_t k = s->config.num_train_timesteps; k >= 1; k--)
        {
          const float sigma = shifted ((float)k / train, shift, rest);
          const double distance = fabs ((double)(sigma * train) - t);
          if (distance < nearest)
            {
              nearest = distance;
              s->sigmas[i] = sigma;
            }
        }
      s->timesteps[i] = (float)t;
    }
  s->sigmas[s->steps] = 0;
}

static int
few_history (const SoraKitSampler *s)
{
  return 0;
}

/* To x0, in f64 as the reference; sora_kit_sampler_add_noise() is the other half. */
static void
dmd_step (SoraKitSampler *s, int i, const float *model_output, float *sample)
{
  const double sigma = s->sigmas[i];
  if (s->config.prediction == SORA_KIT_PREDICTION_SAMPLE)
    for (size_t j = 0; j < s->n; j++)
      sample[j] = model_output[j];
  else
    for (size_t j = 0; j < s->n; j++)
      sample[j] = (float)((double)sample[j] - sigma * (double)model_output[j]);
}

float
sora_kit_sampler_noise_share (const SoraKitSampler *s, int i)
{
  return s->config.kind == SORA_KIT_SAMPLER_DMD && i >= 0 && i < s->steps - 1 ? s->sigmas[i + 1]
                                                                              : 0;
}

void
sora_kit_sampler_add_noise (float share, const float *noise, float *sample, size_t n)
{
  for (size_t j = 0; j < n; j++)
    sample[j] = (1.0f - share) * sample[j] + share * noise[j];
}

static void
distill_schedule (SoraKitSampler *s)
{
  const float shift = (float)s->config.flow_shift, rest = (float)(s->config.flow_shift - 1);
  const int64_t train = s->config.num_train_timesteps;
  const float step = -1.0f / (float)train; /* torch.linspace counts from both ends */
  for (int i = 0; i < s->steps; i++)
    {
      const int64_t left = (int64_t)s->config.few[i], index = train - left;
      const float sigma
          = index < (train + 1) / 2 ? 1.0f + step * (float)index : 0.0f - step * (float)left;
      s->sigmas[i] = shifted (sigma, shift, rest);
      s->timesteps[i] = s->sigmas[i] * (float)train;
    }
  s->sigmas[s->steps] = 0;
}

static void
distill_step (SoraKitSampler *s, int i, const float *model_output, float *sample)
{
  const float sigma = s->sigmas[i], next = s->sigmas[i + 1];
  const int last = i == s->steps - 1;
  const int x0_given = s->config.prediction == SORA_KIT_PREDICTION_SAMPLE;
  for (size_t j = 0; j < s->n; j++)
    {
      const float v = x0_given ? (sample[j] - model_output[j]) / sigma : model_output[j];
      const float x0 = x0_given ? model_output[j] : sample[j] - sigma * v;
      sample[j] = last ? x0 : x0 + next * v;
    }
}

const SoraKitSamplerClass sora_kit_sampler_dmd = { "dmd", dmd_schedule, few_history, dmd_step };
const SoraKitSamplerClass sora_kit_sampler_distill
    = { "distill", distill_schedule, few_history, distill_step };
