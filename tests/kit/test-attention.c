/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Attention against softmax in f64, with and without biases, and the same bytes at one, two and
 * three threads.
 */
#include "kit-attention.h"
#include "kit-test.h"

typedef struct
{
  int64_t queries, keys, heads, dim;
  int bias, key_bias;
  float scale; /* 0: 1 / sqrt (dim) */
} Shape;

static const Shape shapes[] = {
  { 1, 1, 1, 16, 0, 0, 0 },        { 180, 180, 4, 64, 0, 0, 0 }, { 180, 41, 4, 64, 0, 1, 0 },
  { 37, 37, 6, 16, 1, 0, 1.0f },   { 65, 500, 2, 24, 0, 0, 0 },  { 501, 733, 3, 128, 0, 1, 0 },
  { 300, 300, 1, 40, 1, 1, 0.5f }, { 20, 2, 2, 24, 0, 1, 0 },
};

static void
reference (const Shape *s, float scale, const float *q, const float *k, const float *v, int64_t ld,
           const float *bias, const float *key_bias, double *out)
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
            p[j] *= (double)scale;
            if (s->bias)
              p[j] += (double)bias[(h * s->queries + i) * s->keys + j];
            if (s->key_bias)
              p[j] += (double)key_bias[j];
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

START_TEST (test_against_f64)
{
  const Shape *s = &shapes[_i];
  int64_t width = s->heads * s->dim, ld = 3 * width, n = s->queries * width;
  int64_t rows = s->queries > s->keys ? s->queries : s->keys;
  float scale = s->scale > 0 ? s->scale : 1.0f / sqrtf ((float)s->dim);
  float *qkv = kit_test_new ((size_t)(rows * ld), 1);
  /* Scores far apart, and larger with every key: the running maximum has to move.  */
  for (int64_t i = 0; i < rows * ld; i++)
    qkv[i] *= 4.0f;
  float *bias = kit_test_new ((size_t)(s->heads * s->queries * s->keys), 2);
  float *key_bias = kit_test_new ((size_t)s->keys, 3);
  for (int64_t i = 0; i < s->keys; i++)
    key_bias[i] = 6.0f * key_bias[i] + 0.01f * (float)i;
  double *want = sora_kit_alloc ((uint64_t)n, sizeof *want);
  reference (s, scale, qkv, qkv + width, qkv + 2 * width, ld, bias, key_bias, want);
  float *first = NULL;
  for (int threads = 1; threads <= 3; threads++)
    {
      SoraKitTeam team;
      sora_kit_team_init (&team, NULL, NULL, threads);
      SoraKitCache *cache = sora_kit_cache_new ();
      SoraKitKeys *keys = sora_kit_keys_new (cache, s->heads, s->dim, s->keys, &team);
      ck_assert_msg (keys != NULL, "%s", team.error);
      uint64_t told = sora_kit_keys_bytes (s->heads, s->dim, s->keys),
               is = sora_kit_keys_size (keys);
      ck_assert_msg (is <= told, "%llu bytes, told %llu", (unsigned long long)is,
                     (unsigned long long)told);
      kit_test_ok (&team, sora_kit_keys_pack (keys, &team, qkv + width, ld, qkv + 2 * width, ld));
      float *out = sora_kit_alloc ((uint64_t)n, sizeof *out);
      const SoraKitAttention a = { .queries = s->queries,
                                   .q = qkv,
                                   .ldq = ld,
                                   .out = out,
                                   .scale = scale,
                                   .bias = s->bias ? bias : NULL,
                                   .key_bias = s->key_bias ? key_bias : NULL };
      kit_test_ok (&team, sora_kit_attention (keys, &team, &a));
      double error = kit_test_error (out, want, (size_t)n);
      ck_assert_msg (error < 1e-5, "%d threads: error %g", threads, error);
      if (first == NULL)
        first = out;
      else
        {
          ck_assert_msg (memcmp (first, out, sizeof *out * (size_t)n) == 0,
                         "%d threads: other bytes", threads);
          sora_kit_free (out);
        }
      sora_kit_keys_free (keys);
      sora_kit_cache_free (cache);
    }
  sora_kit_free (first);
  sora_kit_free (want);
  sora_kit_free (qkv);
  sora_kit_free (bias);
  sora_kit_free (key_bias);
}
END_TEST

/* Keys that come in parts are packed to the bytes of all at once; parts of blocks are refused. */
START_TEST (test_parts)
{
  enum
  {
    HEADS = 2,
    DIM = 24,
    WIDTH = HEADS * DIM,
    N = 500
  };
  SoraKitTeam team;
  sora_kit_team_init (&team, NULL, NULL, 2);
  float *qkv = kit_test_new (N * 3 * WIDTH, 7), *out[2];
  for (int i = 0; i < 2; i++)
    {
      SoraKitCache *cache = sora_kit_cache_new ();
      SoraKitKeys *keys = sora_kit_keys_new (cache, HEADS, DIM, N, &team);
      int64_t block = sora_kit_keys_block (keys);
      ck_assert_int_lt (2 * block, N);
      out[i] = sora_kit_alloc (N * WIDTH, sizeof *out[i]);
      SoraKitAttention a
          = { .queries = N, .q = qkv, .ldq = 3 * WIDTH, .out = out[i], .scale = 0.2f };
      const float *k = qkv + WIDTH, *v = k + WIDTH;
      if (i == 0)
        kit_test_ok (&team, sora_kit_keys_pack (keys, &team, k, 3 * WIDTH, v, 3 * WIDTH));
      for (int64_t at = 0, n; i == 1 && at < N; at += n)
        {
          n = at == 0 ? 2 * block : N - at;
          kit_test_ok (&team, sora_kit_keys_pack_part (keys, &team, at, n, k + at * 3 * WIDTH,
                                                       3 * WIDTH, v + at * 3 * WIDTH, 3 * WIDTH));
        }
      kit_test_ok (&team, sora_kit_attention (keys, &team, &a));
      static const int64_t bad[][2] = { { 1, 0 }, { 0, -1 }, { 0, 1 }, { 0, 0 } };
      for (size_t j = 0; j < sizeof bad / sizeof *bad; j++)
        {
          SoraKitTeam other;
          sora_kit_team_init (&other, NULL, NULL, 1);
          int64_t at = bad[j][0], n = bad[j][1] != 0 ? block + bad[j][1] : j == 0 ? block : 0;
          ck_assert_int_eq (sora_kit_keys_pack_part (keys, &other, at, n, k, 0, v, 0), SORA_FAILED);
          ck_assert_ptr_nonnull (strstr (other.error, "are not whole blocks of"));
        }
      sora_kit_keys_free (keys);
      sora_kit_cache_free (cache);
    }
  ck_assert_msg (memcmp (out[0], out[1], N * WIDTH * sizeof *out[0]) == 0, "other bytes in parts");
  sora_kit_free (qkv);
  sora_kit_free (out[0]);
  sora_kit_free (out[1]);
}
END_TEST

/* One key with log (n) added stands for n equal keys. */
START_TEST (test_pad_key)
{
  enum
  {
    REAL = 9,
    PADDED = 64,
    HEADS = 2,
    DIM = 24,
    WIDTH = HEADS * DIM,
    QUERIES = 30
  };
  SoraKitTeam team;
  sora_kit_team_init (&team, NULL, NULL, 2);
  float *q = kit_test_new (QUERIES * WIDTH, 1), *k = kit_test_new (PADDED * WIDTH, 2);
  float *v = kit_test_new (PADDED * WIDTH, 3), *few = kit_test_new (QUERIES * WIDTH, 4);
  float *all = kit_test_new (QUERIES * WIDTH, 4), key_bias[REAL + 1] = { 0 };
  for (int i = REAL + 1; i < PADDED; i++)
    {
      memcpy (k + i * WIDTH, k + REAL * WIDTH, WIDTH * sizeof *k);
      memcpy (v + i * WIDTH, v + REAL * WIDTH, WIDTH * sizeof *v);
    }
  key_bias[REAL] = logf (PADDED - REAL);
  SoraKitCache *cache = sora_kit_cache_new ();
  SoraKitKeys *keys[2] = { sora_kit_keys_new (cache, HEADS, DIM, REAL + 1, &team),
                           sora_kit_keys_new (cache, HEADS, DIM, PADDED, &team) };
  SoraKitAttention a
      = { .queries = QUERIES, .q = q, .out = few, .scale = 0.2f, .key_bias = key_bias };
  kit_test_ok (&team, sora_kit_keys_pack (keys[0], &team, k, 0, v, 0));
  kit_test_ok (&team, sora_kit_keys_pack (keys[1], &team, k, 0, v, 0));
  kit_test_ok (&team, sora_kit_attention (keys[0], &team, &a));
  a.out = all;
  a.key_bias = NULL;
  kit_test_ok (&team, sora_kit_attention (keys[1], &team, &a));
  for (int i = 0; i < QUERIES * WIDTH; i++)
    ck_assert_msg (fabsf (few[i] - all[i]) < 1e-6f, "%d: %g and %g", i, (double)few[i],
                   (double)all[i]);
  sora_kit_keys_free (keys[0]);
  sora_kit_keys_free (keys[1]);
  sora_kit_cache_free (cache);
  sora_kit_free (q);
  sora_kit_free (k);
  sora_kit_free (v);
  sora_kit_free (few);
  sora_kit_free (all);
}
END_TEST

START_TEST (test_nan_is_seen)
{
  SoraKitTeam team;
  sora_kit_team_init (&team, NULL, NULL, 1);
  float *x = kit_test_new (40 * 32, 1), *out = kit_test_new (40 * 32, 2);
  x[5 * 32 + 3] = NAN;
  SoraKitCache *cache = sora_kit_cache_new ();
  SoraKitKeys *keys = sora_kit_keys_new (cache, 1, 32, 40, &team);
  kit_test_ok (&team, sora_kit_keys_pack (keys, &team, x, 0, x, 0));
  const SoraKitAttention a = { .queries = 40, .q = x, .out = out, .scale = 1.0f };
  kit_test_ok (&team, sora_kit_attention (keys, &team, &a));
  for (int i = 0; i < 40; i++)
    ck_assert_float_nan (out[i * 32]);
  sora_kit_keys_free (keys);
  sora_kit_cache_free (cache);
  sora_kit_free (x);
  sora_kit_free (out);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("attention");
  TCase *tests = tcase_create ("attention");
  tcase_set_timeout (tests, 120);
  tcase_add_loop_test (tests, test_against_f64, 0, (int)(sizeof shapes / sizeof shapes[0]));
  tcase_add_test (tests, test_parts);
  tcase_add_test (tests, test_pad_key);
  tcase_add_test (tests, test_nan_is_seen);
  suite_add_tcase (suite, tests);
  return kit_test_main (suite);
}
