/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The loops are as many independent sums as hide the latency, and nothing
 * that a compiler could leave out, as the sums come out and are looked at.  Method: the usual one
 * of a peak, ports times width times two; at least 8 sums are needed where two units take 4 cycles
 * each, and 12 of 512 bits fit with room into 32 registers.  The inner loop of a product is the
 * usual block of 6 rows and 4 vectors, 24 sums for 10 loads.
 */
#include "config.h"
#include "bench-peak-loops.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define SUMS 12
/* Sums have names: of an array a compiler may make memory. */
#define EACH(DO)                                                                                   \
  DO (0) DO (1) DO (2) DO (3) DO (4) DO (5) DO (6) DO (7) DO (8) DO (9) DO (10) DO (11)
#define BURST 100000 /* rounds, a multiple of 8: a millisecond or less */

#if defined(__x86_64__)
/* gcc 12's AddressSanitizer lays out a frame of wide vectors with less alignment than it then
 * relies on (gcc bug 110027); these loops touch no memory that it could watch. */
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

#define STEPS 48 /* of K: 12 KB of B and 1 KB of A, which the nearest cache holds */
#define ROWS 6
#define SUM(i, row, b) "vfmadd231ps %%zmm" #b ", %%zmm" #row ", %%zmm" #i "\n\t"
#define ROW(at, row, i, j, k, l)                                                                   \
  "vbroadcastss " #at "(%[a]), %%zmm" #row "\n\t" SUM (i, row, 24) SUM (j, row, 25)                \
      SUM (k, row, 26) SUM (l, row, 27)

LOOP ("avx512f")
block_avx512 (double *ops)
{
  /* Of one value each, as what is loaded is of no matter; aligned by hand, see LOOP. */
  static float a[STEPS * ROWS] __attribute__ ((aligned (64))),
      b[STEPS * 64] __attribute__ ((aligned (64)));
  float out[16];
  double sum = 0;
  for (int i = 0; i < STEPS * ROWS; i++)
    a[i] = 1.0f;
  for (int i = 0; i < STEPS * 64; i++)
    b[i] = 0.25f;
  long rounds = BURST / 2 / STEPS;
  const float *at_a = a, *at_b = b;
  __m512 s0, s11, s23;
  __asm__ volatile(
      ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23\n\t"
      "vpxord %%zmm\\n, %%zmm\\n, %%zmm\\n\n\t.endr\n"
      "1:\n\t"
      "mov %[first_a], %[a]\n\tmov %[first_b], %[b]\n\tmov %[steps], %%ecx\n"
      "2:\n\t"
      "vmovaps (%[b]), %%zmm24\n\tvmovaps 64(%[b]), %%zmm25\n\t"
      "vmovaps 128(%[b]), %%zmm26\n\tvmovaps 192(%[b]), %%zmm27\n\t" ROW (0, 28, 0, 1, 2,
                                                                          3) ROW (4, 29, 4, 5, 6, 7)
          ROW (8, 30, 8, 9, 10, 11) ROW (12, 31, 12, 13, 14, 15) ROW (16, 28, 16, 17, 18, 19) ROW (
              20, 29, 20, 21, 22,
              23) "add $24, %[a]\n\tadd $256, %[b]\n\tdec %%ecx\n\tjnz 2b\n\t"
                  "dec %[rounds]\n\tjnz 1b\n\t"
                  "vmovaps %%zmm0, %[s0]\n\tvmovaps %%zmm11, %[s11]\n\tvmovaps %%zmm23, %[s23]\n"
      : [a] "+&r"(at_a), [b] "+&r"(at_b), [rounds] "+&r"(rounds), [s0] "=m"(s0), [s11] "=m"(s11),
        [s23] "=m"(s23)
      : [first_a] "r"(a), [first_b] "r"(b), [steps] "i"(STEPS)
      : "rcx", "cc", "memory", "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7",
        "zmm8", "zmm9", "zmm10", "zmm11", "zmm12", "zmm13", "zmm14", "zmm15", "zmm16", "zmm17",
        "zmm18", "zmm19", "zmm20", "zmm21", "zmm22", "zmm23", "zmm24", "zmm25", "zmm26", "zmm27",
        "zmm28", "zmm29", "zmm30", "zmm31");
  const __m512 s[] = { s0, s11, s23 };
  for (int k = 0; k < 3; k++)
    {
      _mm512_storeu_ps (out, s[k]);
      for (int i = 0; i < 16; i++)
        sum += 8 * (double)out[i]; /* three sums stand for all 24, which are alike */
    }
  *ops = 2.0 * 16 * 24 * STEPS * (BURST / 2 / STEPS);
  return sum;
}
#undef ROW
#undef SUM
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

BenchBurst
bench_loop_fma (const char **name)
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

BenchBurst
bench_loop_int8 (const char **name)
{
#if defined(__x86_64__)
  __builtin_cpu_init ();
  if (__builtin_cpu_supports ("avx512vnni"))
    {
      *name = "AVX-512 VNNI";
      return int8_avx512;
    }
  if (__builtin_cpu_supports ("avxvnni"))
    {
      *name = "AVX VNNI";
      return int8_avx2;
    }
#endif
  *name = NULL;
  return NULL;
}

BenchBurst
bench_loop_block (const char **name)
{
#if defined(__x86_64__)
  __builtin_cpu_init ();
  if (__builtin_cpu_supports ("avx512f"))
    {
      *name = "6 x 64 block from L1";
      return block_avx512;
    }
#endif
  *name = NULL;
  return NULL;
}
