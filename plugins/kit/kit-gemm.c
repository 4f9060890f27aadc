/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-gemm.c: see kit-gemm.h.  Register blocks are chosen so that accumulators, one row of B and
 * one spread value of A fill the register file: 24 of 32 with AVX-512, 12 of 16 else.
 */
#include "kit-gemm.h"

#include <string.h>

/* Under AddressSanitizer GCC 12 lays 64-byte vectors on its own stack without their alignment (GCC
 * bug 110027): the generic kernels are of the same text, and checked. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__)
#define HAVE_X86 1
#include <immintrin.h>
#endif

typedef void (*Kernel) (const SoraKitGemm *g, int64_t row, int64_t col, const float *panel,
                        int64_t width);

/* Panels of 4, 3, 2 or 1 times 16 columns; 5 are cut as 3 + 2 and 6 as 3 + 3, which is less work
 * than 4 + 1, 4 + 2. */
static inline int
panel_width (int64_t left16)
{
  return left16 <= 4 ? (int)left16 : left16 == 5 || left16 == 6 ? 3 : 4;
}

size_t
sora_kit_gemm_offset (int64_t n, int64_t rows, int64_t row, int64_t col)
{
  int64_t first = 0, width = 16 * panel_width (n / 16);
  while (col >= first + width)
    {
      first += width;
      width = 16 * panel_width ((n - first) / 16);
    }
  return (size_t)(first * rows + row * width + col - first);
}

#ifdef HAVE_X86
#define KERNEL_TARGET __attribute__ ((target ("avx512f")))
#define KERNEL_NAME(rows, vectors) avx512_##rows##_##vectors
#define VECTOR __m512
#define LANES 16
#define LOAD(p) _mm512_load_ps (p)
#define STORE(p, v) _mm512_store_ps ((p), (v))
#define SPREAD(x) _mm512_set1_ps (x)
#define ADD(a, b) _mm512_add_ps ((a), (b))
#define MADD(a, b, c) _mm512_fmadd_ps ((a), (b), (c))
#include "kit-gemm-kernel.h"
DEFINE_KERNEL (14, 1)
DEFINE_KERNEL (12, 2)
DEFINE_KERNEL (8, 3)
DEFINE_KERNEL (6, 4)
DEFINE_KERNEL (4, 1)
DEFINE_KERNEL (4, 2)
DEFINE_KERNEL (4, 3)
DEFINE_KERNEL (4, 4)
DEFINE_KERNEL (2, 1)
DEFINE_KERNEL (2, 2)
DEFINE_KERNEL (2, 3)
DEFINE_KERNEL (2, 4)
DEFINE_KERNEL (1, 1)
DEFINE_KERNEL (1, 2)
DEFINE_KERNEL (1, 3)
DEFINE_KERNEL (1, 4)
#undef KERNEL_TARGET
#undef KERNEL_NAME
#undef VECTOR
#undef LANES
#undef LOAD
#undef STORE
#undef SPREAD
#undef ADD
#undef MADD
#undef DEFINE_KERNEL

#define KERNEL_TARGET __attribute__ ((target ("avx2,fma")))
#define KERNEL_NAME(rows, vectors) avx2_##rows##_##vectors
#define VECTOR __m256
#define LANES 8
#define LOAD(p) _mm256_load_ps (p)
#define STORE(p, v) _mm256_store_ps ((p), (v))
#define SPREAD(x) _mm256_set1_ps (x)
#define ADD(a, b) _mm256_add_ps ((a), (b))
#define MADD(a, b, c) _mm256_fmadd_ps ((a), (b), (c))
#include "kit-gemm-kernel.h"
DEFINE_KERNEL (6, 2)
DEFINE_KERNEL (4, 2)
DEFINE_KERNEL (2, 2)
DEFINE_KERNEL (1, 2)
#undef KERNEL_TARGET
#undef KERNEL_NAME
#undef VECTOR
#undef LANES
#undef LOAD
#undef STORE
#undef SPREAD
#undef ADD
#undef MADD
#undef DEFINE_KERNEL
#endif

typedef float Vector4 __attribute__ ((vector_size (16)));
#define KERNEL_TARGET
#define KERNEL_NAME(rows, vectors) generic_##rows##_##vectors
#define VECTOR Vector4
#define LANES 4
#define LOAD(p) (*(const Vector4 *)(p))
#define STORE(p, v) (*(Vector4 *)(p) = (v))
#define SPREAD(x) ((Vector4){ (x), (x), (x), (x) })
#define ADD(a, b) ((a) + (b))
#define MADD(a, b, c) ((c) + (a) * (b))
#include "kit-gemm-kernel.h"
DEFINE_KERNEL (2, 4)
DEFINE_KERNEL (1, 4)

/* For each count of 16-column vectors that a panel is walked in: kernels by falling rows, ended
 * by 1. */
typedef struct
{
  const char *name;
  int step; /* how many vectors of 16 a kernel takes; 0: the whole panel */
  struct
  {
    int rows;
    Kernel run;
  } kernels[4][4];
} Isa;

#ifdef HAVE_X86
static const Isa avx512
    = { "avx512",
        0,
        { { { 14, avx512_14_1 }, { 4, avx512_4_1 }, { 2, avx512_2_1 }, { 1, avx512_1_1 } },
          { { 12, avx512_12_2 }, { 4, avx512_4_2 }, { 2, avx512_2_2 }, { 1, avx512_1_2 } },
          { { 8, avx512_8_3 }, { 4, avx512_4_3 }, { 2, avx512_2_3 }, { 1, avx512_1_3 } },
          { { 6, avx512_6_4 }, { 4, avx512_4_4 }, { 2, avx512_2_4 }, { 1, avx512_1_4 } } } };
static const Isa avx2
    = { "avx2", 1, { { { 6, avx2_6_2 }, { 4, avx2_4_2 }, { 2, avx2_2_2 }, { 1, avx2_1_2 } } } };
#endif
static const Isa generic = { "generic", 1, { { { 2, generic_2_4 }, { 1, generic_1_4 } } } };

/* By falling speed. */
static const Isa *const all[] = {
#ifdef HAVE_X86
  &avx512, &avx2,
#endif
  &generic
};

static int
have (const Isa *isa)
{
#ifdef HAVE_X86
  if (isa == &avx512)
    return __builtin_cpu_supports ("avx512f");
  if (isa == &avx2)
    return __builtin_cpu_supports ("avx2") && __builtin_cpu_supports ("fma");
#endif
  return 1;
}

static const Isa *chosen; /* by sora_kit_gemm_use() */

static const Isa *
isa (void)
{
  int i = 0;
  if (chosen != NULL)
    return chosen;
  while (!have (all[i]))
    i++;
  return all[i];
}

int
sora_kit_gemm_use (const char *name)
{
  chosen = NULL;
  if (name == NULL)
    return 0;
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    if (strcmp (all[i]->name, name) == 0 && have (all[i]))
      {
        chosen = all[i];
        return 0;
      }
  return -1;
}

const char *
sora_kit_gemm_isa (void)
{
  return isa ()->name;
}

void
sora_kit_gemm_run (const SoraKitGemm *g)
{
  const Isa *use = isa ();
  for (int64_t first = 0; first < g->n;)
    {
      const int vectors = panel_width ((g->n - first) / 16);
      const int step = use->step != 0 ? use->step : vectors;
      for (int v = 0; v < vectors; v += step)
        {
          const float *panel = g->b + first * g->b_rows + 16 * v;
          int64_t row = 0;
          for (int i = 0; row < g->m; i++)
            {
              const int rows = use->kernels[step - 1][i].rows;
              for (; row + rows <= g->m; row += rows)
                use->kernels[step - 1][i].run (g, row, first + 16 * v, panel, 16 * vectors);
            }
        }
      first += 16 * vectors;
    }
}
