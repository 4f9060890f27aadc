/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-rng.h: the one random stream that must equal the reference's, so that a seed gives the clip
 * that it gives there.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/**
 * sora_kit_rng_torch_normal:
 * @seed: as given to `torch.Generator().manual_seed()`; like there, its low 32 bits count
 * @out: (out): @n values of mean 0 and standard deviation 1
 * @n: how many; 0 is allowed
 *
 * Fills @out with what `torch.randn(n, generator=torch.Generator().manual_seed(seed))` gives for
 * f32 on a CPU.  A tensor of several axes is the same stream in its C-contiguous order.
 *
 * Source: mt19937 (Matsumoto and Nishimura, 1998); ATen's DistributionTemplates.h, normal_fill()
 * and normal_distribution<double>.  The uniforms are the reference's bits; logarithm, sine and
 * cosine are our own polynomials in f64, so that the result is the same on every machine, and are
 * tested to be within 1e-5 of the reference (1e-6 is what is seen).
 */
void sora_kit_rng_torch_normal (uint64_t seed, float *out, size_t n);

/* The same generator, for more than one draw: `torch.randn(n, generator=g)` again and again. */
typedef struct SoraKitRng SoraKitRng;

/** sora_kit_rng_torch_new: Returns: a generator, to be freed with sora_kit_rng_free(), or %NULL
 * without memory */
SoraKitRng *sora_kit_rng_torch_new (uint64_t seed);
void sora_kit_rng_free (SoraKitRng *rng);

/**
 * sora_kit_rng_next:
 * @out: (out): what one more `torch.randn(n, generator=g)` gives
 * @n: how many; where a draw begins matters, so that two draws of n are not one of 2n
 */
void sora_kit_rng_next (SoraKitRng *rng, float *out, size_t n);

/**
 * sora_kit_rng_skip:
 * @n: as in the draw that is left out
 *
 * Goes on as if sora_kit_rng_next() had been called, at about 3 ns a value: what a job needs to go
 * on after a checkpoint.
 */
void sora_kit_rng_skip (SoraKitRng *rng, size_t n);
