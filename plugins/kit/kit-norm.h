/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-norm: what stands between the products of a transformer: norms, modulation, gates, rotary
 * embedding, activations.  Plain functions over rows, with no threads of their own: callers put
 * several of them into one sora_kit_rows_parallel(), so that a row is touched while it is in the
 * cache.
 *
 * Sums run in 16 fixed lanes that are folded in a fixed order: the same bytes on every instruction
 * set, since nothing is contracted to a fused multiply-add.  All rows are f32; @width is the length
 * of a row, and strides are in elements.  Tolerance: 2e-6 of the largest value against f64
 * (tests/kit/test-norm.c).
 */
#ifndef SORA_KIT_NORM_H
#define SORA_KIT_NORM_H

#include <stdint.h>

/**
 * sora_kit_rms_norm:
 * @x: [rows, width]
 * @ldx: elements between rows of @x
 * @y: [rows, width]; may be @x
 * @ldy: elements between rows of @y
 * @weight: [width]
 * @eps: added to the mean square
 *
 * y = x / sqrt (mean (x²) + eps) · weight: torch.nn.RMSNorm, T5's layer norm.
 */
void sora_kit_rms_norm (const float *x, int64_t ldx, float *y, int64_t ldy, int64_t rows,
                        int64_t width, const float *weight, float eps);

/**
 * sora_kit_layer_norm:
 * @x: [rows, width]
 * @ldx: elements between rows of @x
 * @y: [rows, width]; may be @x
 * @ldy: elements between rows of @y
 * @weight: (nullable): [width]; %NULL: ones
 * @bias: (nullable): [width]; %NULL: zeros
 * @eps: added to the variance
 *
 * y = (x - mean) / sqrt (var + eps) · weight + bias: torch.nn.LayerNorm.  A modulated norm, norm
 * (x) · (1 + scale) + shift, is the same with weight = 1 + scale and bias = shift.
 */
void sora_kit_layer_norm (const float *x, int64_t ldx, float *y, int64_t ldy, int64_t rows,
                          int64_t width, const float *weight, const float *bias, float eps);

/**
 * sora_kit_gate_add:
 * @x: [rows, width], changed in place
 * @ldx: elements between rows of @x
 * @y: [rows, width]
 * @ldy: elements between rows of @y
 * @gate: (nullable): [width]; %NULL: ones
 *
 * x = x + y · gate
 */
void sora_kit_gate_add (float *x, int64_t ldx, const float *y, int64_t ldy, int64_t rows,
                        int64_t width, const float *gate);

/**
 * sora_kit_rope:
 * @x: [rows, heads, head_dim], changed in place
 * @ldx: elements between rows of @x
 * @heads: heads
 * @head_dim: even
 * @cos: [rows, head_dim/2]
 * @sin: [rows, head_dim/2]
 *
 * Rotates the pairs (2i, 2i+1) of each head: the interleaved rotary embedding of Wan and FLUX.
 */
void sora_kit_rope (float *x, int64_t ldx, int64_t rows, int64_t heads, int64_t head_dim,
                    const float *cos, const float *sin);

/** sora_kit_silu: y = x / (1 + exp (-x)) over @n values; @y may be @x. */
void sora_kit_silu (const float *x, float *y, int64_t n);

/** sora_kit_multiply: x = x · y over @n values: the gate of a gated GELU. */
void sora_kit_multiply (float *x, const float *y, int64_t n);

/**
 * sora_kit_guide:
 * @cond: [n], changed in place
 * @uncond: [n]
 * @scale: guidance scale
 *
 * cond = uncond + scale · (cond - uncond): classifier-free guidance.
 */
void sora_kit_guide (float *cond, const float *uncond, float scale, int64_t n);

#endif
