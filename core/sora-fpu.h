/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The floating-point environment of a thread: read its control bits, compare, put them back, and
 * flush denormals. Status flags are left out: raising "inexact" is what arithmetic does.
 */
#pragma once
#include <stdint.h>

typedef struct
{
  uint32_t sse; /* MXCSR without its six flags; FPCR on AArch64 */
  uint32_t x87; /* the x87 control word */
} SoraFpu;

static inline SoraFpu
sora_fpu_get (void)
{
  SoraFpu fpu = { 0, 0 };
#if defined(__x86_64__)
  uint32_t mxcsr;
  uint16_t cw;
  __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
  __asm__ volatile("fnstcw %0" : "=m"(cw));
  fpu.sse = mxcsr & ~0x3fu;
  fpu.x87 = cw;
#elif defined(__aarch64__)
  uint64_t fpcr;
  __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
  fpu.sse = (uint32_t)fpcr;
#endif
  return fpu;
}

static inline void
sora_fpu_set (SoraFpu fpu)
{
#if defined(__x86_64__)
  uint32_t mxcsr = fpu.sse;
  uint16_t cw = (uint16_t)fpu.x87;
  __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
  __asm__ volatile("fldcw %0" : : "m"(cw));
#elif defined(__aarch64__)
  uint64_t fpcr = fpu.sse;
  __asm__ volatile("msr fpcr, %0" : : "r"(fpcr));
#else
  (void)fpu;
#endif
}

/* The same with denormals flushed to zero, in and out. */
static inline SoraFpu
sora_fpu_flush_denormals (SoraFpu fpu)
{
#if defined(__x86_64__)
  fpu.sse |= 0x8040u; /* FTZ, DAZ */
#elif defined(__aarch64__)
  fpu.sse |= 1u << 24; /* FZ */
#endif
  return fpu;
}

static inline int
sora_fpu_equal (SoraFpu a, SoraFpu b)
{
  return a.sse == b.sse && a.x87 == b.x87;
}
