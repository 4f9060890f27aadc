/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The loops are written with intrinsics: as many independent sums as hide the latency, and nothing
 * that a compiler could leave out, as the sums come out and are looked at.  Method: the usual one
 * of a peak, ports times width times two; at least 8 sums are needed where two units take 4 cycles
 * each, and 12 of 512 bits fit with room into 32 registers.
 */
#include "config.h"
#include "bench-peak.h"
#include "bench-clock.h"
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define SUMS 12
/* Sums have names: of an array a compiler may make memory. */
#define EACH(DO)                                                                                   \
  DO (0) DO (1) DO (2) DO (3) DO (4) DO (5) DO (6) DO (7) DO (8) DO (9) DO (10) DO (11)
#define BURST 100000 /* rounds: a millisecond or less */

/* One burst gives its operations, and the sum of what it summed. */
typedef double (*Burst) (double *ops);

static volatile double sink;

#if defined(__x86_64__)
__attribute__ ((target ("avx512f"))) static double
fma_avx512 (double *ops)
{
  const __m512 a = _mm512_set1_ps (1.0f), b = _mm512_set1_ps (0.25f);
#define ZERO(k) __m512 s##k = _mm512_setzero_ps ();
#define STEP(k)                                                                                    \
  s##k = _mm512_fmadd_ps (a, b, s##k);                                                             \
  __asm__("" : "+v"(s##k));
#define SUM(k)                                                                                     \
  _mm512_storeu_ps (out, s##k);                                                                    \
  for (int i = 0; i < 16; i++)                                                                     \
    sum += (double)out[i];
  float out[16];
  EACH (ZERO)
  for (int i = 0; i < BURST; i++)
    {
      EACH (STEP)
    }
  double sum = 0;
  EACH (SUM)
#undef ZERO
#undef STEP
#undef SUM
  *ops = 2.0 * 16 * SUMS * BURST;
  return sum;
}

__attribute__ ((target ("avx2,fma"))) static double
fma_avx2 (double *ops)
{
  const __m256 a = _mm256_set1_ps (1.0f), b = _mm256_set1_ps (0.25f);
#define ZERO(k) __m256 s##k = _mm256_setzero_ps ();
#define STEP(k)                                                                                    \
  s##k = _mm256_fmadd_ps (a, b, s##k);                                                             \
  __asm__("" : "+x"(s##k));
#define SUM(k)                                                                                     \
  _mm256_storeu_ps (out, s##k);                                                                    \
  for (int i = 0; i < 8; i++)                                                                      \
    sum += (double)out[i];
  float out[8];
  EACH (ZERO)
  for (int i = 0; i < BURST; i++)
    {
      EACH (STEP)
    }
  double sum = 0;
  EACH (SUM)
#undef ZERO
#undef STEP
#undef SUM
  *ops = 2.0 * 8 * SUMS * BURST;
  return sum;
}

__attribute__ ((target ("avx512f,avx512vnni"))) static double
int8_avx512 (double *ops)
{
  const __m512i a = _mm512_set1_epi8 (2), b = _mm512_set1_epi8 (1);
#define ZERO(k) __m512i s##k = _mm512_setzero_si512 ();
#define STEP(k)                                                                                    \
  s##k = _mm512_dpbusd_epi32 (s##k, a, b);                                                         \
  __asm__("" : "+v"(s##k));
#define SUM(k)                                                                                     \
  _mm512_storeu_si512 (out, s##k);                                                                 \
  for (int i = 0; i < 16; i++)                                                                     \
    sum += (double)out[i];
  gint32 out[16];
  EACH (ZERO)
  for (int i = 0; i < BURST; i++)
    {
      EACH (STEP)
    }
  double sum = 0;
  EACH (SUM)
#undef ZERO
#undef STEP
#undef SUM
  *ops = 2.0 * 64 * SUMS * BURST;
  return sum;
}

__attribute__ ((target ("avx2,avxvnni"))) static double
int8_avx2 (double *ops)
{
  const __m256i a = _mm256_set1_epi8 (2), b = _mm256_set1_epi8 (1);
#define ZERO(k) __m256i s##k = _mm256_setzero_si256 ();
#define STEP(k)                                                                                    \
  s##k = _mm256_dpbusd_avx_epi32 (s##k, a, b);                                                     \
  __asm__("" : "+x"(s##k));
#define SUM(k)                                                                                     \
  _mm256_storeu_si256 ((__m256i *)out, s##k);                                                      \
  for (int i = 0; i < 8; i++)                                                                      \
    sum += (double)out[i];
  gint32 out[8];
  EACH (ZERO)
  for (int i = 0; i < BURST; i++)
    {
      EACH (STEP)
    }
  double sum = 0;
  EACH (SUM)
#undef ZERO
#undef STEP
#undef SUM
  *ops = 2.0 * 32 * SUMS * BURST;
  return sum;
}
#endif

/* What the compiler makes of vectors of four floats on any processor. */
static double
fma_portable (double *ops)
{
  typedef float Four __attribute__ ((vector_size (16)));
  volatile float one = 1, quarter = 0.25f; /* else the sums are known beforehand */
  const Four a = { one, one, one, one }, b = { quarter, quarter, quarter, quarter };
#define ZERO(k) Four s##k = { 0 };
#define STEP(k) s##k = s##k * a + b;
#define SUM(k)                                                                                     \
  for (int i = 0; i < 4; i++)                                                                      \
    sum += (double)s##k[i];
  EACH (ZERO)
  for (int i = 0; i < BURST; i++)
    {
      EACH (STEP)
    }
  double sum = 0;
  EACH (SUM)
#undef ZERO
#undef STEP
#undef SUM
  *ops = 2.0 * 4 * SUMS * BURST;
  return sum;
}

static Burst
choose_fma (const char **name)
{
#if defined(__x86_64__)
  __builtin_cpu_init ();
  if (__builtin_cpu_supports ("avx512f"))
    {
      *name = "AVX-512 FMA";
      return fma_avx512;
    }
  if (__builtin_cpu_supports ("avx2") && __builtin_cpu_supports ("fma"))
    {
      *name = "AVX2 FMA";
      return fma_avx2;
    }
#endif
  *name = "f32, four at a time";
  return fma_portable;
}

/* ---- on all threads at the same time */

typedef struct
{
  Burst burst;
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
  const Worker pattern = { .burst = choose_fma (&name), .seconds = seconds };
  return measure (name, threads, &pattern);
}

gboolean
bench_peak_int8 (int threads, double seconds, BenchPeak *peak)
{
  const char *name = NULL;
  Worker pattern = { .seconds = seconds };
#if defined(__x86_64__)
  __builtin_cpu_init ();
  if (__builtin_cpu_supports ("avx512vnni"))
    {
      name = "AVX-512 VNNI";
      pattern.burst = int8_avx512;
    }
  else if (__builtin_cpu_supports ("avxvnni"))
    {
      name = "AVX VNNI";
      pattern.burst = int8_avx2;
    }
#endif
  if (pattern.burst == NULL)
    return FALSE;
  *peak = measure (name, threads, &pattern);
  return TRUE;
}

gboolean
bench_peak_read (int threads, gsize bytes, double seconds, BenchPeak *peak)
{
  bytes &= ~(gsize)4095;
  char *memory = g_try_malloc ((gsize)threads * bytes + 64);
  if (memory == NULL)
    return FALSE;
  char *aligned = memory + (64 - (gsize)(guintptr)memory % 64) % 64;
  memset (aligned, 1, (gsize)threads * bytes); /* else all pages are the one of zeros */
  const Worker pattern = { .memory = aligned, .bytes = bytes, .seconds = seconds };
  *peak = measure ("memory", threads, &pattern);
  g_free (memory);
  return TRUE;
}

double
bench_peak_burst (double *fma)
{
  const char *name;
  double ops, sum = choose_fma (&name) (&ops);
  *fma = ops / 2;
  return sum;
}
