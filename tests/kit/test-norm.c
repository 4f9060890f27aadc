/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Norms, gates, rotary embedding and activations against f64; conversion of stored dtypes.
 */
#include "kit-convert.h"
#include "kit-norm.h"
#include "kit-test.h"

#define TOLERANCE 2e-6

static const int widths[] = { 1, 15, 16, 48, 100, 256, 1536 };
#define ROWS 5

START_TEST (test_norms)
{
  int w = widths[_i], ldx = w + 3, ldy = w + 1;
  float *x = kit_test_new ((size_t)(ROWS * ldx), 1), *y = kit_test_new ((size_t)(ROWS * ldy), 2);
  float *weight = kit_test_new ((size_t)w, 3), *bias = kit_test_new ((size_t)w, 4),
        *dense = kit_test_new ((size_t)(ROWS * w), 5);
  double *rms = sora_kit_alloc ((uint64_t)(ROWS * w), sizeof *rms);
  double *layer = sora_kit_alloc ((uint64_t)(ROWS * w), sizeof *layer);
  for (int r = 0; r < ROWS; r++)
    {
      double mean = 0, squares = 0, var = 0;
      for (int i = 0; i < w; i++)
        {
          /* A mean far from zero shows cancellation.  */
          x[r * ldx + i] += 3.0f;
          mean += (double)x[r * ldx + i] / w;
          squares += (double)x[r * ldx + i] * (double)x[r * ldx + i] / w;
        }
      for (int i = 0; i < w; i++)
        var += pow ((double)x[r * ldx + i] - mean, 2) / w;
      for (int i = 0; i < w; i++)
        {
          rms[r * w + i] = (double)x[r * ldx + i] / sqrt (squares + 1e-6) * (double)weight[i];
          layer[r * w + i] = ((double)x[r * ldx + i] - mean) / sqrt (var + 1e-6) * (double)weight[i]
                             + (double)bias[i];
        }
    }
  sora_kit_rms_norm (x, ldx, y, ldy, ROWS, w, weight, 1e-6f);
  for (int r = 0; r < ROWS; r++)
    memcpy (dense + r * w, y + r * ldy, (size_t)w * sizeof *y);
  ck_assert_double_lt (kit_test_error (dense, rms, (size_t)(ROWS * w)), TOLERANCE);
  sora_kit_layer_norm (x, ldx, y, ldy, ROWS, w, weight, bias, 1e-6f);
  for (int r = 0; r < ROWS; r++)
    memcpy (dense + r * w, y + r * ldy, (size_t)w * sizeof *y);
  /* A width of 1 has no variance: all is the bias.  */
  ck_assert_double_lt (kit_test_error (dense, layer, (size_t)(ROWS * w)),
                       w == 1 ? 1e-3 : TOLERANCE);
  sora_kit_layer_norm (x, ldx, x, ldx, ROWS, w, weight, bias, 1e-6f);
  for (int r = 0; r < ROWS; r++)
    ck_assert_mem_eq (x + r * ldx, y + r * ldy, (size_t)w * sizeof *y);
  sora_kit_free (x);
  sora_kit_free (y);
  sora_kit_free (weight);
  sora_kit_free (bias);
  sora_kit_free (dense);
  sora_kit_free (rms);
  sora_kit_free (layer);
}
END_TEST

START_TEST (test_activations)
{
  enum
  {
    N = 1003
  };
  float *x = kit_test_new (N, 1), *y = kit_test_new (N, 2);
  double *silu = sora_kit_alloc (N, sizeof *silu);
  for (int i = 0; i < N; i++)
    {
      x[i] *= i % 3 == 0 ? 100.0f : 4.0f;
      double v = (double)x[i];
      silu[i] = v / (1 + exp (-v));
    }
  sora_kit_silu (x, y, N);
  for (int i = 0; i < N; i++)
    ck_assert_double_le (fabs ((double)y[i] - silu[i]), 1e-6 * fabs (silu[i]) + 1e-30);
  y[0] = NAN;
  sora_kit_silu (y, y, 17);
  ck_assert_float_nan (y[0]);
  sora_kit_free (x);
  sora_kit_free (y);
  sora_kit_free (silu);
}
END_TEST

START_TEST (test_rope_gate_guide)
{
  enum
  {
    T = 3,
    H = 2,
    D = 10,
    LD = 25
  };
  float *x = kit_test_new (T * LD, 1), *before = kit_test_new (T * LD, 1), c[T * D / 2],
        s[T * D / 2];
  for (int i = 0; i < T * D / 2; i++)
    {
      c[i] = cosf ((float)i);
      s[i] = sinf ((float)i);
    }
  sora_kit_rope (x, LD, T, H, D, c, s);
  for (int t = 0; t < T; t++)
    for (int h = 0; h < H; h++)
      for (int i = 0; i < D / 2; i++)
        {
          double a = (double)before[t * LD + h * D + 2 * i],
                 b = (double)before[t * LD + h * D + 2 * i + 1];
          double cosine = (double)c[t * D / 2 + i], sine = (double)s[t * D / 2 + i];
          ck_assert_double_eq_tol ((double)x[t * LD + h * D + 2 * i], a * cosine - b * sine,
                                   TOLERANCE);
          ck_assert_double_eq_tol ((double)x[t * LD + h * D + 2 * i + 1], a * sine + b * cosine,
                                   TOLERANCE);
        }
  for (int t = 0; t < T; t++)
    ck_assert_mem_eq (x + t * LD + H * D, before + t * LD + H * D, (LD - H * D) * sizeof *x);

  float a[] = { 1, 2, 3, 4 }, y[] = { 1, 1, 2, 2 };
  const float gate[] = { 0, 1, 10, -1 }, cond[] = { 3, 2, 1, 0 };
  sora_kit_gate_add (a, 4, y, 4, 1, 4, gate);
  ck_assert_mem_eq (a, ((const float[]){ 1, 3, 23, 2 }), sizeof a);
  sora_kit_gate_add (a, 4, y, 4, 1, 4, NULL);
  ck_assert_mem_eq (a, ((const float[]){ 2, 4, 25, 4 }), sizeof a);
  sora_kit_multiply (a, y, 4);
  ck_assert_mem_eq (a, ((const float[]){ 2, 4, 50, 8 }), sizeof a);
  memcpy (a, cond, sizeof a);
  sora_kit_guide (a, y, 5.0f, 4);
  ck_assert_mem_eq (a, ((const float[]){ 11, 6, -3, -8 }), sizeof a);
  sora_kit_free (x);
  sora_kit_free (before);
}
END_TEST

/* Every f16 and every bf16 number, as its definition says. */
START_TEST (test_conversion)
{
  uint16_t *half = sora_kit_alloc (65536, sizeof *half);
  float *out = sora_kit_alloc (65536, sizeof *out);
  for (int i = 0; i < 65536; i++)
    half[i] = (uint16_t)i;
  uint64_t saved = _i ? sora_kit_fp_enter () : 0;
  int result = sora_kit_to_f32 (half, SORA_F16, out, 65536);
  if (_i)
    sora_kit_fp_leave (saved);
  ck_assert_int_eq (result, SORA_OK);
  int good = 0;
  for (int i = 0; i < 65536; i++)
    {
      int e = i >> 10 & 31, m = i & 1023;
      double want = e == 31  ? (m ? (double)NAN : (double)INFINITY)
                    : e == 0 ? ldexp (m, -24)
                             : ldexp (1024 + m, e - 25);
      if (isnan (want))
        good += isnan (out[i]) != 0;
      else
        good += (double)out[i] == (i & 0x8000 ? -want : want) && !signbit (out[i]) == !(i & 0x8000);
    }
  ck_assert_int_eq (good, 65536);
  ck_assert_int_eq (sora_kit_to_f32 (half, SORA_BF16, out, 65536), SORA_OK);
  good = 0;
  for (int i = 0; i < 65536; i++)
    {
      uint32_t bits;
      memcpy (&bits, &out[i], sizeof bits);
      good += bits == (uint32_t)i << 16;
    }
  ck_assert_int_eq (good, 65536);
  ck_assert_int_eq (sora_kit_to_f32 (half, SORA_I16, out, 1), SORA_FAILED);
  sora_kit_free (half);
  sora_kit_free (out);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("norm");
  TCase *tests = tcase_create ("norm");
  tcase_add_loop_test (tests, test_norms, 0, (int)(sizeof widths / sizeof widths[0]));
  tcase_add_test (tests, test_activations);
  tcase_add_test (tests, test_rope_gate_guide);
  tcase_add_loop_test (tests, test_conversion, 0, 2);
  suite_add_tcase (suite, tests);
  return kit_test_main (suite);
}
