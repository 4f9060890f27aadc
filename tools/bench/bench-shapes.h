/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the published Wan 2.1 1.3B consists of: its small files, and names and shapes of its
 * tensors.
 */
#pragma once
#include <glib.h>

#define BENCH_MAX_RANK 5

/**
 * BenchTensor:
 * @name: of the tensor
 * @dtype: a SoraDtype: as it is published
 * @ndim: rank
 * @shape: extents, and @strides of them
 * @mean, @deviation: of the values that are made up for it
 */
typedef struct
{
  char *name;
  int dtype, ndim;
  gint64 shape[BENCH_MAX_RANK], strides[BENCH_MAX_RANK];
  double mean, deviation;
} BenchTensor;

#define BENCH_TINY "taehv" /* the component that a TAEHV's file is */

/** bench_shapes_new: Returns: (transfer full): BenchTensor of "transformer", "text_encoder", "vae"
 * or BENCH_TINY */
GPtrArray *bench_shapes_new (const char *component, int blocks);
/** bench_shapes_file: Returns: (transfer full) (nullable): a small file: configuration or tokenizer
 */
GBytes *bench_shapes_file (const char *name, int blocks);
/** bench_shapes_blocks: Returns: blocks of a component in full; 0 where there are none */
int bench_shapes_blocks (const char *component);
