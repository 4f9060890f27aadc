/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-dnnl: the bridge to oneDNN, and the one place that knows that there are two of them, 2.6
 * (Debian 12) and 3.x.  It offers matrix products and reorders as primitives that are
 *
 *  - created for one thread and executed inside sora_kit_parallel(), so that results do not depend
 * on the thread count;
 *  - given their scratchpad by us, one a thread: the library's own is thread-local and has
 * corrupted results;
 *  - refused at creation if oneDNN can only offer its reference code, which is right and a thousand
 * times slow.
 *
 * A primitive is created once a shape and kept in a SoraKitCache.  The cache is used by one thread
 * at a time; sora_kit_primitive_run() by many, each with a slot of its own.
 */
#ifndef SORA_KIT_DNNL_H
#define SORA_KIT_DNNL_H

#include "kit-parallel.h"

#include <oneapi/dnnl/dnnl.h>

typedef struct SoraKitLayout SoraKitLayout;       /* shape, dtype and order in memory */
typedef struct SoraKitPrimitive SoraKitPrimitive; /* something oneDNN computes */
typedef struct SoraKitCache SoraKitCache;         /* primitives by shape */

typedef enum
{
  SORA_KIT_ACTIVATION_NONE = 0,
  SORA_KIT_ACTIVATION_GELU_TANH, /* 0.5 x (1 + tanh (sqrt (2/pi) (x + 0.044715 x^3))) */
  SORA_KIT_ACTIVATION_SILU,      /* x / (1 + exp (-x)) */
} SoraKitActivation;

/**
 * SoraKitMatmul:
 * @m: rows of A and C
 * @n: columns of B and C
 * @k: columns of A, rows of B
 * @packed_m: B lies in the order that oneDNN prefers for a product with so many rows, so that
 *   products with other numbers of rows can share it; 0: @m
 * @bias: a bias [n] is added
 * @accumulate: C += instead of C =
 * @activation: a #SoraKitActivation, applied last
 *
 * C[m,n] = activation (A[m,k] B[k,n] + bias [+ C]), all f32.  Rows of A and C are dense: oneDNN 2.6
 * has no fast code for a packed B with others where it has AVX-512.  The order of B is asked for by
 * sora_kit_primitive_layout().  Clear the struct to zero first: it is compared as bytes.
 */
typedef struct
{
  int64_t m, n, k;
  int64_t packed_m;
  int32_t bias, accumulate;
  int32_t activation;
  int32_t reserved;
} SoraKitMatmul;

typedef enum
{
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
 * sora_kit_cache_trim:
 * @cache: a cache
 * @keep: how many primitives may stay whatever they are for
 *
 * For owners that live long, before a run: with more than @keep primitives, those that nobody asked
 * for since the last trim are ended.  Call it while nothing that was made from the cache is in use
 * but #SoraKitLinear, which asks anew.
 */
void sora_kit_cache_trim (SoraKitCache *cache, size_t keep);

/** sora_kit_cache_generation: Returns: a number that changes when primitives were ended: what was
 * asked for before has to be asked for again. */
uint64_t sora_kit_cache_generation (const SoraKitCache *cache);

/** sora_kit_cache_count: Returns: how many primitives it holds. */
size_t sora_kit_cache_count (const SoraKitCache *cache);

/**
 * sora_kit_cache_matmul:
 * @cache: a cache
 * @matmul: what
 * @team: (nullable): takes the reason of a failure
 *
 * Returns: (nullable) (transfer none): the primitive, living until sora_kit_cache_trim() or the end
 * of @cache; %NULL if oneDNN has no fast code for it, or no memory.  Not inside
 * sora_kit_parallel().
 */
SoraKitPrimitive *sora_kit_cache_matmul (SoraKitCache *cache, const SoraKitMatmul *matmul,
                                         SoraKitTeam *team);

/**
 * sora_kit_reorder_new:
 * @src: order of the source
 * @dst: order of the destination, of the same shape
 * @team: (nullable): takes the reason of a failure
 *
 * A copy that changes the order in memory, created for one thread.  Run it with src and dst alone.
 *
 * Returns: (nullable) (transfer full): the primitive
 */
SoraKitPrimitive *sora_kit_reorder_new (const SoraKitLayout *src, const SoraKitLayout *dst,
                                        SoraKitTeam *team);

/**
 * sora_kit_cache_scratch:
 * @cache: a cache
 * @team: takes the reason of a failure
 * @slot: the caller's thread, as in sora_kit_primitive_run()
 * @bytes: how much
 *
 * Returns: (nullable) (transfer none): 64-byte aligned memory of that thread, with undefined
 * contents, until its next call with this slot; kept by @cache for the next one
 */
void *sora_kit_cache_scratch (SoraKitCache *cache, SoraKitTeam *team, int slot, uint64_t bytes);

/** sora_kit_primitive_free: @primitive: (nullable): one that the caller owns. */
void sora_kit_primitive_free (SoraKitPrimitive *primitive);

/** sora_kit_primitive_layout: Returns: (nullable) (transfer none): how that operand lies; %NULL if
 * there is none. */
const SoraKitLayout *sora_kit_primitive_layout (const SoraKitPrimitive *primitive,
                                                SoraKitRole role);

/**
 * sora_kit_primitive_run:
 * @primitive: what
 * @team: takes the reason of a failure
 * @slot: the caller's thread: what the tile function was given.  No two threads may use one slot at
 * a time
 * @src: input, A
 * @weights: (nullable): weights, B
 * @bias: (nullable): bias
 * @dst: output, C
 *
 * Computes.  A primitive for one thread runs inside sora_kit_parallel() (or on a thread where
 * OpenMP's thread count is one).
 *
 * Returns: %SORA_OK or %SORA_FAILED
 */
int sora_kit_primitive_run (SoraKitPrimitive *primitive, SoraKitTeam *team, int slot,
                            const void *src, const void *weights, const void *bias, void *dst);

/**
 * sora_kit_layout_new:
 * @ndim: rank, 1 … 6
 * @dims: extents
 * @dtype: dnnl_f32, dnnl_bf16 …
 * @strides: in elements
 * @team: (nullable): takes the reason of a failure
 *
 * Returns: (nullable) (transfer full): a layout; free with sora_kit_layout_free()
 */
SoraKitLayout *sora_kit_layout_new (int ndim, const int64_t *dims, dnnl_data_type_t dtype,
                                    const int64_t *strides, SoraKitTeam *team);

/** sora_kit_layout_free: @layout: (nullable): one that the caller owns. */
void sora_kit_layout_free (SoraKitLayout *layout);

/** sora_kit_layout_sum: @sum: (inout): a checksum, to which it adds all that tells where elements lie. */
void sora_kit_layout_sum (const SoraKitLayout *layout, uint64_t *sum);

/** sora_kit_layout_bytes: Returns: bytes of memory in that layout, padding included. */
uint64_t sora_kit_layout_bytes (const SoraKitLayout *layout);

#endif
