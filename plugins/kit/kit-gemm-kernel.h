/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-gemm-kernel.h: the inner loop of kit-gemm, included once an instruction set with
 *
 *   KERNEL_NAME(rows, vectors)  name of a function
 *   KERNEL_TARGET               its attribute
 *   VECTOR, LANES               a vector of f32 and how many
 *   LOAD(p) STORE(p, v) SPREAD(x) ADD(a, b) MADD(a, b, c)   c + a * b
 *
 * A block of rows × vectors of C stays in registers for all of K.
 */

#define DEFINE_KERNEL(rows, vectors)                                                                         \
  KERNEL_TARGET static void KERNEL_NAME (rows, vectors) (const SoraKitGemm *g, int64_t row, int64_t col,     \
                                                         const float *panel, int64_t width)                 \
  {                                                                                                          \
    VECTOR acc[rows][vectors];                                                                               \
    _Pragma ("GCC unroll 16") for (int r = 0; r < rows; r++)                                                 \
        _Pragma ("GCC unroll 4") for (int v = 0; v < vectors; v++)                                           \
          acc[r][v] = g->bias != NULL ? LOAD (g->bias + col + v * LANES) : SPREAD (0.0f);                    \
    for (int part = 0; part < g->parts; part++)                                                              \
      {                                                                                                      \
        const float *a = g->a[part] + row * g->lda;                                                          \
        const float *b = panel + part * g->k * width;                                                        \
        const int64_t lda = g->lda;                                                                          \
        for (int64_t k = 0; k < g->k; k++, a++, b += width)                                                  \
          {                                                                                                  \
            VECTOR bv[vectors];                                                                              \
            _Pragma ("GCC unroll 4") for (int v = 0; v < vectors; v++) bv[v] = LOAD (b + v * LANES);         \
            _Pragma ("GCC unroll 16") for (int r = 0; r < rows; r++)                                         \
            {                                                                                                \
              const VECTOR av = SPREAD (a[r * lda]);                                                         \
              _Pragma ("GCC unroll 4") for (int v = 0; v < vectors; v++)                                     \
                acc[r][v] = MADD (av, bv[v], acc[r][v]);                                                     \
            }                                                                                                \
          }                                                                                                  \
      }                                                                                                      \
    _Pragma ("GCC unroll 16") for (int r = 0; r < rows; r++)                                                 \
        _Pragma ("GCC unroll 4") for (int v = 0; v < vectors; v++)                                           \
      {                                                                                                      \
        const int64_t at = (row + r) * g->ldc + col + v * LANES;                                             \
        if (g->add != NULL)                                                                                  \
          acc[r][v] = ADD (acc[r][v], LOAD (g->add + at));                                                   \
        STORE (g->c + at, acc[r][v]);                                                                        \
      }                                                                                                      \
  }
