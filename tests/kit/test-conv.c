/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * test-conv.c: the convolutions and the small product behind them, against sums in f64; and the
 * promise that the bytes do not depend on the number of threads.
 */
#include "kit-test.h"
#include "plugins/kit/kit-conv.h"
#include "plugins/kit/kit-memory.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t random_state = 88172645463325252ULL;

static float
uniform (void) /* xorshift, -1 to 1 */
{
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (float)((int32_t)(random_state >> 32)) * 0x1p-31f;
}

static float *
random_array (int64_t n)
{
  float *values = sora_kit_alloc ((uint64_t)n, sizeof *values);
  for (int64_t i = 0; i < n; i++)
    values[i] = uniform ();
  return values;
}

/* A frame [h, w, pad16 (c)] with its padding zero. */
static float *
random_frame (int64_t h, int64_t w, int64_t c)
{
  const int64_t cp = sora_kit_pad16 (c);
  float *frame = sora_kit_alloc0 ((uint64_t)(h * w * cp), sizeof *frame);
  for (int64_t i = 0; i < h * w; i++)
    for (int64_t j = 0; j < c; j++)
      frame[i * cp + j] = uniform ();
  return frame;
}

static const struct
{
  int64_t m, n, k;
  int parts;
} products[] = {
  { 1, 16, 1, 1 },   { 3, 16, 16, 1 },  { 14, 16, 5, 2 },  { 37, 32, 16, 3 },
  { 13, 48, 48, 1 }, { 31, 64, 32, 3 }, { 9, 80, 16, 1 },  { 7, 96, 64, 2 },
  { 5, 112, 16, 3 }, { 6, 128, 16, 1 }, { 2, 192, 48, 1 }, { 65, 208, 33, 3 },
};

static const char *const isas[] = { "avx512", "avx2", "generic" };

static void
check_gemm (int which)
{
  const int64_t m = products[which].m, n = products[which].n, k = products[which].k;
  const int parts = products[which].parts;
  const int64_t rows = (parts + 1) * k; /* more than are used */
  float *plain = random_array (rows * n), *b = sora_kit_alloc ((uint64_t)(rows * n), sizeof *b);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < n; c++)
      b[sora_kit_gemm_offset (n, rows, r, c)] = plain[r * n + c];
  float *bias = random_array (n), *add = random_array (m * (n + 16)),
        *out = random_array (m * (n + 16));
  const int64_t lda = k + 3;
  float *a[3];
  for (int p = 0; p < 3; p++)
    a[p] = random_array (m * lda);
  for (int variant = 0; variant < 5; variant++)
    {
      SoraKitGemm gemm = { .m = m,
                           .n = n,
                           .k = k,
                           .parts = parts,
                           .a = { a[0], a[1], a[2] },
                           .lda = lda,
                           .b = b,
                           .b_rows = rows,
                           .bias = variant & 1 ? bias : NULL,
                           .add = variant == 4  ? out
                                  : variant & 2 ? add
                                                : NULL,
                           .c = out,
                           .ldc = n + 16 };
      for (int64_t i = 0; i < m * (n + 16); i++)
        out[i] = variant == 4 && i % (n + 16) < n ? add[i] : 1234;
      sora_kit_gemm_run (&gemm);
      for (int64_t i = 0; i < m; i++)
        {
          for (int64_t j = 0; j < n; j++)
            {
              double want = (variant & 1 ? bias[j] : 0) + (variant & 6 ? add[i * (n + 16) + j] : 0);
              for (int p = 0; p < parts; p++)
                for (int64_t q = 0; q < k; q++)
                  want += (double)a[p][i * lda + q] * plain[(p * k + q) * n + j];
              ck_assert_msg (fabs (out[i * (n + 16) + j] - want) < 1e-5,
                             "row %lld, column %lld: %g, expected %g", (long long)i, (long long)j,
                             out[i * (n + 16) + j], want);
            }
          for (int64_t j = n; j < n + 16; j++)
            ck_assert (out[i * (n + 16) + j] == 1234);
        }
    }
  for (int p = 0; p < 3; p++)
    sora_kit_free (a[p]);
  sora_kit_free (plain);
  sora_kit_free (b);
  sora_kit_free (bias);
  sora_kit_free (add);
  sora_kit_free (out);
}

/* Two results of four parts, the first rows of B left out; the next product changes nothing. */
static void
check_gemm_pair (int which, const SoraKitGemm *next)
{
  const int64_t m = products[which].m, n = products[which].n, k = products[which].k;
  const int64_t rows = 6 * k, lda = k + 3;
  float *plain = random_array (rows * n), *b = sora_kit_alloc ((uint64_t)(rows * n), sizeof *b);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < n; c++)
      b[sora_kit_gemm_offset (n, rows, r, c)] = plain[r * n + c];
  float *a[4], *out[2];
  for (int p = 0; p < 4; p++)
    a[p] = random_array (m * lda);
  for (int j = 0; j < 2; j++)
    {
      out[j] = sora_kit_alloc ((uint64_t)(m * (n + 16)), sizeof *out[j]);
      for (int64_t i = 0; i < m * (n + 16); i++)
        out[j][i] = 1234;
    }
  const SoraKitGemm gemm = { .m = m,
                             .n = n,
                             .k = k,
                             .a = { a[0], a[1], a[2], a[3] },
                             .lda = lda,
                             .b = b,
                             .b_rows = rows,
                             .b_row = k,
                             .c = out[0],
                             .ldc = n + 16,
                             .c2 = out[1],
                             .next = next };
  sora_kit_gemm_run (&gemm);
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < n + 16; j++)
      {
        double part[4] = { 0 };
        for (int p = 0; p < 4 && j < n; p++)
          for (int64_t q = 0; q < k; q++)
            part[p] += (double)a[p][i * lda + q] * plain[((p + 1) * k + q) * n + j];
        const double want[2] = { j < n ? part[1] + part[2] + part[0] : 1234,
                                 j < n ? part[1] - part[2] + part[3] : 1234 };
        for (int f = 0; f < 2; f++)
          ck_assert_msg (fabs (out[f][i * (n + 16) + j] - want[f]) < 2e-5,
                         "result %d, row %lld, column %lld: %g, expected %g", f, (long long)i,
                         (long long)j, out[f][i * (n + 16) + j], want[f]);
      }
  for (int p = 0; p < 4; p++)
    sora_kit_free (a[p]);
  sora_kit_free (out[0]);
  sora_kit_free (out[1]);
  sora_kit_free (plain);
  sora_kit_free (b);
}

/* On all instruction sets that this machine has. */
START_TEST (test_gemm)
{
  static float some[16 * 16] __attribute__ ((aligned (64)));
  const SoraKitGemm after = { .m = 16,
                              .n = 16,
                              .k = 16,
                              .parts = 1,
                              .a = { some },
                              .lda = 16,
                              .b = some,
                              .b_rows = 16,
                              .c = some,
                              .ldc = 16 };
  for (size_t i = 0; i < sizeof isas / sizeof isas[0]; i++)
    if (sora_kit_gemm_use (isas[i]) == 0)
      {
        check_gemm (_i);
        check_gemm_pair (_i, NULL);
        check_gemm_pair (_i, &after);
      }
  ck_assert_int_eq (sora_kit_gemm_use ("generic"), 0);
  ck_assert_str_eq (sora_kit_gemm_isa (), "generic");
  ck_assert_int_eq (sora_kit_gemm_use ("mmx"), -1);
  ck_assert_int_eq (sora_kit_gemm_use (NULL), 0);
}
END_TEST

/* Every element of B has a place of its own. */
START_TEST (test_gemm_offset)
{
  for (int64_t n = 16; n <= 400; n += 16)
    {
      enum
      {
        ROWS = 5
      };
      char *seen = calloc ((size_t)(ROWS * n), 1);
      for (int64_t r = 0; r < ROWS; r++)
        for (int64_t c = 0; c < n; c++)
          {
            const size_t at = sora_kit_gemm_offset (n, ROWS, r, c);
            ck_assert_uint_lt (at, (size_t)(ROWS * n));
            ck_assert_int_eq (seen[at], 0);
            seen[at] = 1;
          }
      free (seen);
    }
}
END_TEST

static const struct
{
  int64_t ic, oc, h, w;
  int taps, count, upsample;
} shapes[] = {
  { 16, 16, 4, 4, 3, 3, 0 },    { 16, 32, 5, 7, 3, 2, 0 }, { 4, 24, 3, 1, 3, 1, 0 },
  { 7, 3, 9, 13, 3, 3, 0 },     { 64, 64, 8, 8, 3, 3, 0 }, { 40, 20, 5, 6, 1, 1, 1 },
  { 96, 80, 13, 3, 3, 3, 0 },   { 1, 1, 1, 1, 1, 1, 0 },   { 32, 96, 17, 30, 2, 2, 0 },
  { 16, 16, 64, 150, 3, 3, 0 }, { 24, 48, 3, 5, 3, 2, 1 }, { 192, 192, 9, 10, 3, 3, 0 },
};

/* out[y, x, o] (and its neighbours' sum of magnitudes is about 1): the definition, in f64. */
static double
direct (const float *weights, const float *bias, const SoraKitConvSource *s, int64_t ic, int taps,
        int size, int upsample, int64_t y, int64_t x, int64_t o)
{
  const int64_t icp = sora_kit_pad16 (ic), h = s->h << upsample, w = s->w << upsample;
  double sum = bias[o];
  for (int part = 0; part < s->count; part++)
    for (int64_t dy = 0; dy < size; dy++)
      for (int64_t dx = 0; dx < size; dx++)
        {
          const int64_t py = y + dy - size / 2, px = x + dx - size / 2;
          if (py < 0 || py >= h || px < 0 || px >= w)
            continue;
          const float *pixel = s->frames[part] + ((py >> upsample) * s->w + (px >> upsample)) * icp;
          for (int64_t i = 0; i < ic; i++)
            sum += (double)pixel[i]
                   * weights[(((o * ic + i) * taps + taps - 1 - part) * size + dy) * size + dx];
        }
  return sum;
}

typedef struct
{
  double error, scale;
} Compared;

static void
compare (Compared *c, double got, double want)
{
  c->error = kit_test_worst (c->error, fabs (got - want));
  c->scale = fmax (c->scale, fabs (want));
}

START_TEST (test_conv)
{
  const int64_t ic = shapes[_i].ic, oc = shapes[_i].oc, ocp = sora_kit_pad16 (oc);
  const int taps = shapes[_i].taps, up = shapes[_i].upsample;
  const int64_t h = shapes[_i].h << up, w = shapes[_i].w << up, pixels = h * w;
  SoraKitConvSource source = { .count = shapes[_i].count, .h = shapes[_i].h, .w = shapes[_i].w };
  for (int p = 0; p < source.count; p++)
    source.frames[p] = random_frame (source.h, source.w, ic);
  float *weights = random_array (oc * ic * taps * 9), *bias = random_array (oc);
  float *add = random_frame (h, w, oc);
  float *first = NULL, *first_point = NULL, *first_few = NULL;
  const uint64_t bytes = (uint64_t)(pixels * ocp) * sizeof (float);

  for (int threads = 1; threads <= 3; threads++)
    {
      SoraKitTeam team;
      sora_kit_team_init (&team, NULL, NULL, threads);

      SoraKitPlaneConv plane = { 0 };
      float *out = sora_kit_alloc ((uint64_t)(pixels * ocp), sizeof *out);
      memset (out, 0x55, bytes);
      void *work = sora_kit_alloc (sora_kit_plane_conv_work (ic, oc, taps, h, w, threads), 1);
      ck_assert_int_eq (sora_kit_plane_conv_pack (&plane, &team, ic, oc, taps, weights, bias),
                        SORA_OK);
      ck_assert_int_eq (sora_kit_plane_conv_run (&plane, &team, &source, up, add, out, work),
                        SORA_OK);
      if (threads == 1)
        {
          Compared c = { 0 };
          for (int64_t i = 0; i < pixels; i++)
            for (int64_t o = 0; o < ocp; o++)
              compare (&c, out[i * ocp + o],
                       o >= oc ? 0
                               : add[i * ocp + o]
                                     + direct (weights, bias, &source, ic, taps, 3, up, i / w,
                                               i % w, o));
          ck_assert_msg (c.error <= 3e-5 * c.scale, "3x3: error %.3g of %.3g", c.error, c.scale);
          first = out;
        }
      else
        {
          ck_assert_msg (memcmp (out, first, bytes) == 0, "3x3: %d threads give other bytes",
                         threads);
          /* added in place */
          memcpy (out, add, bytes);
          ck_assert_int_eq (sora_kit_plane_conv_run (&plane, &team, &source, up, out, out, work),
                            SORA_OK);
          ck_assert_mem_eq (out, first, bytes);
          sora_kit_free (out);
        }
      /* Cut off at zero, the sum with what was added, and no number stays none. */
      float *cut = random_frame (h, w, oc), *nan = (float *)source.frames[0], kept = nan[0];
      plane.relu = 1;
      nan[0] = threads == 3 ? NAN : kept;
      ck_assert_int_eq (sora_kit_plane_conv_run (&plane, &team, &source, up, add, cut, work),
                        SORA_OK);
      int64_t other = 0, none = 0;
      for (int64_t i = 0; i < pixels * ocp; i++)
        {
          none += isnan (cut[i]);
          other += !isnan (cut[i]) && cut[i] != fmaxf (first[i], 0);
        }
      ck_assert_int_eq (other, 0);
      ck_assert (threads == 3 ? none >= oc : none == 0);
      nan[0] = kept;
      sora_kit_free (cut);
      sora_kit_plane_conv_clear (&plane);
      sora_kit_free (work);

      if (up)
        continue;
      SoraKitPointConv point = { 0 };
      out = sora_kit_alloc ((uint64_t)(pixels * ocp), sizeof *out);
      ck_assert_int_eq (sora_kit_point_conv_pack (&point, &team, ic, oc, taps, weights, bias),
                        SORA_OK);
      ck_assert_int_eq (sora_kit_point_conv_run (&point, &team, &source, add, out), SORA_OK);
      if (threads == 1)
        {
          Compared c = { 0 };
          for (int64_t i = 0; i < pixels; i++)
            for (int64_t o = 0; o < ocp; o++)
              compare (
                  &c, out[i * ocp + o],
                  o >= oc ? 0
                          : add[i * ocp + o]
                                + direct (weights, bias, &source, ic, taps, 1, 0, i / w, i % w, o));
          ck_assert_msg (c.error <= 1e-5 * c.scale, "1x1: error %.3g of %.3g", c.error, c.scale);
          first_point = out;
        }
      else
        {
          ck_assert_msg (memcmp (out, first_point, bytes) == 0, "1x1: %d threads give other bytes",
                         threads);
          sora_kit_free (out);
        }
      sora_kit_point_conv_clear (&point);

      SoraKitFewConv few = { 0 };
      out = sora_kit_alloc ((uint64_t)(pixels * oc), sizeof *out);
      work = sora_kit_alloc (sora_kit_few_conv_work (oc, w, threads), 1);
      ck_assert_int_eq (sora_kit_few_conv_pack (&few, &team, ic, oc, taps, weights, bias), SORA_OK);
      ck_assert_int_eq (sora_kit_few_conv_run (&few, &team, &source, out, work), SORA_OK);
      if (threads == 1)
        {
          Compared c = { 0 };
          for (int64_t i = 0; i < pixels * oc; i++)
            compare (
                &c, out[i],
                direct (weights, bias, &source, ic, taps, 3, 0, i / oc / w, i / oc % w, i % oc));
          ck_assert_msg (c.error <= 1e-5 * c.scale, "few: error %.3g of %.3g", c.error, c.scale);
          first_few = out;
        }
      else
        {
          ck_assert_msg (memcmp (out, first_few, (size_t)(pixels * oc) * sizeof *out) == 0,
                         "few: %d threads give other bytes", threads);
          sora_kit_free (out);
        }
      sora_kit_few_conv_clear (&few);
      sora_kit_free (work);
    }
  sora_kit_free (first);
  sora_kit_free (first_point);
  sora_kit_free (first_few);
  for (int p = 0; p < source.count; p++)
    sora_kit_free ((void *)source.frames[p]);
  sora_kit_free (weights);
  sora_kit_free (bias);
  sora_kit_free (add);
}
END_TEST

static const struct
{
  int64_t ic, oc, h, w;
} pairs[] = { { 16, 16, 4, 4 },  { 7, 24, 5, 9 },     { 40, 20, 1, 1 },
              { 96, 48, 9, 13 }, { 16, 16, 60, 150 }, { 192, 192, 9, 10 } };

/* Two frames at once behind none, one and two of the past; and a frame alone. */
START_TEST (test_pair)
{
  const int64_t ic = pairs[_i].ic, oc = pairs[_i].oc, h = pairs[_i].h, w = pairs[_i].w;
  const int64_t ocp = sora_kit_pad16 (oc), numbers = h * w * ocp;
  const uint64_t bytes = (uint64_t)numbers * sizeof (float);
  float *weights = random_array (oc * ic * 27), *bias = random_array (oc), *frames[4], *add[2];
  for (int i = 0; i < 4; i++)
    frames[i] = random_frame (h, w, ic);
  for (int i = 0; i < 2; i++)
    add[i] = random_frame (h, w, oc);
  for (int past = 0; past <= 2; past++)
    {
      float *first[2] = { NULL, NULL };
      for (int threads = 1; threads <= 3; threads++)
        {
          SoraKitTeam team;
          SoraKitPlaneConv conv = { 0 };
          sora_kit_team_init (&team, NULL, NULL, threads);
          const float *seen[4]
              = { past > 1 ? frames[0] : NULL, past > 0 ? frames[1] : NULL, frames[2], frames[3] };
          float *out[2] = { sora_kit_alloc (bytes, 1), sora_kit_alloc (bytes, 1) };
          void *work = sora_kit_alloc (
              sora_kit_plane_conv_work (ic, oc, SORA_KIT_CONV_PAIRS, h, w, threads), 1);
          ck_assert_int_eq (
              sora_kit_plane_conv_pack (&conv, &team, ic, oc, SORA_KIT_CONV_PAIRS, weights, bias),
              SORA_OK);
          ck_assert_int_eq (sora_kit_plane_conv_run_pair (&conv, &team, seen, h, w,
                                                          (const float *const *)add, out, work),
                            SORA_OK);
          Compared c = { 0 };
          for (int64_t i = 0; threads == 1 && i < 2 * numbers; i++)
            {
              const int f = (int)(i / numbers);
              const int64_t at = i % numbers, pixel = at / ocp, o = at % ocp;
              SoraKitConvSource source = { .count = 1 + f + past, .h = h, .w = w };
              source.count = source.count > 3 ? 3 : source.count;
              for (int p = 0; p < source.count; p++)
                source.frames[p] = frames[2 + f - p];
              compare (&c, out[f][at],
                       o >= oc ? 0
                               : add[f][at]
                                     + direct (weights, bias, &source, ic, 3, 3, 0, pixel / w,
                                               pixel % w, o));
            }
          ck_assert_msg (c.error <= 3e-5 * c.scale, "error %.3g of %.3g", c.error, c.scale);
          for (int i = 0; i < 2 && threads > 1; i++)
            {
              ck_assert_mem_eq (out[i], first[i], bytes);
              memcpy (out[i], add[i], bytes); /* added in place */
            }
          if (threads > 1)
            {
              ck_assert_int_eq (sora_kit_plane_conv_run_pair (&conv, &team, seen, h, w,
                                                              (const float *const *)out, out, work),
                                SORA_OK);
              ck_assert_mem_eq (out[0], first[0], bytes);
              ck_assert_mem_eq (out[1], first[1], bytes);
            }
          SoraKitConvSource alone
              = { .frames = { frames[2], frames[1] }, .count = 1, .h = h, .w = w };
          ck_assert_int_eq (sora_kit_plane_conv_run (&conv, &team, &alone, 0, NULL, out[1], work),
                            SORA_OK);
          Compared one = { 0 };
          for (int64_t i = 0; i < numbers && threads == 1; i++)
            compare (&one, out[1][i],
                     i % ocp >= oc ? 0
                                   : direct (weights, bias, &alone, ic, 3, 3, 0, i / ocp / w,
                                             i / ocp % w, i % ocp));
          ck_assert_msg (one.error <= 3e-5 * one.scale, "error %.3g of %.3g", one.error, one.scale);
          alone.count = 2;
          ck_assert_int_eq (sora_kit_plane_conv_run (&conv, &team, &alone, 0, NULL, out[1], work),
                            SORA_FAILED);
          ck_assert_ptr_nonnull (strstr (team.error, "one frame with a past"));
          if (threads == 1)
            {
              first[0] = out[0];
              /* what it was before the frame alone went the same way */
              ck_assert_int_eq (sora_kit_plane_conv_run_pair (&conv, &team, seen, h, w,
                                                              (const float *const *)add, out, work),
                                SORA_OK);
              first[1] = out[1];
            }
          else
            {
              sora_kit_free (out[0]);
              sora_kit_free (out[1]);
            }
          sora_kit_plane_conv_clear (&conv);
          sora_kit_free (work);
        }
      sora_kit_free (first[0]);
      sora_kit_free (first[1]);
    }
  for (int i = 0; i < 4; i++)
    sora_kit_free (frames[i]);
  for (int i = 0; i < 2; i++)
    sora_kit_free (add[i]);
  sora_kit_free (weights);
  sora_kit_free (bias);
}
END_TEST

/* 3 × 3 at every second pixel: zeros stand past the right and the lower edge alone. */
START_TEST (test_stride)
{
  static const int64_t sizes[][4]
      = { { 2, 2, 3, 5 }, { 6, 10, 16, 16 }, { 14, 6, 33, 17 }, { 34, 38, 24, 48 } };
  const int64_t h = sizes[_i][0], w = sizes[_i][1], ic = sizes[_i][2], oc = sizes[_i][3];
  const int64_t icp = sora_kit_pad16 (ic), ocp = sora_kit_pad16 (oc), pixels = h / 2 * (w / 2);
  float *from = random_frame (h, w, ic), *weights = random_array (oc * ic * 9),
        *bias = random_array (oc);
  float *first = NULL;
  for (int threads = 1; threads <= 3; threads++)
    {
      SoraKitTeam team;
      SoraKitStrideConv conv = { 0 };
      sora_kit_team_init (&team, NULL, NULL, threads);
      float *out = sora_kit_alloc ((uint64_t)(pixels * ocp), sizeof *out);
      void *work = sora_kit_alloc (sora_kit_stride_conv_work (ic, threads), 1);
      ck_assert_int_eq (sora_kit_stride_conv_pack (&conv, &team, ic, oc, weights, bias), SORA_OK);
      ck_assert_int_eq (sora_kit_stride_conv_run (&conv, &team, from, h, w, out, work), SORA_OK);
      Compared c = { 0 };
      for (int64_t i = 0; threads == 1 && i < pixels * ocp; i++)
        {
          const int64_t x = i / ocp % (w / 2), y = i / ocp / (w / 2), o = i % ocp;
          double sum = o < oc ? bias[o] : 0;
          for (int64_t k = 0; o < oc && k < ic * 9; k++)
            {
              const int64_t sy = 2 * y + k % 9 / 3, sx = 2 * x + k % 3;
              if (sy < h && sx < w)
                sum += (double)weights[o * ic * 9 + k] * from[(sy * w + sx) * icp + k / 9];
            }
          compare (&c, out[i], sum);
        }
      ck_assert_msg (c.error <= 1e-5 * c.scale, "error %.3g of %.3g", c.error, c.scale);
      if (threads == 1)
        first = out;
      else
        {
          ck_assert_mem_eq (out, first, (size_t)(pixels * ocp) * sizeof *out);
          sora_kit_free (out);
        }
      sora_kit_stride_conv_clear (&conv);
      sora_kit_free (work);
    }
  sora_kit_free (first);
  sora_kit_free (from);
  sora_kit_free (weights);
  sora_kit_free (bias);
}
END_TEST

int
main (void)
{
  printf ("products run on %s\n", sora_kit_gemm_isa ());
  Suite *suite = suite_create ("kit-conv");
  TCase *tcase = tcase_create ("conv");
  tcase_set_timeout (tcase, 300);
  tcase_add_test (tcase, test_gemm_offset);
  tcase_add_loop_test (tcase, test_gemm, 0, sizeof products / sizeof products[0]);
  tcase_add_loop_test (tcase, test_conv, 0, sizeof shapes / sizeof shapes[0]);
  tcase_add_loop_test (tcase, test_pair, 0, sizeof pairs / sizeof pairs[0]);
  tcase_add_loop_test (tcase, test_stride, 0, 4);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
