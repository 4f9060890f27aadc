/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The clocks of the bench.  Rates are of processor time: on a machine that does other things as
 * well, time on the wall measures those.
 */
#pragma once
#include <time.h>

static inline double
bench_clock (clockid_t id)
{
  struct timespec t;
  (void)clock_gettime (id, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Of all threads of this process. */
static inline double
bench_cpu (void)
{
  return bench_clock (CLOCK_PROCESS_CPUTIME_ID);
}

static inline double
bench_thread_cpu (void)
{
  return bench_clock (CLOCK_THREAD_CPUTIME_ID);
}

static inline double
bench_wall (void)
{
  return bench_clock (CLOCK_MONOTONIC);
}
