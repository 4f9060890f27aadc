/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-conv-stride.c: 3 × 3 convolutions at every second pixel, as products over gathered
 * neighbours.  Winograd on the whole plane would multiply as often, for three values of four that
 * nobody wants.
 */
#include "kit-conv.h"
#include "kit-memory.h"

#include <string.h>

enum
{
  PIXELS_A_TASK = 32
};

uint64_t
sora_kit_stride_conv_bytes (int64_t ic, int64_t oc)
{
  const uint64_t icp = (uint64_t)sora_kit_pad16 (ic), ocp = (uint64_t)sora_kit_pad16 (oc);
  return (9 * icp * ocp + ocp) * sizeof (float);
}

void
sora_kit_stride_conv_clear (SoraKitStrideConv *conv)
{
  sora_kit_free (conv->b);
  sora_kit_free (conv->bias);
  memset (conv, 0, sizeof *conv);
}

int
sora_kit_stride_conv_pack (SoraKitStrideConv *conv, SoraKitTeam *team, int64_t ic, int64_t oc,
                           const float *weights, const float *bias)
{
  sora_kit_stride_conv_clear (conv);
  const int64_t icp = sora_kit_pad16 (ic), ocp = sora_kit_pad16 (oc);
  conv->ic = ic;
  conv->oc = oc;
  conv->b = sora_kit_alloc0 ((uint64_t)(9 * icp * ocp), sizeof (float));
  conv->bias = sora_kit_alloc0 ((uint64_t)ocp, sizeof (float));
  if (conv->b == NULL || conv->bias == NULL)
    return sora_kit_team_fail (
        team, "no memory for the weights of a convolution from %lld to %lld channels",
        (long long)ic, (long long)oc);
  memcpy (conv->bias, bias, (size_t)oc * sizeof (float));
  for (int64_t o = 0; o < oc; o++)
    for (int64_t i = 0; i < ic; i++)
      for (int64_t at = 0; at < 9; at++)
        conv->b[sora_kit_gemm_offset (ocp, 9 * icp, at * icp + i, o)]
            = weights[(o * ic + i) * 9 + at];
  return SORA_OK;
}

uint64_t
sora_kit_stride_conv_work (int64_t ic, int threads)
{
  return (uint64_t)(PIXELS_A_TASK * 9 * sora_kit_pad16 (ic)) * sizeof (float) * (uint64_t)threads;
}

typedef struct
{
  const SoraKitStrideConv *conv;
  const float *from;
  int64_t h, w; /* of the source */
  float *out;
  float *work;
} Stride;

/* The nine neighbours of output pixel (x, y), zeros past the right and the lower edge. */
static void
gather (const Stride *s, int64_t x, int64_t y, int64_t icp, float *to)
{
  const size_t one = (size_t)icp * sizeof *to;
  for (int64_t dy = 0; dy < 3; dy++)
    for (int64_t dx = 0; dx < 3; dx++, to += icp)
      if (2 * y + dy < s->h && 2 * x + dx < s->w)
        memcpy (to, s->from + ((2 * y + dy) * s->w + 2 * x + dx) * icp, one);
      else
        memset (to, 0, one);
}

static int
stride_task (SoraKitTeam *team, void *data, int64_t task, int slot)
{
  const Stride *s = data;
  const int64_t icp = sora_kit_pad16 (s->conv->ic), ocp = sora_kit_pad16 (s->conv->oc);
  const int64_t across = s->w / 2, pixels = s->h / 2 * across;
  const int64_t begin = task * PIXELS_A_TASK, count = sora_kit_min (PIXELS_A_TASK, pixels - begin);
  float *rows = s->work + PIXELS_A_TASK * 9 * icp * slot;
  for (int64_t i = 0; i < count; i++)
    gather (s, (begin + i) % across, (begin + i) / across, icp, rows + i * 9 * icp);
  const SoraKitGemm gemm = {
    .m = count,
    .n = ocp,
    .k = 9 * icp,
    .parts = 1,
    .a = { rows },
    .lda = 9 * icp,
    .b = s->conv->b,
    .b_rows = 9 * icp,
    .bias = s->conv->bias,
    .c = s->out + begin * ocp,
    .ldc = ocp,
  };
  sora_kit_gemm_run (&gemm);
  return SORA_OK;
}

int
sora_kit_stride_conv_run (const SoraKitStrideConv *conv, SoraKitTeam *team, const float *from,
                          int64_t h, int64_t w, float *out, void *work)
{
  Stride stride = { conv, from, h, w, out, work };
  return sora_kit_parallel (team, sora_kit_ceil_div (h / 2 * (w / 2), PIXELS_A_TASK), stride_task,
                            &stride);
}
