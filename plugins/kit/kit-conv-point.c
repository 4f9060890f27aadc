/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-conv-point.c: convolutions of one pixel, and of few output channels.  The second are products
 * too: with three output channels a Winograd tile would be all transform.  Each pixel is multiplied
 * with the weights of all nine places once; a picture's value is then the sum of nine neighbours'
 * products.
 */
#include "kit-conv.h"
#include "kit-memory.h"

#include <string.h>

enum
{
  ROWS_A_TASK = 48,
  LINES_A_TASK = 8
};

/* ---- one pixel */

uint64_t
sora_kit_point_conv_bytes (int64_t ic, int64_t oc, int taps)
{
  const uint64_t icp = (uint64_t)sora_kit_pad16 (ic), ocp = (uint64_t)sora_kit_pad16 (oc);
  return ((uint64_t)taps * icp * ocp + ocp) * sizeof (float);
}

void
sora_kit_point_conv_clear (SoraKitPointConv *conv)
{
  sora_kit_free (conv->b);
  sora_kit_free (conv->bias);
  memset (conv, 0, sizeof *conv);
}

int
sora_kit_point_conv_pack (SoraKitPointConv *conv, SoraKitTeam *team, int64_t ic, int64_t oc,
                          int taps, const float *weights, const float *bias)
{
  sora_kit_point_conv_clear (conv);
  const int64_t icp = sora_kit_pad16 (ic), ocp = sora_kit_pad16 (oc);
  conv->ic = ic;
  conv->oc = oc;
  conv->taps = taps;
  conv->b = sora_kit_alloc0 ((uint64_t)(taps * icp * ocp), sizeof (float));
  conv->bias = sora_kit_alloc0 ((uint64_t)ocp, sizeof (float));
  if (conv->b == NULL || conv->bias == NULL)
    return sora_kit_team_fail (
        team, "no memory for the weights of a convolution from %lld to %lld channels",
        (long long)ic, (long long)oc);
  memcpy (conv->bias, bias, (size_t)oc * sizeof (float));
  for (int64_t o = 0; o < oc; o++)
    for (int64_t i = 0; i < ic; i++)
      for (int64_t t = 0; t < taps; t++)
        conv->b[sora_kit_gemm_offset (ocp, taps * icp, (taps - 1 - t) * icp + i, o)]
            = weights[(o * ic + i) * taps + t];
  return SORA_OK;
}

typedef struct
{
  const SoraKitPointConv *conv;
  const SoraKitConvSource *source;
  const float *add;
  float *out;
} Point;

static void
point_rows (void *data, int64_t row, int64_t count)
{
  const Point *p = data;
  const int64_t icp = sora_kit_pad16 (p->conv->ic), ocp = sora_kit_pad16 (p->conv->oc);
  SoraKitGemm gemm = {
    .m = count,
    .n = ocp,
    .k = icp,
    .parts = p->source->count,
    .lda = icp,
    .b = p->conv->b,
    .b_rows = p->conv->taps * icp,
    .bias = p->conv->bias,
    .add = p->add != NULL ? p->add + row * ocp : NULL,
    .c = p->out + row * ocp,
    .ldc = ocp,
  };
  for (int i = 0; i < p->source->count; i++)
    gemm.a[i] = p->source->frames[i] + row * icp;
  sora_kit_gemm_run (&gemm);
}

int
sora_kit_point_conv_run (const SoraKitPointConv *conv, SoraKitTeam *team,
                         const SoraKitConvSource *source, const float *add, float *out)
{
  Point point = { conv, source, add, out };
  return sora_kit_rows_parallel (team, source->h * source->w, ROWS_A_TASK, point_rows, &point);
}

/* ---- few output channels */

uint64_t
sora_kit_few_conv_bytes (int64_t ic, int64_t oc, int taps)
{
  return ((uint64_t)(taps * sora_kit_pad16 (ic) * sora_kit_pad16 (9 * oc)) + (uint64_t)oc)
         * sizeof (float);
}

void
sora_kit_few_conv_clear (SoraKitFewConv *conv)
{
  sora_kit_free (conv->b);
  sora_kit_free (conv->bias);
  memset (conv, 0, sizeof *conv);
}

int
sora_kit_few_conv_pack (SoraKitFewConv *conv, SoraKitTeam *team, int64_t ic, int64_t oc, int taps,
                        const float *weights, const float *bias)
{
  sora_kit_few_conv_clear (conv);
  const int64_t icp = sora_kit_pad16 (ic), n = sora_kit_pad16 (9 * oc);
  conv->ic = ic;
  conv->oc = oc;
  conv->taps = taps;
  conv->b = sora_kit_alloc0 ((uint64_t)(taps * icp * n), sizeof (float));
  conv->bias = sora_kit_alloc0 ((uint64_t)oc, sizeof (float));
  if (conv->b == NULL || conv->bias == NULL)
    return sora_kit_team_fail (
        team, "no memory for the weights of a convolution from %lld to %lld channels",
        (long long)ic, (long long)oc);
  memcpy (conv->bias, bias, (size_t)oc * sizeof (float));
  for (int64_t o = 0; o < oc; o++)
    for (int64_t i = 0; i < ic; i++)
      for (int64_t t = 0; t < taps; t++)
        for (int64_t at = 0; at < 9; at++)
          conv->b[(taps - 1 - t) * icp * n + (int64_t)sora_kit_gemm_offset (n, icp, i, at * oc + o)]
              = weights[((o * ic + i) * taps + t) * 9 + at];
  return SORA_OK;
}

uint64_t
sora_kit_few_conv_work (int64_t oc, int64_t w, int threads)
{
  return (uint64_t)((LINES_A_TASK + 2) * w * sora_kit_pad16 (9 * oc)) * sizeof (float)
         * (uint64_t)threads;
}

typedef struct
{
  const SoraKitFewConv *conv;
  const SoraKitConvSource *source;
  float *out;
  float *work;
} Few;

/* Adds to a line of pixels what the products of one line above, at or below it (`place` 0, 3, 6)
 * bring. */
static void
add_line (float *to, const float *products, int64_t w, int64_t n, int64_t oc, int place)
{
  for (int64_t x = 0; x < w; x++)
    for (int64_t dx = x > 0 ? 0 : 1; dx < (x + 1 < w ? 3 : 2); dx++)
      {
        const float *p = products + (x + dx - 1) * n + (place + dx) * oc;
        for (int64_t o = 0; o < oc; o++)
          to[x * oc + o] += p[o];
      }
}

static int
few_task (SoraKitTeam *team, void *data, int64_t task, int slot)
{
  const Few *f = data;
  const SoraKitFewConv *conv = f->conv;
  const int64_t h = f->source->h, w = f->source->w, oc = conv->oc;
  const int64_t icp = sora_kit_pad16 (conv->ic), n = sora_kit_pad16 (9 * oc);
  const int64_t begin = task * LINES_A_TASK,
                end = begin + LINES_A_TASK < h ? begin + LINES_A_TASK : h;
  const int64_t top = begin > 0 ? begin - 1 : 0, bottom = end < h ? end + 1 : h;
  float *products = f->work + (LINES_A_TASK + 2) * w * n * slot;

  for (int64_t i = begin * w; i < end * w; i++)
    for (int64_t o = 0; o < oc; o++)
      f->out[i * oc + o] = conv->bias[o];
  for (int part = 0; part < f->source->count; part++)
    {
      const SoraKitGemm gemm = {
        .m = (bottom - top) * w,
        .n = n,
        .k = icp,
        .parts = 1,
        .a = { f->source->frames[part] + top * w * icp },
        .lda = icp,
        .b = conv->b + part * icp * n,
        .b_rows = icp,
        .c = products,
        .ldc = n,
      };
      sora_kit_gemm_run (&gemm);
      for (int64_t y = begin; y < end; y++)
        for (int64_t dy = -1; dy <= 1; dy++)
          if (y + dy >= 0 && y + dy < h)
            add_line (f->out + y * w * oc, products + (y + dy - top) * w * n, w, n, oc,
                      (int)(3 * (dy + 1)));
    }
  return SORA_OK;
}

int
sora_kit_few_conv_run (const SoraKitFewConv *conv, SoraKitTeam *team,
                       const SoraKitConvSource *source, float *out, void *work)
{
  Few few = { conv, source, out, work };
  return sora_kit_parallel (team, (source->h + LINES_A_TASK - 1) / LINES_A_TASK, few_task, &few);
}
