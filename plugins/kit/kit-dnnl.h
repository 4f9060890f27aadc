/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-dnnl: the bridge to oneDNN, and the one place that knows that there are two of them, 2.6 (Debian 12)
 * and 3.x.  It offers matrix products, convolutions and reorders as primitives that are
 *
 *  - created for one thread (unless asked otherwise) and executed inside sora_kit_parallel(), so that results do
 *    not depend on the thread count;
 *  - given their scratchpad by us, one a thread: the library's own is thread-local and has corrupted results;
 *  - refused at creation if oneDNN can only offer its reference code, which is right and a thousand times slow.
 *
 * A primitive is created once a shape and kept in a SoraKitCache.  The cache is used by one thread at a time;
 * sora_kit_primitive_run() by many, each with a slot of its own.
 */
#ifndef SORA_KIT_DNNL_H
#define SORA_KIT_DNNL_H

#include "kit-parallel.h"

#include <oneapi/dnnl/dnnl.h>

typedef struct SoraKitLayout SoraKitLayout;       /* shape, dtype and order in memory */
typedef struct SoraKitPrimitive SoraKitPrimitive; /* something oneDNN computes */
typedef struct SoraKitCache SoraKitCache;         /* primitives by shape */

typedef enum {
  SORA_KIT_ACTIVATION_NONE = 0,
  SORA_KIT_ACTIVATION_GELU_TANH, /* 0.5 x (1 + tanh (sqrt (2/pi) (x + 0.044715 x^3))) */
  SORA_KIT_ACTIVATION_SILU,      /* x / (1 + exp (-x)) */
} SoraKitActivation;

/**
 * SoraKitMatmul:
 * @m: rows of A and C
 * @n: columns of B and C
 * @k: columns of A, rows of B
 * @lda: elements between rows of A; 0: @k
 * @ldc: elements between rows of C; 0: @n
 * @ldb: elements between rows of B as it lies in memory; 0: dense.  Unused with @packed
 * @transposed_b: B lies as [n, k], PyTorch's order of a linear layer.  Unused with @packed
 * @packed: B lies in the order oneDNN prefers for a product with @packed_m rows (then any @m may share it); see
 *   sora_kit_primitive_layout()
 * @packed_m: see @packed; 0: @m
 * @bias: a bias [n] is added
 * @accumulate: C += instead of C =
 * @activation: applied last
 *
 * C[m,n] = activation (A[m,k] B[k,n] + bias [+ C]), all f32.  oneDNN 2.6 has no fast code for a packed B with rows
 * of A or C that lie apart (@lda, @ldc) where it has AVX-512: then creation fails.  Clear it to zero first: it is compared as bytes.
 */
typedef struct {
  int64_t m, n, k;
  int64_t lda, ldc, ldb;
  int64_t packed_m;
  int32_t transposed_b, packed, bias, accumulate;
  int32_t activation;
  int32_t reserved;
} SoraKitMatmul;

/**
 * SoraKitConv:
 * @ndim: spatial dimensions, 2 or 3
 * @winograd: name the Winograd algorithm (oneDNN until 3.1, 3×3 2-D, stride 1); creation fails where there is none
 * @batch: pictures
 * @ic: input channels
 * @oc: output channels
 * @in: spatial extents of the input; depth first where there is one
 * @kernel: extents of the kernel
 * @stride: 0 means 1
 * @pad_l: zeros before each axis
 * @pad_r: zeros after each axis
 * @src_tag: order of the input; 0 (dnnl_format_tag_undef): what oneDNN prefers
 * @dst_tag: order of the output; 0: what oneDNN prefers
 * @weights_tag: order of the weights; 0: what oneDNN prefers
 * @bias: a bias [oc] is added
 * @accumulate: add to the output
 * @activation: applied last
 * @threads: for how many threads of oneDNN's own it is created; 0: 1.  With more than 1 it must be run outside
 *   sora_kit_parallel(), and only for shapes whose results are tested to be the same at each thread count
 *
 * A convolution (cross-correlation), all f32.  Clear it to zero first: it is compared as bytes.
 */
typedef struct {
  int32_t ndim, winograd;
  int64_t batch, ic, oc;
  int64_t in[3], kernel[3], stride[3], pad_l[3], pad_r[3];
  int32_t src_tag, dst_tag, weights_tag; /* dnnl_format_tag_t */
  int32_t bias, accumulate;
  int32_t activation;
  int32_t threads;
  int32_t reserved;
} SoraKitConv;

typedef enum {
  SORA_KIT_ROLE_SRC = 0,     /* A of a product */
  SORA_KIT_ROLE_WEIGHTS = 1, /* B of a product */
  SORA_KIT_ROLE_BIAS = 2,
  SORA_KIT_ROLE_DST = 3, /* C of a product */
} SoraKitRole;

/** sora_kit_dnnl_version: Returns: "2.6.3": the version of the library that is loaded. */
const char *sora_kit_dnnl_version (void);

/** sora_kit_cache_new: Returns: (nullable): an empty cache; %NULL without memory. */
SoraKitCache *sora_kit_cache_new (void);

/** sora_kit_cache_free: @cache: (nullable): ends it and its primitives. */
void sora_kit_cache_free (SoraKitCache *cache);

/**
 * sora_kit_cache_matmul:
 * @cache: a cache
 * @matmul: what
 * @team: (nullable): takes the reason of a failure
 *
 * Returns: (nullable) (transfer none): the primitive, living as long as @cache; %NULL if oneDNN has no fast code
 *   for it, or no memory.  Not inside sora_kit_parallel().
 */
SoraKitPrimitive *sora_kit_cache_matmul (SoraKitCache *cache, const SoraKitMatmul *matmul, SoraKitTeam *team);

/** sora_kit_cache_conv: as sora_kit_cache_matmul(), for a convolution. */
SoraKitPrimitive *sora_kit_cache_conv (SoraKitCache *cache, const SoraKitConv *conv, SoraKitTeam *team);

/**
 * sora_kit_reorder_new:
 * @src: order of the source
 * @dst: order of the destination, of the same shape
 * @team: (nullable): takes the reason of a failure
 *
 * A copy that changes the order in memory, and between dtypes if they differ; created for one thread.  Run it with
 * src and dst alone.
 *
 * Returns: (nullable) (transfer full): the primitive
 */
SoraKitPrimitive *sora_kit_reorder_new (const SoraKitLayout *src, const SoraKitLayout *dst, SoraKitTeam *team);

/**
 * sora_kit_cache_scratch:
 * @cache: a cache
 * @team: takes the reason of a failure
 * @slot: the caller's thread, as in sora_kit_primitive_run()
 * @bytes: how much
 *
 * Returns: (nullable) (transfer none): 64-byte aligned memory of that thread, with undefined contents, until its
 *   next call with this slot; kept by @cache for the next one
 */
void *sora_kit_cache_scratch (SoraKitCache *cache, SoraKitTeam *team, int slot, uint64_t bytes);

/** sora_kit_primitive_free: @primitive: (nullable): one that the caller owns. */
void sora_kit_primitive_free (SoraKitPrimitive *primitive);

/** sora_kit_primitive_layout: Returns: (nullable) (transfer none): how that operand lies; %NULL if there is none. */
const SoraKitLayout *sora_kit_primitive_layout (const SoraKitPrimitive *primitive, SoraKitRole role);

/** sora_kit_primitive_impl: Returns: (transfer none): oneDNN's name of the code, "brg:avx512_core". */
const char *sora_kit_primitive_impl (const SoraKitPrimitive *primitive);

/**
 * sora_kit_primitive_run:
 * @primitive: what
 * @team: takes the reason of a failure
 * @slot: the caller's thread: what the tile function was given.  No two threads may use one slot at a time
 * @src: input, A
 * @weights: (nullable): weights, B
 * @bias: (nullable): bias
 * @dst: output, C
 *
 * Computes.  A primitive for one thread runs inside sora_kit_parallel() (or on a thread where OpenMP's thread count
 * is one).
 *
 * Returns: %SORA_OK or %SORA_FAILED
 */
int sora_kit_primitive_run (SoraKitPrimitive *primitive, SoraKitTeam *team, int slot, const void *src,
                            const void *weights, const void *bias, void *dst);

/**
 * sora_kit_layout_new:
 * @ndim: rank, 1 … 6
 * @dims: extents
 * @dtype: dnnl_f32, dnnl_bf16 …
 * @tag: order, dnnl_nChw16c, dnnl_abc …
 * @team: (nullable): takes the reason of a failure
 *
 * Returns: (nullable) (transfer full): a layout; free with sora_kit_layout_free()
 */
SoraKitLayout *sora_kit_layout_new (int ndim, const int64_t *dims, dnnl_data_type_t dtype, dnnl_format_tag_t tag,
                                    SoraKitTeam *team);

/** sora_kit_layout_new_strided: as sora_kit_layout_new(), with @strides in elements instead of a tag. */
SoraKitLayout *sora_kit_layout_new_strided (int ndim, const int64_t *dims, dnnl_data_type_t dtype,
                                            const int64_t *strides, SoraKitTeam *team);

/** sora_kit_layout_free: @layout: (nullable): one that the caller owns. */
void sora_kit_layout_free (SoraKitLayout *layout);

/** sora_kit_layout_bytes: Returns: bytes of memory in that layout, padding included. */
uint64_t sora_kit_layout_bytes (const SoraKitLayout *layout);

/** sora_kit_layout_equal: Returns: nonzero if both are the same shape, dtype and order. */
int sora_kit_layout_equal (const SoraKitLayout *a, const SoraKitLayout *b);

#endif
