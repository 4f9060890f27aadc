/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-gemm-int8.c: see kit-gemm-int8.h.  A block of 6 rows and 64 columns of C is 24 of the 32
 * registers, and stays there for all of K.
 */
#include "kit-gemm-int8.h"

#include "kit-parallel.h"

#include <string.h>

#define COLUMNS SORA_KIT_GEMM_INT8_COLUMNS

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_X86 1
#include <immintrin.h>

#define DEFINE_KERNEL(rows)                                                                        \
  SORA_KIT_KERNEL ("avx512f,avx512vnni") static void vnni_##rows (                                 \
      int64_t k, const uint8_t *a, int64_t lda, const int8_t *panel, int32_t *c)                   \
  {                                                                                                \
    __m512i acc[rows][4];                                                                          \
    _Pragma ("GCC unroll 8") for (int r = 0; r < rows; r++)                                        \
        _Pragma ("GCC unroll 4") for (int v = 0; v < 4; v++) acc[r][v]                             \
        = _mm512_setzero_si512 ();                                                                 \
    for (int64_t i = 0; i < k; i += 4, a += 4, panel += 4 * COLUMNS)                               \
      {                                                                                            \
        __m512i b[4];                                                                              \
        _Pragma ("GCC unroll 4") for (int v = 0; v < 4; v++) b[v]                                  \
            = _mm512_load_si512 (panel + 64 * v);                                                  \
        _Pragma ("GCC unroll 8") for (int r = 0; r < rows; r++)                                    \
        {                                                                                          \
          int32_t four;                                                                            \
          memcpy (&four, a + r * lda, sizeof four);                                                \
          const __m512i spread = _mm512_set1_epi32 (four);                                         \
          _Pragma ("GCC unroll 4") for (int v = 0; v < 4; v++) acc[r][v]                           \
              = _mm512_dpbusd_epi32 (acc[r][v], spread, b[v]);                                     \
        }                                                                                          \
      }                                                                                            \
    _Pragma ("GCC unroll 8") for (int r = 0; r < rows; r++)                                        \
        _Pragma ("GCC unroll 4") for (int v = 0; v < 4; v++)                                       \
            _mm512_storeu_si512 (c + r * COLUMNS + 16 * v, acc[r][v]);                             \
  }
DEFINE_KERNEL (6)
DEFINE_KERNEL (4)
DEFINE_KERNEL (2)
DEFINE_KERNEL (1)

static void
run_vnni (int64_t m, int64_t k, const uint8_t *a, int64_t lda, const int8_t *panel, int32_t *c)
{
  int64_t row = 0;
  for (; row + 6 <= m; row += 6)
    vnni_6 (k, a + row * lda, lda, panel, c + row * COLUMNS);
  if (row + 4 <= m)
    {
      vnni_4 (k, a + row * lda, lda, panel, c + row * COLUMNS);
      row += 4;
    }
  if (row + 2 <= m)
    {
      vnni_2 (k, a + row * lda, lda, panel, c + row * COLUMNS);
      row += 2;
    }
  if (row < m)
    vnni_1 (k, a + row * lda, lda, panel, c + row * COLUMNS);
}
#endif

SORA_KIT_MULTIVERSION static void
run_generic (int64_t m, int64_t k, const uint8_t *a, int64_t lda, const int8_t *panel, int32_t *c)
{
  for (int64_t row = 0; row < m; row++, a += lda, c += COLUMNS)
    {
      int32_t sums[COLUMNS] = { 0 };
      const int8_t *b = panel;
      for (int64_t i = 0; i < k; i += 4, b += 4 * COLUMNS)
        {
          const int32_t a0 = a[i], a1 = a[i + 1], a2 = a[i + 2], a3 = a[i + 3];
          for (int col = 0; col < COLUMNS; col++)
            sums[col] += a0 * b[4 * col] + a1 * b[4 * col + 1] + a2 * b[4 * col + 2]
                         + a3 * b[4 * col + 3];
        }
      memcpy (c, sums, sizeof sums);
    }
}

typedef struct
{
  const char *name;
  void (*run) (int64_t m, int64_t k, const uint8_t *a, int64_t lda, const int8_t *panel,
               int32_t *c);
} Isa;

/* By falling speed. */
static const Isa all[] = {
#ifdef HAVE_X86
  { "avx512-vnni", run_vnni },
#endif
  { "generic", run_generic },
};

static int
have (const Isa *isa)
{
#ifdef HAVE_X86
  if (isa->run == run_vnni)
    return __builtin_cpu_supports ("avx512f") && __builtin_cpu_supports ("avx512vnni");
#endif
  return isa->run == run_generic;
}

static const Isa *chosen; /* by sora_kit_gemm_int8_use() */

static const Isa *
isa (void)
{
  int i = 0;
  if (chosen != NULL)
    return chosen;
  while (!have (&all[i]))
    i++;
  return &all[i];
}

int
sora_kit_gemm_int8_use (const char *name)
{
  chosen = NULL;
  if (name == NULL)
    return 0;
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    if (strcmp (all[i].name, name) == 0 && have (&all[i]))
      {
        chosen = &all[i];
        return 0;
      }
  return -1;
}

const char *
sora_kit_gemm_int8_isa (void)
{
  return isa ()->name;
}

void
sora_kit_gemm_int8_run (int64_t m, int64_t k, const uint8_t *a, int64_t lda, const int8_t *panel,
                        int32_t *c)
{
  isa ()->run (m, k, a, lda, panel, c);
}
