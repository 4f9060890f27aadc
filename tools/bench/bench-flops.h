/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * How many operations a piece of work is, by formula: matrix products and convolutions alone, a
 * multiply-add being 2. Norms, softmax and activations are not counted: the time that they take is
 * what lowers the fraction of the peak. A convolution counts as a direct one, whatever the way in
 * which it is computed.
 */
#pragma once
#include <stdint.h>

/**
 * BenchDit:
 * @layers: of the transformer; @dim: its width; @ffn: of the feed-forward layer; @text_dim: of the
 * text's rows
 * @freq: of the time's sinusoids; @patch_in, @patch_out: values of one token, in and out
 */
typedef struct
{
  int64_t layers, dim, ffn, text_dim, freq, patch_in, patch_out;
} BenchDit;

/** bench_flops_dit: one forward of @tokens with @keys rows of text, whose keys and values are there
 * already. */
double bench_flops_dit (const BenchDit *dit, int64_t tokens, int64_t keys);

/** bench_flops_dit_text: what is done once a job: @rows of text embedded, and their keys and values
 * in each layer. */
double bench_flops_dit_text (const BenchDit *dit, int64_t rows);

/** bench_flops_dit_attention: of bench_flops_dit(), the tokens' attention to each other. */
double bench_flops_dit_attention (const BenchDit *dit, int64_t tokens);

/**
 * BenchVae:
 * @z: channels of the latents; @base: of the widest pictures; @mult: of each level, from the
 * pictures inwards
 * @levels: how many; @resnets: blocks a level in the decoder; @upsamples_time: which levels double
 * the frames, from the latents outwards
 */
typedef struct
{
  int64_t z, base, mult[8];
  int levels, resnets, upsamples_time[8];
} BenchVae;

/** bench_flops_vae: decoding latents of @frames by @height by @width. */
double bench_flops_vae (const BenchVae *vae, int64_t frames, int64_t height, int64_t width);

/** bench_flops_tiny: decoding the same with a TAEHV of these four @widths. */
double bench_flops_tiny (const int64_t widths[4], int64_t frames, int64_t height, int64_t width);

/** BenchText: of a UMT5 encoder: @layers, @dim, @inner of all heads together, @ff of the gated
 * layer. */
typedef struct
{
  int64_t layers, dim, inner, ff;
} BenchText;

/** bench_flops_text: @tokens encoded. */
double bench_flops_text (const BenchText *text, int64_t tokens);
