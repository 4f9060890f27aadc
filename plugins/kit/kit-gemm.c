/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-gemm.c: see kit-gemm.h.  Register blocks are chosen so that accumulators, one row of B and
 * one spread value of A fill the register file: 24 of 32 with AVX-512, 12 of 16 else.
 */
#include "kit-gemm.h"

#include "kit-parallel.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_X86 1
#include <immintrin.h>
#endif

/* What of a product is done at once: a part of A and B, or some, and all rows. */
typedef struct
{
  int first, end;                 /* parts */
  const float *from, *bias, *add; /* begin with one of the first two, or zeros; add the last */
  float *to;
  int cross;   /* in place of @to: what stands in C plus and minus it, to C and C2 */
  int64_t far; /* bytes that are fetched ahead with each k */
} Step;

typedef void (*Kernel) (const SoraKitGemm *g, const Step *step, int64_t row, int64_t col,
                        const float *b, int64_t width, const char *ahead);

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
#define KERNEL_TARGET SORA_KIT_KERNEL ("avx512f")
#define KERNEL_NAME(rows, vectors) avx512_##rows##_##vectors
#define VECTOR __m512
#define LANES 16
#define LOAD(p) _mm512_load_ps (p)
#define STORE(p, v) _mm512_store_ps ((p), (v))
#define SPREAD(x) _mm512_set1_ps (x)
#define ADD(a, b) _mm512_add_ps ((a), (b))
#define SUB(a, b) _mm512_sub_ps ((a), (b))
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
#undef SUB
#undef MADD
#undef DEFINE_KERNEL
#undef PLACE
#undef EACH_ELEMENT

#define KERNEL_TARGET __attribute__ ((target ("avx2,fma")))
#define KERNEL_NAME(rows, vectors) avx2_##rows##_##vectors
#define VECTOR __m256
#define LANES 8
#define LOAD(p) _mm256_load_ps (p)
#define STORE(p, v) _mm256_store_ps ((p), (v))
#define SPREAD(x) _mm256_set1_ps (x)
#define ADD(a, b) _mm256_add_ps ((a), (b))
#define SUB(a, b) _mm256_sub_ps ((a), (b))
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
#undef SUB
#undef MADD
#undef DEFINE_KERNEL
#undef PLACE
#undef EACH_ELEMENT
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
#define SUB(a, b) ((a) - (b))
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

/* A part a step; all at once where what stands in C is added to their sum. */
static int
steps_of (const SoraKitGemm *g)
{
  return g->c2 != NULL ? 4 : g->add != NULL && g->add == g->c ? 1 : g->parts;
}

/* F(2, 3)'s parts are summed in this order. */
static int
part_of (const SoraKitGemm *g, int i)
{
  static const int order[4] = { 1, 2, 0, 3 };
  return g->c2 != NULL ? order[i] : i;
}

static Step
step_of (const SoraKitGemm *g, int i)
{
  Step step = { .first = part_of (g, i), .end = part_of (g, i) + 1, .to = g->c };
  if (g->c2 != NULL)
    {
      step.cross = i == 1;
      step.to = i == 3 ? g->c2 : g->c;
      step.from = i < 2 ? NULL : step.to;
      return step;
    }
  if (steps_of (g) == 1)
    step.end = g->parts;
  step.from = i > 0 ? g->c : NULL;
  step.bias = g->bias;
  step.add = step.end == g->parts ? g->add : NULL;
  return step;
}

/* Where the rows of a part begin in the panel of B that begins with column `first`. */
static const float *
block_of (const SoraKitGemm *g, int i, int64_t first, int64_t width)
{
  return g->b + first * g->b_rows + (g->b_row + part_of (g, i) * g->k) * width;
}

/* Memory that is fetched while another block is computed. */
typedef struct
{
  struct
  {
    const char *at;
    int64_t left;
  } ranges[2];
  int64_t piece; /* bytes for each call of a kernel */
} Ahead;

static const char *
ahead_next (Ahead *ahead)
{
  const int i = ahead->ranges[0].left <= 0;
  const char *at = ahead->ranges[i].at;
  if (ahead->ranges[i].left > 0)
    {
      ahead->ranges[i].at += ahead->piece;
      ahead->ranges[i].left -= ahead->piece;
    }
  return at;
}

/* What follows after the panel from column `first` on in step i: the panel behind it, or the first
 * one of the next step; and a share of the next step's A, which goes on in the next product. */
static Ahead
look_ahead (const SoraKitGemm *g, int i, int64_t first, int64_t width)
{
  const int64_t a_bytes = g->m * g->lda * (int64_t)sizeof (float),
                b_bytes = g->k * width * (int64_t)sizeof (float);
  const SoraKitGemm *next = i + 1 < steps_of (g) ? g : g->next;
  const int next_step = next == g ? i + 1 : 0;
  Ahead ahead = { .piece = 0 };
  if (first + width < g->n)
    ahead.ranges[0].at = (const char *)block_of (g, i, first + width,
                                                 16 * panel_width ((g->n - first - width) / 16));
  else if (next != NULL)
    ahead.ranges[0].at
        = (const char *)block_of (next, next_step, 0, 16 * panel_width (next->n / 16));
  ahead.ranges[0].left = ahead.ranges[0].at != NULL ? b_bytes : 0;
  ahead.ranges[1].at = (const char *)block_of (g, i, first, width);
  if (next != NULL)
    {
      const int64_t begin = a_bytes / g->n * first / 64 * 64,
                    end
                    = first + width < g->n ? a_bytes / g->n * (first + width) / 64 * 64 : a_bytes;
      ahead.ranges[1].at = (const char *)next->a[part_of (next, next_step)] + begin;
      ahead.ranges[1].left = end - begin;
    }
  return ahead;
}

static void
run_panel (const Isa *use, const SoraKitGemm *g, int i, int64_t first, int vectors)
{
  const int by = use->step != 0 ? use->step : vectors;
  const int64_t width = 16 * vectors;
  const float *b = block_of (g, i, first, width);
  Step step = step_of (g, i);
  Ahead ahead = look_ahead (g, i, first, width);
  /* Half a line with each k, or a whole one where rows are few. */
  const int64_t calls
      = (g->m + use->kernels[by - 1][0].rows - 1) / use->kernels[by - 1][0].rows * (vectors / by);
  step.far = calls * g->k * 32 >= ahead.ranges[0].left + ahead.ranges[1].left ? 32 : 64;
  ahead.piece = g->k * step.far;
  for (int v = 0; v < vectors; v += by)
    {
      int64_t row = 0;
      for (int j = 0; row < g->m; j++)
        {
          const int rows = use->kernels[by - 1][j].rows;
          for (; row + rows <= g->m; row += rows)
            use->kernels[by - 1][j].run (g, &step, row, first + 16 * v, b + 16 * v, width,
                                         ahead_next (&ahead));
        }
    }
}

/* A part of A stays in the cache for all panels of B, and a panel for all rows. */
void
sora_kit_gemm_run (const SoraKitGemm *g)
{
  const Isa *use = isa ();
  for (int i = 0; i < steps_of (g); i++)
    for (int64_t first = 0; first < g->n;)
      {
        const int vectors = panel_width ((g->n - first) / 16);
        run_panel (use, g, i, first, vectors);
        first += 16 * vectors;
      }
}
