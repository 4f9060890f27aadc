/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Sources of the shapes: diffusers, transformer_wan.py and autoencoder_kl_wan.py; transformers,
 * modeling_umt5.py; TAEHV's taehv.py.
 */
#include "bench-flops.h"

double
bench_flops_dit_attention (const BenchDit *dit, int64_t tokens)
{
  return 4.0 * (double)dit->layers * (double)tokens * (double)tokens * (double)dit->dim;
}

double
bench_flops_dit (const BenchDit *dit, int64_t tokens, int64_t keys)
{
  const double t = (double)tokens, d = (double)dit->dim;
  /* Query, key, value and output of the tokens' own attention; query and output of that to the
   * text. */
  const double layer = 2 * t * (6 * d * d + 2 * d * (double)dit->ffn) + 4 * t * (double)keys * d;
  const double time = 2 * d * (double)dit->freq + 2 * d * d + 2 * 6 * d * d;
  return (double)dit->layers * layer + bench_flops_dit_attention (dit, tokens) + time
         + 2 * t * d * (double)(dit->patch_in + dit->patch_out);
}

double
bench_flops_dit_text (const BenchDit *dit, int64_t rows)
{
  const double r = (double)rows, d = (double)dit->dim;
  return 2 * r * d * (double)dit->text_dim + 2 * r * d * d + (double)dit->layers * 4 * r * d * d;
}

/* @taps along time, @side in both directions, at each of @pixels. */
static double
conv (int64_t in, int64_t out, int64_t taps, int64_t side, double pixels)
{
  return 2.0 * (double)(in * out * taps * side * side) * pixels;
}

static double
resnet (int64_t in, int64_t out, double pixels)
{
  return conv (in, out, 3, 3, pixels) + conv (out, out, 3, 3, pixels)
         + (in != out ? conv (in, out, 1, 1, pixels) : 0);
}

double
bench_flops_vae (const BenchVae *vae, int64_t frames, int64_t height, int64_t width)
{
  int64_t dim = vae->base * vae->mult[vae->levels - 1];
  double t = (double)frames, plane = (double)height * (double)width;
  double sum = conv (vae->z, vae->z, 1, 1, t * plane) + conv (vae->z, dim, 3, 3, t * plane)
               + 2 * resnet (dim, dim, t * plane) + conv (dim, 4 * dim, 1, 1, t * plane)
               + 4 * t * plane * plane * (double)dim;
  for (int i = 0; i < vae->levels; i++)
    {
      const int64_t out = vae->base * vae->mult[vae->levels - 1 - i];
      for (int j = 0; j < vae->resnets; j++, dim = out)
        sum += resnet (dim, out, t * plane);
      if (i + 1 == vae->levels)
        break;
      if (vae->upsamples_time[i])
        {
          /* The first frame stays one. */
          sum += conv (dim, 2 * dim, 3, 1, (t - 1) * plane);
          t = 2 * t - 1;
        }
      plane *= 4;
      sum += conv (dim, dim / 2, 1, 3, t * plane);
      dim /= 2;
    }
  return sum + conv (dim, 3, 3, 3, t * plane);
}

double
bench_flops_tiny (const int64_t widths[4], int64_t frames, int64_t height, int64_t width)
{
  double t = (double)frames, plane = (double)height * (double)width;
  double sum = conv (16, widths[0], 1, 3, t * plane);
  for (int i = 0; i < 3; i++)
    {
      const int64_t w = widths[i], stretch = i == 0 ? 1 : 2;
      /* Three blocks of three convolutions, whose first one sees the frame before as well. */
      sum += 3 * (conv (2 * w, w, 1, 3, t * plane) + 2 * conv (w, w, 1, 3, t * plane));
      /* Frames are made of channels before the picture grows: as the stage does it; the module has
       * it the other way round, for four times the work. */
      sum += conv (w, w * stretch, 1, 1, t * plane);
      t *= (double)stretch;
      plane *= 4;
      /* The first three pictures are no part of the clip. */
      t -= i == 2 ? 3 : 0;
      sum += conv (w, widths[i + 1], 1, 3, t * plane);
    }
  return sum + conv (widths[3], 3, 1, 3, t * plane);
}

double
bench_flops_text (const BenchText *text, int64_t tokens)
{
  const double n = (double)tokens, d = (double)text->dim, inner = (double)text->inner;
  return (double)text->layers
         * (2 * n * d * (4 * inner + 3 * (double)text->ff) + 4 * n * n * inner);
}
