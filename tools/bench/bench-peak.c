/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Each peak is measured by all threads at the same time, each with its own sums or memory.
 */
#include "config.h"
#include "bench-peak.h"
#include "bench-clock.h"
#include "bench-peak-loops.h"
#include <string.h>
#include <sys/mman.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

static volatile double sink; /* what loops return: else a compiler could leave them out */

/* ---- on all threads at the same time */

typedef struct
{
  BenchBurst burst;
  const char *memory; /* or: read this */
  gsize bytes;
  double seconds; /* of processor time to work */
  GMutex *lock;
  GCond *go;
  int *waiting;                /* threads that have not arrived; all begin together */
  double ops, cpu, begin, end; /* what came of it */
} Worker;

static double
read_all (const char *memory, gsize bytes)
{
  const guint64 *words = (const guint64 *)memory;
  const gsize n = bytes / sizeof *words;
  guint64 sums[8] = { 0 };
  for (gsize i = 0; i + 8 <= n; i += 8)
    for (int k = 0; k < 8; k++)
      sums[k] ^= words[i + (gsize)k];
  return (double)(sums[0] ^ sums[1] ^ sums[2] ^ sums[3] ^ sums[4] ^ sums[5] ^ sums[6] ^ sums[7]);
}

#if defined(__x86_64__)
__attribute__ ((target ("avx2"))) static double
read_all_avx2 (const char *memory, gsize bytes)
{
  __m256i sums[8];
  guint64 out[4];
  for (int k = 0; k < 8; k++)
    sums[k] = _mm256_setzero_si256 ();
  for (gsize i = 0; i + 256 <= bytes; i += 256)
    {
#pragma GCC unroll 8
      for (int k = 0; k < 8; k++)
        sums[k] = _mm256_xor_si256 (
            sums[k], _mm256_load_si256 ((const __m256i *)(const void *)(memory + i + 32 * k)));
    }
  for (int k = 1; k < 8; k++)
    sums[0] = _mm256_xor_si256 (sums[0], sums[k]);
  _mm256_storeu_si256 ((__m256i *)out, sums[0]);
  return (double)(out[0] ^ out[1] ^ out[2] ^ out[3]);
}
#endif

static void
arrive (Worker *worker)
{
  g_mutex_lock (worker->lock);
  if (--*worker->waiting == 0)
    g_cond_broadcast (worker->go);
  while (*worker->waiting > 0)
    g_cond_wait (worker->go, worker->lock);
  g_mutex_unlock (worker->lock);
}

static gpointer
work (gpointer data)
{
  Worker *worker = data;
  double (*reader) (const char *, gsize) = read_all;
#if defined(__x86_64__)
  if (__builtin_cpu_supports ("avx2"))
    reader = read_all_avx2;
#endif
  double ops = 0;
  if (worker->burst != NULL)
    sink = worker->burst (&ops); /* the units wake up: not counted */
  arrive (worker);
  worker->begin = bench_wall ();
  const double start = bench_thread_cpu ();
  do
    {
      if (worker->burst != NULL)
        sink = worker->burst (&ops);
      else
        {
          sink = reader (worker->memory, worker->bytes);
          ops = (double)worker->bytes;
        }
      worker->ops += ops;
      worker->cpu = bench_thread_cpu () - start;
    }
  while (worker->cpu < worker->seconds);
  worker->end = bench_wall ();
  return NULL;
}

static BenchPeak
measure (const char *name, int threads, const Worker *pattern)
{
  GMutex lock;
  GCond go;
  int waiting = threads;
  g_mutex_init (&lock);
  g_cond_init (&go);
  g_autofree Worker *workers = g_new (Worker, threads);
  g_autofree GThread **others = g_new0 (GThread *, threads);
  for (int i = 0; i < threads; i++)
    {
      workers[i] = *pattern;
      workers[i].lock = &lock;
      workers[i].go = &go;
      workers[i].waiting = &waiting;
      workers[i].memory
          = pattern->memory != NULL ? pattern->memory + (gsize)i * pattern->bytes : NULL;
    }
  for (int i = 1; i < threads; i++)
    others[i] = g_thread_new ("peak", work, &workers[i]);
  work (&workers[0]);
  for (int i = 1; i < threads; i++)
    g_thread_join (others[i]);
  BenchPeak peak = { .name = name };
  double begin = workers[0].begin, end = workers[0].end, ops = 0;
  for (int i = 0; i < threads; i++)
    {
      peak.rate += workers[i].ops / workers[i].cpu / threads;
      ops += workers[i].ops;
      begin = MIN (begin, workers[i].begin);
      end = MAX (end, workers[i].end);
    }
  peak.wall = ops / (end - begin);
  g_mutex_clear (&lock);
  g_cond_clear (&go);
  return peak;
}

BenchPeak
bench_peak_fma (int threads, double seconds)
{
  const char *name;
  const Worker pattern = { .burst = bench_loop_fma (&name), .seconds = seconds };
  return measure (name, threads, &pattern);
}

static gboolean
measure_if_any (const char *name, BenchBurst burst, int threads, double seconds, BenchPeak *peak)
{
  const Worker pattern = { .burst = burst, .seconds = seconds };
  if (burst != NULL)
    *peak = measure (name, threads, &pattern);
  return burst != NULL;
}

gboolean
bench_peak_int8 (int threads, double seconds, BenchPeak *peak)
{
  const char *name;
  const BenchBurst burst = bench_loop_int8 (&name);
  return measure_if_any (name, burst, threads, seconds, peak);
}

gboolean
bench_peak_block (int threads, double seconds, BenchPeak *peak)
{
  const char *name;
  const BenchBurst burst = bench_loop_block (&name);
  return measure_if_any (name, burst, threads, seconds, peak);
}

gboolean
bench_peak_read (int threads, gsize bytes, double seconds, BenchPeak *peak)
{
  /* Large pages where there are any: what is measured is memory, not page tables. */
  const gsize page = (gsize)2 << 20, all = (gsize)threads * (bytes &= ~(gsize)4095) + page;
  char *memory = mmap (NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return FALSE;
  char *aligned = memory + (page - (gsize)(guintptr)memory % page) % page;
  (void)madvise (aligned, all - page, MADV_HUGEPAGE);
  memset (aligned, 1, all - page); /* else all pages are the one of zeros */
  const Worker pattern = { .memory = aligned, .bytes = bytes, .seconds = seconds };
  *peak = measure ("memory", threads, &pattern);
  munmap (memory, all);
  return TRUE;
}
