/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * dit-linear: a linear layer of the transformer, in the form that the job's precision gives it.
 */
#ifndef DIT_LINEAR_H
#define DIT_LINEAR_H

#include "kit-linear-int8.h"

/* One of them is there. */
typedef struct
{
  SoraKitLinear *exact;    /* in f32 */
  SoraKitLinearInt8 *fast; /* in 8 bits */
} DitLinear;

/**
 * DitRows:
 * @exact: f32 [rows, width]
 * @fast: (nullable): room for the same in 8 bits; %NULL: no layer here is fast
 * @rounded: nonzero if @fast has them already, and @exact nothing
 *
 * What goes into a layer.
 */
typedef struct
{
  const float *exact;
  const SoraKitRows8 *fast;
  int rounded;
} DitRows;

/**
 * dit_linear_run:
 * @linear: a layer with weights
 * @team: who works
 * @m: rows
 * @x: what goes in; a fast layer rounds what is not yet
 * @y: f32 [m, N]
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int dit_linear_run (const DitLinear *linear, SoraKitTeam *team, int64_t m, const DitRows *x,
                    float *y);

/** dit_linear_bytes: Returns: bytes of its weights in memory of the caller's. */
uint64_t dit_linear_bytes (const DitLinear *linear);

/** dit_linear_place: its weights stand at @memory: sora_kit_linear_place(). */
void dit_linear_place (const DitLinear *linear, void *memory);

/** dit_linear_clear: frees its weights. */
void dit_linear_clear (DitLinear *linear);

#endif
