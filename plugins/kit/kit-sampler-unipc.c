/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-sampler-unipc.c: UniPC, a predictor of order 1 to 3 and a corrector which uses the model's
 * output at the new point once more, for nothing.  Source: Zhao et al., "UniPC: A Unified
 * Predictor-Corrector Framework for Fast Sampling of Diffusion Models", algorithms 5 to 8 (data
 * prediction, multistep), and diffusers' UniPCMultistepScheduler, whose rounding is followed: all
 * coefficients are f32 there, and the phi functions cancel so much at 50 steps that f64
 * coefficients would give another picture.
 */
#include "kit-sampler-private.h"
#include "kit-math.h"

#include <math.h>

static void
unipc_schedule (SoraKitSampler *s)
{
  const double shift = s->config.flow_shift, train = (double)s->config.num_train_timesteps;
  const double step = (1 / train - 1) / s->steps;
  double sigma = 1;
  for (int i = 0; i < s->steps; i++)
    {
      sigma = i * step + 1;
      sigma = shift * sigma / (1 + (shift - 1) * sigma);
      if (i == 0 && fabs (sigma - 1) < 1e-6)
        sigma -= 1e-6; /* log (1 - sigma) has to be finite */
      s->sigmas[i] = (float)sigma;
      s->timesteps[i] = (float)(int64_t)(sigma * train);
    }
  s->sigmas[s->steps] = s->config.final_sigma_zero ? 0 : (float)sigma;
}

/* The outputs of the last `order` steps, and the sample before the last prediction. */
static int
unipc_history (const SoraKitSampler *s)
{
  return s->config.solver_order + 1;
}

/* The output (as x0) of step i lives in a ring, the last sample behind it. */
static float *
output_of (const SoraKitSampler *s, int i)
{
  return s->history + (size_t)(i % s->config.solver_order) * s->n;
}

static float *
last_sample (const SoraKitSampler *s)
{
  return s->history + (size_t)s->config.solver_order * s->n;
}

static int
order_at (const SoraKitSampler *s, int i)
{
  int order = s->config.solver_order;
  if (s->config.lower_order_final && order > s->steps - i)
    order = s->steps - i;
  return order > i + 1 ? i + 1 : order; /* the first steps have no history */
}

static float
log_snr (float sigma) /* lambda = log alpha - log sigma */
{
  return (float)sora_kit_log (1.0f - sigma) - (float)sora_kit_log (sigma);
}

/* Solves the n by n system, n <= 3, with pivoting; in f64, as only the coefficients need be f32. */
static void
solve (int n, double a[3][3], double b[3], float x[3])
{
  for (int k = 0; k < n; k++)
    {
      int p = k;
      for (int r = k + 1; r < n; r++)
        if (fabs (a[r][k]) > fabs (a[p][k]))
          p = r;
      for (int c = 0; c < n; c++)
        {
          const double t = a[k][c];
          a[k][c] = a[p][c];
          a[p][c] = t;
        }
      const double t = b[k];
      b[k] = b[p];
      b[p] = t;
      for (int r = k + 1; r < n; r++)
        {
          const double f = a[r][k] / a[k][k];
          for (int c = k; c < n; c++)
            a[r][c] -= f * a[k][c];
          b[r] -= f * b[k];
        }
    }
  double y[3];
  for (int k = n - 1; k >= 0; k--)
    {
      y[k] = b[k];
      for (int c = k + 1; c < n; c++)
        y[k] -= a[k][c] * y[c];
      y[k] /= a[k][k];
      x[k] = (float)y[k];
    }
}

/* x_t = keep x - take m0 - weight (sum_k rho[k] (m_k - m0) / rk[k] + rho_new (m_t - m0)) */
typedef struct
{
  int terms; /* differences to earlier outputs */
  float keep, take, weight;
  float rk[2], rho[2], rho_new;
} Update;

/* From the sample at `from` to `from + 1`.  The corrector (which has the output at from + 1) solves
 * for one coefficient more than the predictor. */
static Update
make_update (const SoraKitSampler *s, int from, int order, int corrector)
{
  Update u = { .terms = order - 1 };
  const float sigma_t = s->sigmas[from + 1], sigma_s = s->sigmas[from];
  const float alpha_t = 1.0f - sigma_t;
  const float lambda_s = log_snr (sigma_s), h = log_snr (sigma_t) - lambda_s;

  float rks[3];
  for (int k = 0; k < order - 1; k++)
    u.rk[k] = rks[k] = (log_snr (s->sigmas[from - 1 - k]) - lambda_s) / h;
  rks[order - 1] = 1;

  const float hh = -h;
  const float phi_1 = (float)sora_kit_expm1 (hh);
  const float b_h = s->config.solver_bh == 1 ? hh : phi_1;
  float phi_k = phi_1 / hh - 1, factorial = 1;
  double r[3][3], b[3];
  for (int k = 0; k < order; k++)
    {
      for (int c = 0; c < order; c++)
        r[k][c] = k == 0 ? 1 : k == 1 ? rks[c] : rks[c] * rks[c];
      b[k] = phi_k * factorial / b_h;
      factorial *= (float)(k + 2);
      phi_k = phi_k / hh - 1 / factorial;
    }

  float rho[3] = { 0.5f, 0, 0 };
  if (corrector && order > 1)
    solve (order, r, b, rho);
  else if (!corrector && order > 2)
    solve (order - 1, r, b, rho);
  for (int k = 0; k < order - 1; k++)
    u.rho[k] = rho[k];
  u.rho_new = corrector ? rho[order - 1] : 0;

  u.keep = sigma_t / sigma_s;
  u.take = alpha_t * phi_1;
  /* With bh1 the weight of a step to sigma 0 is infinite: a first-order step has no term that needs
   * it (the reference multiplies it with zero, and gives NaN). */
  u.weight = u.terms > 0 || corrector ? alpha_t * b_h : 0;
  return u;
}

static void
unipc_step (SoraKitSampler *s, int i, const float *model_output, float *sample)
{
  const size_t n = s->n;
  const float sigma = s->sigmas[i];
  const int x0_given = s->config.prediction == SORA_KIT_PREDICTION_SAMPLE;
  float *last = last_sample (s);
  const float *m0 = NULL, *m1 = NULL, *m2 = NULL;

  /* The slot of this step's output is free: the corrector looks back `order` outputs at most. At
   * order `solver_order` it needs the one that lies in the slot, which is why each value is read
   * before the new one is written. */
  float *fresh = output_of (s, i);
  if (i > 0)
    {
      const int order = order_at (s, i - 1);
      const Update u = make_update (s, i - 1, order, 1);
      m0 = output_of (s, i - 1);
      m1 = order > 1 ? output_of (s, i - 2) : m0;
      m2 = order > 2 ? output_of (s, i - 3) : m0;
      for (size_t j = 0; j < n; j++)
        {
          const float x0 = x0_given ? model_output[j] : sample[j] - sigma * model_output[j];
          const float m = m0[j];
          float sum = 0;
          if (u.terms > 0)
            sum = u.rho[0] * ((m1[j] - m) / u.rk[0]);
          if (u.terms > 1)
            sum += u.rho[1] * ((m2[j] - m) / u.rk[1]);
          sum += u.rho_new * (x0 - m);
          sample[j] = u.keep * last[j] - u.take * m - u.weight * sum;
          fresh[j] = x0;
        }
    }
  else
    for (size_t j = 0; j < n; j++)
      fresh[j] = x0_given ? model_output[j] : sample[j] - sigma * model_output[j];

  const int order = order_at (s, i);
  const Update u = make_update (s, i, order, 0);
  m0 = fresh;
  m1 = order > 1 ? output_of (s, i - 1) : m0;
  m2 = order > 2 ? output_of (s, i - 2) : m0;
  for (size_t j = 0; j < n; j++)
    {
      const float x = sample[j], m = m0[j];
      float y = u.keep * x - u.take * m;
      if (u.terms > 0)
        {
          float sum = u.rho[0] * ((m1[j] - m) / u.rk[0]);
          if (u.terms > 1)
            sum += u.rho[1] * ((m2[j] - m) / u.rk[1]);
          y -= u.weight * sum;
        }
      last[j] = x;
      sample[j] = y;
    }
}

const SoraKitSamplerClass sora_kit_sampler_unipc
    = { "unipc", unipc_schedule, unipc_history, unipc_step };
