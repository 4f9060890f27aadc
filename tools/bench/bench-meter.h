/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The meter of a run: processor time and time on the wall from mark to mark, with short bursts of
 * the FMA peak's loop in between, so that work and peak see the same clock, the same neighbours and
 * the same theft of time.
 */
#pragma once
#include "bench-stage.h"

typedef struct
{
  int threads;
  GArray *parts;                /* of BenchPart */
  double cpu, wall;             /* since when, beside the peaks' own */
  double taken_cpu, taken_wall; /* by peaks since then */
  double peaks, last_peak;      /* sum of rates in this part, and the last one of all */
  guint n_peaks;
  double next; /* processor time at which the next peak is due */
} BenchMeter;

/* Begins a run. */
void bench_meter_begin (BenchMeter *meter, int threads);
/* A good moment for a peak: taken if one is due.  Not where other threads work. */
void bench_meter_poll (BenchMeter *meter);
/* Ends a part, and begins the next. */
void bench_meter_mark (BenchMeter *meter);
/* Ends the run. */
GArray *bench_meter_end (BenchMeter *meter);
