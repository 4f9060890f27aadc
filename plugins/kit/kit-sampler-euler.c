/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-sampler-euler.c: Euler's method on the flow's differential equation, dx/dsigma = v.  Source:
 * diffusers' FlowMatchEulerDiscreteScheduler, as WanPipeline calls it (no sigmas of its own).
 */
#include "kit-sampler-private.h"

/* The reference bends the schedule twice: sigma_min and sigma_max of the training schedule are
 * shifted (in f32, at construction), and what is spread between them (in f64) is shifted again. Its
 * checkpoints are sampled so, and so are ours. */
static void
euler_schedule (SoraKitSampler *s)
{
  const double shift = s->config.flow_shift, train = (double)s->config.num_train_timesteps;
  const float shift32 = (float)shift, rest32 = (float)(shift - 1);
  const float first32 = 1.0f, last32 = 1.0f / (float)train;
  const float sigma_max = shift32 * first32 / (1.0f + rest32 * first32);
  const float sigma_min = shift32 * last32 / (1.0f + rest32 * last32);
  const double start = sigma_max * train, stop = sigma_min * train;

  for (int i = 0; i < s->steps; i++)
    {
      double t = start;
      if (i > 0)
        t = i == s->steps - 1 ? stop : i * ((stop - start) / (s->steps - 1)) + start;
      const double sigma = t / train;
      s->sigmas[i] = (float)(shift * sigma / (1 + (shift - 1) * sigma));
      s->timesteps[i] = s->sigmas[i] * (float)train;
    }
  s->sigmas[s->steps] = 0;
}

static int
euler_history (const SoraKitSampler *s)
{
  return 0;
}

static void
euler_step (SoraKitSampler *s, int i, const float *model_output, float *sample)
{
  const float sigma = s->sigmas[i], dt = s->sigmas[i + 1] - sigma;
  if (s->config.prediction == SORA_KIT_PREDICTION_SAMPLE)
    for (size_t j = 0; j < s->n; j++)
      sample[j] += dt * ((sample[j] - model_output[j]) / sigma);
  else
    for (size_t j = 0; j < s->n; j++)
      sample[j] += dt * model_output[j];
}

const SoraKitSamplerClass sora_kit_sampler_euler
    = { "euler", euler_schedule, euler_history, euler_step };
