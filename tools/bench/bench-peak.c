/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The loops are as many independent sums as hide the latency, and nothing
 * that a compiler could leave out, as the sums come out and are looked at.  Method: the usual one
 * of a peak, ports times width times two; at least 8 sums are needed where two units take 4 cycles
 * each, and 12 of 512 bits fit with room into 32 registers.
 */
#include "config.h"
#include "bench-peak.h"
#include "bench-clock.h"
#include <string.h>
#include <sys/mman.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define SUMS 12
/* Sums have names: of an array a compiler may make memory. */
#define EACH(DO)                                                                                   \
  DO (0) DO (1) DO (2) DO (3) DO (4) DO (5) DO (6) DO (7) DO (8) DO (9) DO (10) DO (11)
#define BURST 100000 /* rounds, a multiple of 8: a millisecond or less */

/* One burst gives its operations, and the sum of what it summed. */
typedef double (*Burst) (double *ops);

static volatile double sink;

#if defined(__x86_64__)
/* gcc 12's AddressSanitizer lays out a frame of wide vectors with less alignment than it then relies
 * on (gcc bug 110027); these loops touch no memory that it could watch. */
#define LOOP(isa) __attribute__ ((target (isa), no_sanitize_address)) static double

/* Eight rounds of twelve times the instruction, nothing else.  It is written out: between
 * intrinsics gcc 12 puts copies of registers, which cost a sixth of the rate. */
#define STEP(ins, k) ins " %[b], %[a], %[s" #k "]\n\t"
#define ROUND(ins, reg)                                                                            \
  __asm__ volatile(                                                                                \
      ".rept 8\n\t" STEP (ins, 0) STEP (ins, 1) STEP (ins, 2) STEP (ins, 3) STEP (ins, 4)          \
          STEP (ins, 5) STEP (ins, 6) STEP (ins, 7) STEP (ins, 8) STEP (ins, 9) STEP (ins, 10)     \
              STEP (ins, 11) ".endr\n\t"                                                           \
      : [s0] "+" reg (s0), [s1] "+" reg (s1), [s2] "+" reg (s2), [s3] "+" reg (s3),                \
        [s4] "+" reg (s4), [s5] "+" reg (s5), [s6] "+" reg (s6), [s7] "+" reg (s7),                \
        [s8] "+" reg (s8), [s9] "+" reg (s9), [s10] "+" reg (s10), [s11] "+" reg (s11)             \
      : [a] reg (a), [b] reg (b))

LOOP ("avx512f")
fma_avx512 (double *ops)
{
  const __m512 a = _mm512_set1_ps (1.0f), b = _mm512_set1_ps (0.25f);
  __m512 s[SUMS];
  float out[16];
  double sum = 0;
  __m512 s0 = _mm512_setzero_ps (), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0,
         s8 = s0, s9 = s0, s10 = s0, s11 = s0;
  for (int i = 0; i < BURST / 8; i++)
    ROUND ("vfmadd231ps", "v");
  s[0] = s0, s[1] = s1, s[2] = s2, s[3] = s3, s[4] = s4, s[5] = s5;
  s[6] = s6, s[7] = s7, s[8] = s8, s[9] = s9, s[10] = s10, s[11] = s11;
  for (int k = 0; k < SUMS; k++)
    {
      _mm512_storeu_ps (out, s[k]);
      for (int i = 0; i < 16; i++)
        sum += (double)out[i];
    }
  *ops = 2.0 * 16 * SUMS * BURST;
  return sum;
}

LOOP ("avx2,fma")
fma_avx2 (double *ops)
{
  const __m256 a = _mm256_set1_ps (1.0f), b = _mm256_set1_ps (0.25f);
  __m256 s[SUMS];
  float out[8];
  double sum = 0;
  __m256 s0 = _mm256_setzero_ps (), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0,
         s8 = s0, s9 = s0, s10 = s0, s11 = s0;
  for (int i = 0; i < BURST / 8; i++)
    ROUND ("vfmadd231ps", "x");
  s[0] = s0, s[1] = s1, s[2] = s2, s[3] = s3, s[4] = s4, s[5] = s5;
  s[6] = s6, s[7] = s7, s[8] = s8, s[9] = s9, s[10] = s10, s[11] = s11;
  for (int k = 0; k < SUMS; k++)
    {
      _mm256_storeu_ps (out, s[k]);
      for (int i = 0; i < 8; i++)
        sum += (double)out[i];
    }
  *ops = 2.0 * 8 * SUMS * BURST;
  return sum;
}

LOOP ("avx512f,avx512vnni")
int8_avx512 (double *ops)
{
  const __m512i a = _mm512_set1_epi8 (2), b = _mm512_set1_epi8 (1);
  __m512i s[SUMS];
  gint32 out[16];
  double sum = 0;
  __m512i s0 = _mm512_setzero_si512 (), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0,
          s7 = s0, s8 = s0, s9 = s0, s10 = s0, s11 = s0;
  for (int i = 0; i < BURST / 8; i++)
    ROUND ("vpdpbusd", "v");
  s[0] = s0, s[1] = s1, s[2] = s2, s[3] = s3, s[4] = s4, s[5] = s5;
  s[6] = s6, s[7] = s7, s[8] = s8, s[9] = s9, s[10] = s10, s[11] = s11;
  for (int k = 0; k < SUMS; k++)
    {
      _mm512_storeu_si512 (out, s[k]);
      for (int i = 0; i < 16; i++)
        sum += (double)out[i];
    }
  *ops = 2.0 * 64 * SUMS * BURST;
  return sum;
}

LOOP ("avx2,avxvnni")
int8_avx2 (double *ops)
{
  const __m256i a = _mm256_set1_epi8 (2), b = _mm256_set1_epi8 (1);
  __m256i s[SUMS];
  gint32 out[8];
  double sum = 0;
  __m256i s0 = _mm256_setzero_si256 (), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0,
          s7 = s0, s8 = s0, s9 = s0, s10 = s0, s11 = s0;
  for (int i = 0; i < BURST / 8; i++)
    ROUND ("%{vex%} vpdpbusd", "x");
  s[0] = s0, s[1] = s1, s[2] = s2, s[3] = s3, s[4] = s4, s[5] = s5;
  s[6] = s6, s[7] = s7, s[8] = s8, s[9] = s9, s[10] = s10, s[11] = s11;
  for (int k = 0; k < SUMS; k++)
    {
      _mm256_storeu_si256 ((__m256i *)out, s[k]);
      for (int i = 0; i < 8; i++)
        sum += (double)out[i];
    }
  *ops = 2.0 * 32 * SUMS * BURST;
  return sum;
}
#undef STEP
#undef ROUND
#endif

/* What the compiler makes of vectors of four floats on any processor. */
static double
fma_portable (double *ops)
{
  typedef float Four __attribute__ ((vector_size (16)));
  /* Else the sums are known beforehand, or known to be the same. */
  volatile float zero = 0, one = 1, quarter = 0.25f;
  const Four a = { one, one, one, one }, b = { quarter, quarter, quarter, quarter };
#define ZERO(k) Four s##k = { zero, zero, zero, zero };
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

double
bench_peak_burst (double *fma)
{
  const char *name;
  double ops, sum = choose_fma (&name) (&ops);
  *fma = ops / 2;
  return sum;
}
