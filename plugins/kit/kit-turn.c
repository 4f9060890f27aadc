/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Weights as they are stored, turned and widened.  With AVX-512 16 rows are turned at a time, as 32-bit
 * words: a word of bf16 or f16 is two neighbours of a row, which part after the turn, so that two
 * shuffles make a vector of 16 weights.  A product over 40 rows then has 40 multiply-adds for each of
 * them.
 */
#include "kit-turn.h"

#include "kit-convert.h"
#include "kit-gemm.h"
#include "sora-plugin.h"

#include <string.h>

/* See SORA_KIT_KERNEL. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__)
#define HAVE_X86 1
/* GCC 12's own header warns of itself where it means "any value" (GCC bug 105593). */
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#endif

/* Elements of a row that are widened at once. */
#define RUN 128

static void
turn_generic (const char *weights, int dtype, int64_t ld, int64_t rows, int64_t k, int64_t width,
              float *panel)
{
  const int64_t size = (int64_t)sora_kit_dtype_size (dtype);
  float row[RUN];

  for (int64_t n = 0; n < width; n++)
    for (int64_t first = 0; first < k; first += RUN)
      {
        const int64_t count = k - first < RUN ? k - first : RUN;
        if (n < rows)
          (void)sora_kit_to_f32 (weights + (n * ld + first) * size, dtype, row, (size_t)count);
        else
          memset (row, 0, sizeof row);
        for (int64_t i = 0; i < count; i++)
          panel[(first + i) * width + n] = row[i];
      }
}

#ifdef HAVE_X86
#define AVX512 __attribute__ ((target ("avx512f,avx512bw")))

/* 16 × 16 words, turned in place. */
AVX512 static inline __attribute__ ((always_inline)) void
turn_words (__m512i v[16])
{
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++)
    {
      t[2 * i] = _mm512_unpacklo_epi32 (v[2 * i], v[2 * i + 1]);
      t[2 * i + 1] = _mm512_unpackhi_epi32 (v[2 * i], v[2 * i + 1]);
    }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++)
    {
      v[4 * i] = _mm512_unpacklo_epi64 (t[4 * i], t[4 * i + 2]);
      v[4 * i + 1] = _mm512_unpackhi_epi64 (t[4 * i], t[4 * i + 2]);
      v[4 * i + 2] = _mm512_unpacklo_epi64 (t[4 * i + 1], t[4 * i + 3]);
      v[4 * i + 3] = _mm512_unpackhi_epi64 (t[4 * i + 1], t[4 * i + 3]);
    }
    /* v[4 i + j] has in its quarter q the words 4 q + j of rows 4 i … 4 i + 3. */
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++)
    {
      t[j] = _mm512_shuffle_i32x4 (v[j], v[4 + j], 0x88);
      t[4 + j] = _mm512_shuffle_i32x4 (v[j], v[4 + j], 0xdd);
      t[8 + j] = _mm512_shuffle_i32x4 (v[8 + j], v[12 + j], 0x88);
      t[12 + j] = _mm512_shuffle_i32x4 (v[8 + j], v[12 + j], 0xdd);
    }
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++)
    {
      v[j] = _mm512_shuffle_i32x4 (t[j], t[8 + j], 0x88);
      v[4 + j] = _mm512_shuffle_i32x4 (t[4 + j], t[12 + j], 0x88);
      v[8 + j] = _mm512_shuffle_i32x4 (t[j], t[8 + j], 0xdd);
      v[12 + j] = _mm512_shuffle_i32x4 (t[4 + j], t[12 + j], 0xdd);
    }
}

/* Up to 16 rows, up to 16 words of each: what is missing is zeros. */
AVX512 static inline __attribute__ ((always_inline)) void
load_words (__m512i v[16], const char *weights, int64_t row_bytes, int64_t rows, __mmask32 halves)
{
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++)
    v[i] = i < rows ? _mm512_maskz_loadu_epi16 (halves, weights + i * row_bytes)
                    : _mm512_setzero_si512 ();
  turn_words (v);
}

AVX512 static inline __attribute__ ((always_inline)) void
store_pair (float *to, int64_t width, __m512i word, int dtype, int64_t left)
{
  __m512 low, high;

  if (dtype == SORA_BF16)
    {
      low = _mm512_castsi512_ps (_mm512_slli_epi32 (word, 16));
      high = _mm512_castsi512_ps (_mm512_and_si512 (word, _mm512_set1_epi32 ((int)0xffff0000u)));
    }
  else
    {
      low = _mm512_cvtph_ps (_mm512_cvtepi32_epi16 (word));
      high = _mm512_cvtph_ps (_mm512_cvtepi32_epi16 (_mm512_srli_epi32 (word, 16)));
    }
  _mm512_store_ps (to, low);
  if (left > 1)
    _mm512_store_ps (to + width, high);
}

/* 16 columns of the panel. */
AVX512 static inline __attribute__ ((always_inline)) void
turn_columns (const char *weights, int dtype, int64_t ld, int64_t rows, int64_t k, int64_t width,
              float *panel)
{
  const int64_t size = dtype == SORA_F32 ? 4 : 2, step = 64 / size;
  __m512i v[16];

  for (int64_t first = 0; first < k; first += step)
    {
      const int64_t left = k - first < step ? k - first : step, halves = left * size / 2;
      const __mmask32 mask = halves == 32 ? 0xffffffffu : (1u << halves) - 1;
      load_words (v, weights + first * size, ld * size, rows, mask);
      float *to = panel + first * width;
      if (dtype == SORA_F32)
        {
#pragma GCC unroll 16
          for (int i = 0; i < 16; i++)
            if (i < left)
              _mm512_store_ps (to + i * width, _mm512_castsi512_ps (v[i]));
        }
      else
        {
#pragma GCC unroll 16
          for (int i = 0; i < 16; i++)
            if (2 * i < left)
              store_pair (to + 2 * i * width, width, v[i], dtype, left - 2 * i);
        }
    }
}

AVX512 static void
turn_avx512 (const char *weights, int dtype, int64_t ld, int64_t rows, int64_t k, int64_t width,
             float *panel)
{
  const int64_t row_bytes = ld * (dtype == SORA_F32 ? 4 : 2);

  for (int64_t n = 0; n < width; n += 16, weights += 16 * row_bytes, panel += 16)
    {
      const int64_t have = rows - n < 16 ? rows - n : 16;
      /* One text each, so that what does not differ within it is known to the compiler. */
      if (dtype == SORA_BF16)
        turn_columns (weights, SORA_BF16, ld, have, k, width, panel);
      else if (dtype == SORA_F16)
        turn_columns (weights, SORA_F16, ld, have, k, width, panel);
      else
        turn_columns (weights, SORA_F32, ld, have, k, width, panel);
    }
}
#endif

void
sora_kit_turn (const void *weights, int dtype, int64_t ld, int64_t rows, int64_t k, float *panel)
{
  const int64_t width = sora_kit_pad16 (rows);

#ifdef HAVE_X86
  if (strcmp (sora_kit_gemm_isa (), "avx512") == 0 && __builtin_cpu_supports ("avx512bw"))
    {
      turn_avx512 (weights, dtype, ld, rows, k, width, panel);
      return;
    }
#endif
  turn_generic (weights, dtype, ld, rows, k, width, panel);
}
