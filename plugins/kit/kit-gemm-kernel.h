/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-gemm-kernel.h: the inner loop of kit-gemm, included once an instruction set with
 *
 *   KERNEL_NAME(rows, vectors)  name of a function
 *   KERNEL_TARGET               its attribute
 *   VECTOR, LANES               a vector of f32 and how many
 *   LOAD(p) STORE(p, v) SPREAD(x) ADD(a, b) SUB(a, b) MADD(a, b, c)   c + a * b
 *
 * A block of rows × vectors of C stays in registers for all of a step's K.
 */

#define EACH_ELEMENT(rows, vectors)                                                                \
  _Pragma ("GCC unroll 16") for (int r = 0; r < rows; r++)                                         \
      _Pragma ("GCC unroll 4") for (int v = 0; v < vectors; v++)
#define PLACE(r, v) ((row + (r)) * ldc + col + (v)*LANES)

#define DEFINE_KERNEL(rows, vectors)                                                               \
  KERNEL_TARGET static void KERNEL_NAME (rows, vectors) (                                          \
      const SoraKitGemm *g, const Step *step, int64_t row, int64_t col, const float *b,            \
      int64_t width, const char *ahead)                                                            \
  {                                                                                                \
    const int64_t lda = g->lda, ldc = g->ldc, far = step->far;                                     \
    VECTOR acc[rows][vectors];                                                                     \
    if (step->from != NULL)                                                                        \
      EACH_ELEMENT (rows, vectors) acc[r][v] = LOAD (step->from + PLACE (r, v));                   \
    else if (step->bias != NULL)                                                                   \
      EACH_ELEMENT (rows, vectors) acc[r][v] = LOAD (step->bias + col + v * LANES);                \
    else                                                                                           \
      EACH_ELEMENT (rows, vectors) acc[r][v] = SPREAD (0.0f);                                      \
    for (int part = step->first; part < step->end; part++)                                         \
      {                                                                                            \
        const float *a = g->a[part] + row * lda;                                                   \
        for (int64_t k = 0; k < g->k; k++, a++, b += width, ahead += far)                          \
          {                                                                                        \
            VECTOR bv[vectors];                                                                    \
            __builtin_prefetch (ahead, 0, 2);                                                      \
            _Pragma ("GCC unroll 4") for (int v = 0; v < vectors; v++) bv[v]                       \
                = LOAD (b + v * LANES);                                                            \
            _Pragma ("GCC unroll 16") for (int r = 0; r < rows; r++)                               \
            {                                                                                      \
              const VECTOR av = SPREAD (a[r * lda]);                                               \
              _Pragma ("GCC unroll 4") for (int v = 0; v < vectors; v++) acc[r][v]                 \
                  = MADD (av, bv[v], acc[r][v]);                                                   \
            }                                                                                      \
          }                                                                                        \
      }                                                                                            \
    if (step->add != NULL)                                                                         \
      EACH_ELEMENT (rows, vectors) acc[r][v] = ADD (acc[r][v], LOAD (step->add + PLACE (r, v)));   \
    if (step->cross)                                                                               \
      EACH_ELEMENT (rows, vectors)                                                                 \
      {                                                                                            \
        const VECTOR first = LOAD (g->c + PLACE (r, v));                                           \
        STORE (g->c + PLACE (r, v), ADD (first, acc[r][v]));                                       \
        STORE (g->c2 + PLACE (r, v), SUB (first, acc[r][v]));                                      \
      }                                                                                            \
    else                                                                                           \
      EACH_ELEMENT (rows, vectors) STORE (step->to + PLACE (r, v), acc[r][v]);                     \
  }
