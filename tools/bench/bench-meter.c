/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See bench-meter.h.
 */
#include "config.h"
#include "bench-meter.h"
#include "bench-clock.h"
#include "bench-peak.h"

#define BURST 0.02 /* s of processor time */
#define EVERY 0.2  /* of work between two of them */

static void
take_peak (BenchMeter *meter)
{
  const double cpu = bench_cpu (), wall = bench_wall ();
  meter->last_peak = bench_peak_fma (meter->threads, BURST).rate;
  meter->peaks += meter->last_peak;
  meter->n_peaks++;
  const double now = bench_cpu ();
  meter->taken_cpu += now - cpu;
  meter->taken_wall += bench_wall () - wall;
  meter->next = now + EVERY * meter->threads;
}

static void
restart (BenchMeter *meter)
{
  meter->cpu = bench_cpu ();
  meter->wall = bench_wall ();
  meter->taken_cpu = meter->taken_wall = 0;
}

void
bench_meter_begin (BenchMeter *meter, int threads)
{
  *meter = (BenchMeter){ .threads = threads };
  meter->parts = g_array_new (FALSE, FALSE, sizeof (BenchPart));
  take_peak (meter);
  restart (meter);
}

void
bench_meter_poll (BenchMeter *meter)
{
  if (bench_cpu () >= meter->next)
    take_peak (meter);
}

void
bench_meter_mark (BenchMeter *meter)
{
  BenchPart part = { .cpu = bench_cpu () - meter->cpu - meter->taken_cpu,
                     .wall = bench_wall () - meter->wall - meter->taken_wall };
  /* A short part between two marks has the peak of before, if none is due. */
  bench_meter_poll (meter);
  part.peak = meter->n_peaks > 0 ? meter->peaks / meter->n_peaks : meter->last_peak;
  g_array_append_val (meter->parts, part);
  /* What ended this part begins the next. */
  meter->peaks = meter->last_peak;
  meter->n_peaks = 1;
  restart (meter);
}

GArray *
bench_meter_end (BenchMeter *meter)
{
  meter->next = 0; /* a peak at the end is always due */
  bench_meter_mark (meter);
  return g_steal_pointer (&meter->parts);
}
