/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Attention in 8 bits against softmax in f64; the same bytes at one, two and three threads, with
 * keys in parts, and with plain C in place of AVX-512 VNNI.
 */
#include "kit-attention-int8.h"
#include "kit-gemm-int8.h"
#include "kit-test.h"
#include "kit-vector.h"

#include <stdio.h>

typedef struct
{
  int64_t queries, keys, heads, dim;
  int key_bias, outliers;
  float sharp; /* queries and keys are multiplied by it */
  double cosine;
} Shape;

/* docs/numerics.md */
static const Shape shapes[] = {
  { 1, 1, 1, 16, 0, 0, 1, 0.99999 },     { 180, 180, 4, 64, 0, 0, 1, 0.999 },
  { 37, 37, 6, 16, 0, 0, 1, 0.999 },     { 65, 501, 2, 24, 1, 0, 1, 0.999 },
  { 301, 733, 3, 128, 0, 0, 1, 0.999 },  { 241, 512, 2, 128, 1, 0, 1, 0.999 },
  { 64, 777, 2, 128, 0, 1, 1, 0.999 },   { 64, 777, 2, 128, 0, 0, 2.5f, 0.999 },
  { 33, 300, 1, 42, 1, 1, 1, 0.999 },    { 64, 2049, 1, 128, 0, 0, 1, 0.999 },
  { 5, 257, 1, 512, 0, 0, 0.7f, 0.999 },
};

/* Sums of four uniform numbers: about normal, of variance 1. */
static float *
normal (size_t n, uint64_t seed)
{
  float *x = kit_test_new (n, seed), *y = kit_test_new (n, seed + 1000);
  for (size_t i = 0; i < n; i++)
    x[i] = 1.2247449f * (x[i] + y[i]);
  sora_kit_free (y);
  return x;
}

static void
reference (const Shape *s, float scale, const float *q, const float *k, const float *v, int64_t ld,
           const float *key_bias, double *out)
{
  double *p = sora_kit_alloc ((uint64_t)s->keys, sizeof *p);
  for (int64_t h = 0; h < s->heads; h++)
    for (int64_t i = 0; i < s->queries; i++)
      {
        double most = -INFINITY, sum = 0;
        for (int64_t j = 0; j < s->keys; j++)
          {
            p[j] = 0;
            for (int64_t l = 0; l < s->dim; l++)
              p[j] += (double)q[i * ld + h * s->dim + l] * (double)k[j * ld + h * s->dim + l];
            p[j] = p[j] * (double)scale + (s->key_bias ? (double)key_bias[j] : 0);
            most = fmax (most, p[j]);
          }
        for (int64_t j = 0; j < s->keys; j++)
          sum += p[j] = exp (p[j] - most);
        for (int64_t l = 0; l < s->dim; l++)
          {
            double o = 0;
            for (int64_t j = 0; j < s->keys; j++)
              o += p[j] * (double)v[j * ld + h * s->dim + l];
            out[(i * s->heads + h) * s->dim + l] = o / sum;
          }
      }
  sora_kit_free (p);
}

static double
cosine (const float *a, const double *b, int64_t n)
{
  double ab = 0, aa = 0, bb = 0;
  for (int64_t i = 0; i < n; i++)
    {
      ab += (double)a[i] * b[i];
      aa += (double)a[i] * (double)a[i];
      bb += b[i] * b[i];
    }
  return ab / sqrt (aa * bb);
}

/* @parts: keys of a part, a multiple of a block; 0: all at once */
static float *
attend (const Shape *s, const float *qkv, const float *key_bias, int threads, int64_t parts)
{
  const int64_t width = s->heads * s->dim, ld = 3 * width;
  SoraKitTeam team;
  sora_kit_team_init (&team, NULL, NULL, threads);
  SoraKitCache *cache = sora_kit_cache_new ();
  SoraKitKeys8 *keys = sora_kit_keys8_new (cache, s->heads, s->dim, s->keys, &team);
  ck_assert_msg (keys != NULL, "%s", team.error);
  parts = parts > 0 ? parts : s->keys;
  for (int64_t at = 0; at < s->keys; at += parts)
    kit_test_ok (
        &team, sora_kit_keys8_pack_part (keys, &team, at, sora_kit_min (parts, s->keys - at),
                                         qkv + width + at * ld, ld, qkv + 2 * width + at * ld, ld));
  float *out = sora_kit_alloc ((uint64_t)(s->queries * width), sizeof *out);
  const SoraKitAttention a = { .queries = s->queries,
                               .q = qkv,
                               .ldq = ld,
                               .out = out,
                               .scale = 1.0f / sqrtf ((float)s->dim),
                               .key_bias = s->key_bias ? key_bias : NULL };
  kit_test_ok (&team, sora_kit_attention8 (keys, &team, &a));
  sora_kit_keys8_free (keys);
  sora_kit_cache_free (cache);
  return out;
}

START_TEST (test_against_f64)
{
  const Shape *s = &shapes[_i];
  const int64_t width = s->heads * s->dim, ld = 3 * width, n = s->queries * width;
  const int64_t rows = s->queries > s->keys ? s->queries : s->keys;
  float *qkv = normal ((size_t)(rows * ld), 1), *key_bias = kit_test_new ((size_t)s->keys, 3);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < width; j++)
      {
        qkv[i * ld + j] *= s->sharp;
        qkv[i * ld + width + j] *= s->sharp;
        /* Whole channels of keys far from zero, as models have them; and of values. */
        if (s->outliers && j % 16 == 3)
          qkv[i * ld + width + j] += 40.0f;
        if (s->outliers && j % 16 == 5)
          qkv[i * ld + 2 * width + j] -= 20.0f;
      }
  double *want = sora_kit_alloc ((uint64_t)n, sizeof *want);
  reference (s, 1.0f / sqrtf ((float)s->dim), qkv, qkv + width, qkv + 2 * width, ld, key_bias,
             want);
  float *first = attend (s, qkv, key_bias, 1, 0);
  const double is = cosine (first, want, n);
  if (getenv ("SORA_TEST_LOG") != NULL)
    fprintf (stderr, "shape %d: 1 - cosine %.3g, error %.3g\n", _i, 1 - is,
             kit_test_error (first, want, (size_t)n));
  ck_assert_msg (is >= s->cosine, "cosine %.7f", is);
  for (int other = 0; other < 4; other++)
    {
      /* Two and three threads; parts; plain C. */
      if (other == 3)
        ck_assert_int_eq (sora_kit_gemm_int8_use ("generic"), 0);
      float *out = attend (s, qkv, key_bias, other < 2 ? 2 + other : 1,
                           other == 2 ? SORA_KIT_KEYS8_BLOCK : 0);
      sora_kit_gemm_int8_use (NULL);
      ck_assert_msg (memcmp (first, out, sizeof *out * (size_t)n) == 0, "other bytes, way %d",
                     other);
      sora_kit_free (out);
    }
  sora_kit_free (first);
  sora_kit_free (want);
  sora_kit_free (qkv);
  sora_kit_free (key_bias);
}
END_TEST

/* Without taking the mean away, channels that are far from zero would leave few bits to the rest:
 * the error of keys with outliers is that of keys without. */
START_TEST (test_outliers_cost_nothing)
{
  Shape s = { 64, 600, 1, 64, 0, 0, 1, 0 };
  const int64_t ld = 3 * s.dim, n = s.queries * s.dim;
  double is[2], *want = sora_kit_alloc ((uint64_t)n, sizeof *want);
  for (int far = 0; far < 2; far++)
    {
      float *qkv = normal ((size_t)(s.keys * ld), 5);
      for (int64_t i = 0; far && i < s.keys; i++)
        for (int64_t j = 0; j < s.dim; j += 8)
          qkv[i * ld + s.dim + j] += 100.0f;
      reference (&s, 0.125f, qkv, qkv + s.dim, qkv + 2 * s.dim, ld, NULL, want);
      float *out = attend (&s, qkv, NULL, 1, 0);
      is[far] = 1 - cosine (out, want, n);
      sora_kit_free (out);
      sora_kit_free (qkv);
    }
  ck_assert_msg (is[1] < 1.5 * is[0], "%g with outliers, %g without", is[1], is[0]);
  sora_kit_free (want);
}
END_TEST

START_TEST (test_exp2)
{
  double worst = 0;
  for (int i = 0; i < 2000000; i++)
    {
      SoraKitV v;
      for (int lane = 0; lane < SORA_KIT_LANES; lane++)
        v[lane] = -126.0f + 253.0f * (float)i / 2000000 + 1e-6f * (float)lane;
      SoraKitV x = v;
      sora_kit_v_exp2 (&v);
      const int lane = i % SORA_KIT_LANES;
      worst = kit_test_worst (worst, fabs ((double)v[lane] / exp2 ((double)x[lane]) - 1));
    }
  ck_assert_msg (worst < 3.5e-6, "error %g", worst);
  ck_assert_msg (worst > 1e-6, "error %g: the documentation could promise more", worst);
  SoraKitV v = { 0, -1, 1, -126, -127, -1000, -3e38f, -INFINITY };
  sora_kit_v_exp2 (&v);
  const float want[] = { 1, 0.5f, 2, 0x1p-126f, 0x1p-126f, 0x1p-126f, 0x1p-126f, 0x1p-126f };
  for (int i = 0; i < 8; i++)
    ck_assert_msg (v[i] == want[i], "%d: %g", i, (double)v[i]);
}
END_TEST

/* What is no number in queries, keys or values comes out, where it reaches. */
START_TEST (test_nan_is_seen)
{
  enum
  {
    N = 300,
    DIM = 32,
    LD = 3 * DIM
  };
  static const float bad[] = { NAN, INFINITY };
  const Shape s = { N, N, 1, DIM, 0, 0, 1, 0 };
  for (int what = 0; what < 3; what++)
    for (int b = 0; b < 2; b++)
      {
        float *qkv = normal (N * LD, 9);
        qkv[270 * LD + what * DIM + 3] = bad[b];
        float *out = attend (&s, qkv, NULL, 1, 0);
        for (int i = 0; i < N; i++)
          for (int j = 0; j < DIM; j++)
            ck_assert_msg (isnan (out[i * DIM + j])
                               == (what == 0   ? i == 270
                                   : what == 1 ? 1
                                               : j == 3),
                           "%d, %g: [%d, %d] is %g", what, (double)bad[b], i, j,
                           (double)out[i * DIM + j]);
        sora_kit_free (out);
        sora_kit_free (qkv);
      }
}
END_TEST

START_TEST (test_refused)
{
  SoraKitTeam team;
  SoraKitCache *cache = sora_kit_cache_new ();
  float x[64] = { 0 };
  sora_kit_team_init (&team, NULL, NULL, 1);
  ck_assert_ptr_null (sora_kit_keys8_new (cache, 1, 513, 4, &team));
  ck_assert_ptr_nonnull (strstr (team.error, "1 heads of 513 over 4 keys"));
  static const int64_t bad[][2] = { { 1, 256 }, { 0, 255 }, { 0, 257 }, { 256, 245 }, { 0, 0 } };
  SoraKitKeys8 *keys = sora_kit_keys8_new (cache, 1, 16, 500, &team);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    {
      sora_kit_team_init (&team, NULL, NULL, 1);
      ck_assert_int_eq (sora_kit_keys8_pack_part (keys, &team, bad[i][0], bad[i][1], x, 0, x, 0),
                        SORA_FAILED);
      ck_assert_ptr_nonnull (strstr (team.error, "are not whole blocks of 256"));
    }
  sora_kit_team_init (&team, NULL, NULL, 1);
  const SoraKitAttention a = { .queries = 1, .q = x, .out = x, .scale = 1, .bias = x };
  ck_assert_int_eq (sora_kit_attention8 (keys, &team, &a), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (team.error, "expected none"));
  sora_kit_keys8_free (keys);
  sora_kit_cache_free (cache);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("attention-int8");
  TCase *tests = tcase_create ("attention-int8");
  tcase_set_timeout (tests, 300);
  tcase_add_loop_test (tests, test_against_f64, 0, (int)(sizeof shapes / sizeof shapes[0]));
  tcase_add_test (tests, test_outliers_cost_nothing);
  tcase_add_test (tests, test_exp2);
  tcase_add_test (tests, test_nan_is_seen);
  tcase_add_test (tests, test_refused);
  suite_add_tcase (suite, tests);
  return kit_test_main (suite);
}
