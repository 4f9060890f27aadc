/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-sampler-dpm.c: DPM-Solver++, multistep, of order 1 to 3; "DPM++ 2M" is order 2 with the
 * midpoint rule.  Source: Lu et al., "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion
 * Probabilistic Models" (data prediction, algorithm 2), and diffusers' DPMSolverMultistepScheduler
 * with use_flow_sigmas, whose rounding is followed: coefficients are f32 there, e^-h first rounded
 * and then lessened by one.
 */
#include "kit-sampler-private.h"
#include "kit-math.h"

/* Other than UniPC's, this schedule begins below sigma 1: alpha runs from 1 / num_train_timesteps.
 */
static void
dpm_schedule (SoraKitSampler *s)
{
  const double shift = s->config.flow_shift, train = (double)s->config.num_train_timesteps;
  const double step = (1 / train - 1) / s->steps;
  for (int i = 0; i < s->steps; i++)
    {
      const double alpha = i == 0 ? 1 / train : (s->steps - i) * step + 1;
      double sigma = 1.0 - alpha;
      sigma = shift * sigma / (1 + (shift - 1) * sigma);
      s->sigmas[i] = (float)sigma;
      s->timesteps[i] = (float)(int64_t)(sigma * train);
    }
  s->sigmas[s->steps] = 0;
}

/* The outputs (as x0) of the steps before. */
static int
dpm_history (const SoraKitSampler *s)
{
  return s->config.solver_order - 1;
}

static int
order_at (const SoraKitSampler *s, int i)
{
  const int few = s->config.lower_order_final && s->steps < 15;
  int order = s->config.solver_order;
  if (i == s->steps - 1) /* sigma ends at 0: a higher order has no finite result */
    order = 1;
  else if (i == s->steps - 2 && few && order > 2)
    order = 2;
  return order > i + 1 ? i + 1 : order;
}

static float
log_snr (float sigma) /* lambda = log alpha - log sigma */
{
  return (float)sora_kit_log (1.0f - sigma) - (float)sora_kit_log (sigma);
}

/* x_t = keep x - take D0 + first D1 - second D2 */
typedef struct
{
  int order;
  float keep, take, first, second;
  float r0, r1; /* lengths of the steps before, in this one's */
} Update;

static Update
make_update (const SoraKitSampler *s, int i)
{
  Update u = { .order = order_at (s, i) };
  const float sigma_t = s->sigmas[i + 1], sigma_s = s->sigmas[i];
  const float alpha_t = 1.0f - sigma_t, lambda_s = log_snr (sigma_s);
  const float h = log_snr (sigma_t) - lambda_s;
  const float fall = (float)(sora_kit_expm1 (-h) + 1.0) - 1.0f; /* e^-h - 1 */

  u.keep = sigma_t / sigma_s;
  u.take = alpha_t * fall;
  if (u.order > 1)
    {
      const float lambda_1 = log_snr (s->sigmas[i - 1]);
      u.r0 = (lambda_s - lambda_1) / h;
      if (u.order > 2)
        u.r1 = (lambda_1 - log_snr (s->sigmas[i - 2])) / h;
      u.first = u.order > 2 || s->config.dpm_heun ? alpha_t * (fall / h + 1.0f)
                                                  : -(0.5f * (alpha_t * fall));
    }
  if (u.order > 2)
    u.second = alpha_t * ((fall + h) / (h * h) - 0.5f);
  return u;
}

static float *
output_of (const SoraKitSampler *s, int i)
{
  return s->history + (size_t)(i % (s->config.solver_order - 1)) * s->n;
}

static void
dpm_step (SoraKitSampler *s, int i, const float *model_output, float *sample)
{
  const int x0_given = s->config.prediction == SORA_KIT_PREDICTION_SAMPLE;
  const float sigma = s->sigmas[i];
  const Update u = make_update (s, i);
  /* At the full order the oldest output lies in the slot of the new one: each value is read before
   * it is replaced. */
  const float *m1 = u.order > 1 ? output_of (s, i - 1) : NULL;
  const float *m2 = u.order > 2 ? output_of (s, i - 2) : NULL;
  float *fresh = s->config.solver_order > 1 ? output_of (s, i) : NULL;

  for (size_t j = 0; j < s->n; j++)
    {
      const float x0 = x0_given ? model_output[j] : sample[j] - sigma * model_output[j];
      float y = u.keep * sample[j] - u.take * x0;
      if (u.order == 2)
        y += u.first * ((1.0f / u.r0) * (x0 - m1[j]));
      else if (u.order > 2)
        {
          const float a = (1.0f / u.r0) * (x0 - m1[j]), b = (1.0f / u.r1) * (m1[j] - m2[j]);
          const float d1 = a + (u.r0 / (u.r0 + u.r1)) * (a - b);
          const float d2 = (1.0f / (u.r0 + u.r1)) * (a - b);
          y = (y + u.first * d1) - u.second * d2;
        }
      sample[j] = y;
      if (fresh != NULL)
        fresh[j] = x0;
    }
}

const SoraKitSamplerClass sora_kit_sampler_dpm
    = { "dpmpp-2m", dpm_schedule, dpm_history, dpm_step };
