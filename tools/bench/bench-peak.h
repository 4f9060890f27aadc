/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the machine can do at most: loops of nothing but multiply-adds in registers, and of reads
 * from memory.  What stages reach is told as a fraction of these, measured in the same process
 * between the stages' own work.
 */
#pragma once
#include <glib.h>

/**
 * BenchPeak:
 * @name: the instructions: "AVX-512 FMA"
 * @rate: operations a second of processor time of one thread, a multiply-add being 2; for memory,
 * bytes a second
 * @wall: of all threads together, a second on the wall
 */
typedef struct
{
  const char *name;
  double rate, wall;
} BenchPeak;

/**
 * bench_peak_fma:
 * @threads: how many at the same time
 * @seconds: of processor time, on each
 *
 * Returns: f32 multiply-adds of the widest vectors that the processor has
 */
BenchPeak bench_peak_fma (int threads, double seconds);

/**
 * bench_peak_int8:
 * @threads: how many at the same time
 * @seconds: of processor time, on each
 * @peak: (out): u8 by s8 products summed in i32
 *
 * Returns: FALSE where the processor has no instructions for it
 */
gboolean bench_peak_int8 (int threads, double seconds, BenchPeak *peak);

/**
 * bench_peak_block:
 * @threads: how many at the same time
 * @seconds: of processor time, on each
 * @peak: (out): f32 multiply-adds of a product's inner loop, its operands in the nearest cache
 *
 * What loads cost beside the arithmetic depends on the processor, and on what shares its core.
 *
 * Returns: FALSE where there is no such loop for the processor
 */
gboolean bench_peak_block (int threads, double seconds, BenchPeak *peak);

/**
 * bench_peak_read:
 * @threads: how many at the same time, each with @bytes of its own
 * @bytes: more than the caches hold
 * @seconds: of processor time, on each
 * @peak: (out): reading memory from its first to its last byte
 *
 * Returns: FALSE without the memory for it
 */
gboolean bench_peak_read (int threads, gsize bytes, double seconds, BenchPeak *peak);
