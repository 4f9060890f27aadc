/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-vector: 16 floats at a time, by the compiler's vector extension, so that one text serves
 * every instruction set; for the inside of SORA_KIT_MULTIVERSION functions.
 */
#ifndef SORA_KIT_VECTOR_H
#define SORA_KIT_VECTOR_H

#include <stdint.h>
#include <string.h>

#define SORA_KIT_LANES 16
typedef float SoraKitV __attribute__ ((vector_size (64)));
typedef int32_t SoraKitVi __attribute__ ((vector_size (64)));
typedef float SoraKitVu __attribute__ ((vector_size (64), aligned (4), may_alias));

#define SORA_KIT_INLINE static inline __attribute__ ((always_inline))
/* Macros, since passing 64-byte vectors by value differs between instruction sets. */
#define sora_kit_v_load(p) ((SoraKitV) * (const SoraKitVu *)(p))
#define sora_kit_v_store(p, v) (*(SoraKitVu *)(p) = (SoraKitVu)(v))
#define sora_kit_v_set(s) ((SoraKitV){ 0 } + (s))
/* Lane by lane: a where the mask (of a comparison) is set, else b. */
#define sora_kit_v_select(mask, a, b)                                                              \
  ((SoraKitV)(((SoraKitVi)(mask) & (SoraKitVi)(a)) | (~(SoraKitVi)(mask) & (SoraKitVi)(b))))
#define sora_kit_v_max2(a, b) sora_kit_v_select ((a) > (b), a, b)

/* Half of the lanes onto the other half, four times: the sum, or the largest, of the lanes, in a
 * fixed order; it ends in lane 0. */
#define sora_kit_v_fold(v, op)                                                                     \
  do                                                                                               \
    {                                                                                              \
      v = op (v, __builtin_shufflevector (v, v, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12,    \
                                          13, 14, 15));                                            \
      v = op (v, __builtin_shufflevector (v, v, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7));  \
      v = op (v, __builtin_shufflevector (v, v, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3));  \
      v = op (v, __builtin_shufflevector (v, v, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1));  \
    }                                                                                              \
  while (0)
#define sora_kit_v_add2(a, b) ((a) + (b))

SORA_KIT_INLINE float
sora_kit_v_sum (const SoraKitV *v)
{
  SoraKitV a = *v;
  sora_kit_v_fold (a, sora_kit_v_add2);
  return a[0];
}

SORA_KIT_INLINE float
sora_kit_v_max (const SoraKitV *v)
{
  SoraKitV a = *v;
  sora_kit_v_fold (a, sora_kit_v_max2);
  return a[0];
}

/* e^x within 2e-7 relative for -87 <= x <= 88; below, about 1.6e-38; above, about 1.6e38.
 * Source: Cephes expf: 2^n e^r with |r| <= ln 2 / 2, a polynomial of degree 6, ln 2 in two parts.
 */
SORA_KIT_INLINE void
sora_kit_v_exp (SoraKitV *v)
{
  const SoraKitV magic
      = sora_kit_v_set (12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
  SoraKitV x = *v;
  SoraKitV low = sora_kit_v_set (-87.0f), high = sora_kit_v_set (88.0f);
  /* Written so that NaN stays NaN. */
  x = sora_kit_v_select (x < low, low, x);
  x = sora_kit_v_select (x > high, high, x);
  SoraKitV t = x * 1.44269504088896341f + magic;
  SoraKitVi n;
  SoraKitV scale;
  memcpy (&n, &t, sizeof n);
  SoraKitV whole = t - magic;
  SoraKitV r = x - whole * 0.693359375f;
  r = r - whole * -2.12194440e-4f;
  SoraKitV p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  /* The low bits of t hold n; shifted to the exponent's place, what is above falls out.  */
  n = (n << 23) + (127 << 23);
  memcpy (&scale, &n, sizeof scale);
  *v = p * scale;
}

/* 2^x within 3.5e-6 relative for -126 <= x <= 127, and exactly 1 for 0; below, about 1.2e-38.  For
 * weights of 8 bits.  Source: a polynomial of degree 4 with the least largest relative error on
 * [-1/2, 1/2] (2.8e-6) of those that are 1 at 0, found by Lawson's algorithm (1961). */
SORA_KIT_INLINE void
sora_kit_v_exp2 (SoraKitV *v)
{
  const SoraKitV magic = sora_kit_v_set (12582912.0f), low = sora_kit_v_set (-126.0f);
  SoraKitV x = *v;
  x = sora_kit_v_select (x < low, low, x);
  const SoraKitV t = x + magic, r = x - (t - magic);
  SoraKitV p = r * 9.582853321e-3f + 5.590642625e-2f;
  p = p * r + 2.402409862e-1f;
  p = p * r + 6.931241932e-1f;
  p = p * r + 1.0f;
  *v = (SoraKitV)((SoraKitVi)p + ((SoraKitVi)t << 23));
}

#endif
