/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Loops of nothing but arithmetic, for bench-peak.c.
 */
#pragma once
#include <glib.h>

/**
 * BenchBurst:
 * @ops: (out): its operations, a multiply-add being 2
 *
 * A millisecond or less of work.
 *
 * Returns: the sum of what it summed: a quarter for each f32 multiply-add
 */
typedef double (*BenchBurst) (double *ops);

/** bench_loop_fma: @name: (out): the instructions.  Returns: f32 multiply-adds in registers, of the
 * widest vectors that the processor has. */
BenchBurst bench_loop_fma (const char **name);

/** bench_loop_int8: @name: (out): the instructions.  Returns: (nullable): u8 by s8 products summed
 * in i32; %NULL where the processor has no instructions for them. */
BenchBurst bench_loop_int8 (const char **name);

/** bench_loop_block: @name: (out): the loop.  Returns: (nullable): the inner loop of an f32 product
 * with its operands in the nearest cache: what a product could reach if all else were free; %NULL
 * where there is none for the processor. */
BenchBurst bench_loop_block (const char **name);
