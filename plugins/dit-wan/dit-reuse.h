/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * dit-reuse: steps that take the velocity of an earlier step instead of computing their own.
 *
 * The rule is EasyCache's (Zhou et al., "Less is Enough: Training-Free Video Diffusion Acceleration
 * via Runtime-Adaptive Caching", arXiv 2507.02860): between two computed steps i and j the output
 * changed by k = |v_j - v_i| / |x_j - x_i| for each unit that the sample moved (mean absolute
 * values).  At a later step n it is thought to have changed by k |x_n - x_j| / |v_j| of itself, and
 * as long as that is below the threshold, v_j is taken again.  It needs no numbers fitted to a
 * model, as TeaCache's does (Liu et al., arXiv 2411.19108).
 *
 * Two things differ from the authors' program.  It adds up the way from step to step; here it is
 * measured from step j, which is the same where the way is a line, as it is with one velocity.  And
 * it keeps v - x and adds the new x; here v is kept: that came nearer to the
 * clip of all forwards (docs/performance.md has the figures), and it means the same for a network
 * that predicts v and for one that predicts the clean sample, x - sigma v.
 */
#ifndef DIT_REUSE_H
#define DIT_REUSE_H

#include "kit-sampler.h"

#include <stddef.h>
#include <stdint.h>

typedef struct DitReuse DitReuse;

/** dit_reuse_bytes: Returns: what a #DitReuse for @n values holds, and its state takes. */
uint64_t dit_reuse_bytes (size_t n);

/**
 * dit_reuse_new:
 * @threshold: the largest change that is taken for none, as a share of the output; above 0
 * @prediction: what the network gives
 * @n: values of the sample
 *
 * Returns: one that remembers no step yet; %NULL without memory
 */
DitReuse *dit_reuse_new (double threshold, SoraKitPrediction prediction, size_t n);

/** dit_reuse_free: @reuse: (nullable): ends it. */
void dit_reuse_free (DitReuse *reuse);

/**
 * dit_reuse_step:
 * @reuse: what is remembered
 * @kind: what the step would be computed by; another kind than the last computed step's is never
 * reused
 * @sigma: the noise's share in @x, above 0
 * @x: the sample
 * @output: (out): what the network is taken to give for it, guidance included
 *
 * Sums in order, in f64, on the caller's thread: the same at every number of threads.
 *
 * Returns: whether the step needs no forward; if not, @output is untouched
 */
int dit_reuse_step (const DitReuse *reuse, int kind, double sigma, const float *x, float *output);

/**
 * dit_reuse_keep:
 * @reuse: remembers the step
 * @kind: what it was computed by
 * @sigma: the noise's share in @x, above 0
 * @x: the sample that it was computed for
 * @output: what the network gave, guidance included
 */
void dit_reuse_keep (DitReuse *reuse, int kind, double sigma, const float *x, const float *output);

/** dit_reuse_save: writes what is remembered to @state [dit_reuse_bytes()], for a checkpoint. */
void dit_reuse_save (const DitReuse *reuse, void *state);

/** dit_reuse_load: @state: from dit_reuse_save() of one made in the same way.  The steps that
 * follow are those of an undisturbed run, to the bit. */
void dit_reuse_load (DitReuse *reuse, const void *state);

#endif
