/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-attention: softmax (scale · Q Kᵀ + bias) V over heads, in f32, tile by tile: scores of the
 * whole are never stored.  Keys and values are packed once and can be used many times (the text of
 * a job in every step).
 *
 * A tile is some queries of one head; it goes over the keys in blocks with a running maximum and
 * sum (online softmax: Milakov and Gimelshein 2018, Dao et al. 2022, algorithm 1).  Tile sizes
 * follow from the shape alone, so the bytes do not depend on the thread count.  Tolerance: 1e-5 of
 * the largest value against f64 (tests/kit/test-attention.c).
 */
#ifndef SORA_KIT_ATTENTION_H
#define SORA_KIT_ATTENTION_H

#include "kit-dnnl.h"

typedef struct SoraKitKeys SoraKitKeys; /* packed keys and values of all heads */

/**
 * sora_kit_keys_new:
 * @cache: where its primitives live; must outlive it
 * @heads: heads
 * @head_dim: width of a head
 * @n: keys, at least 1
 * @team: (nullable): takes the reason of a failure
 *
 * Returns: (nullable) (transfer full): room for keys and values; pack them before use, as often as
 * wanted
 */
SoraKitKeys *sora_kit_keys_new (SoraKitCache *cache, int64_t heads, int64_t head_dim, int64_t n,
                                SoraKitTeam *team);

/** sora_kit_keys_free: @keys: (nullable): frees it. */
void sora_kit_keys_free (SoraKitKeys *keys);

/** sora_kit_keys_bytes: Returns: bytes that sora_kit_keys_new() takes with AVX-512, and no less
 * than elsewhere: for cost estimates before anything is created. */
uint64_t sora_kit_keys_bytes (int64_t heads, int64_t head_dim, int64_t n);

/** sora_kit_keys_size: Returns: bytes that packed keys and values take. */
uint64_t sora_kit_keys_size (const SoraKitKeys *keys);

/** sora_kit_thread_bytes: Returns: bytes that each thread takes for attention and products: for
 * cost estimates, times sora_kit_threads_expected(). */
uint64_t sora_kit_thread_bytes (int64_t head_dim);

/**
 * sora_kit_keys_pack:
 * @keys: room
 * @team: who works
 * @k: f32 [n, heads · head_dim]
 * @ldk: elements between rows of @k; 0: heads · head_dim
 * @v: f32 [n, heads · head_dim]
 * @ldv: elements between rows of @v; 0: heads · head_dim
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int sora_kit_keys_pack (SoraKitKeys *keys, SoraKitTeam *team, const float *k, int64_t ldk,
                        const float *v, int64_t ldv);

/** sora_kit_keys_block: Returns: keys of a block, which sora_kit_keys_pack_part() takes whole. */
int64_t sora_kit_keys_block (const SoraKitKeys *keys);

/**
 * sora_kit_keys_pack_part:
 * @keys: room
 * @team: who works
 * @first: the first of them, a multiple of sora_kit_keys_block()
 * @count: how many: whole blocks, or up to the last key
 * @k: f32 [count, heads · head_dim]
 * @ldk: elements between rows of @k; 0: heads · head_dim
 * @v: f32 [count, heads · head_dim]
 * @ldv: elements between rows of @v; 0: heads · head_dim
 *
 * As sora_kit_keys_pack(), for callers that never have all keys and values at once.  The bytes are
 * those of one whole packing.
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int sora_kit_keys_pack_part (SoraKitKeys *keys, SoraKitTeam *team, int64_t first, int64_t count,
                             const float *k, int64_t ldk, const float *v, int64_t ldv);

/**
 * SoraKitAttention:
 * @queries: number of queries
 * @q: f32 [queries, heads · head_dim]
 * @ldq: elements between rows of @q; 0: heads · head_dim
 * @out: f32 [queries, heads · head_dim]; may be @q
 * @ldo: elements between rows of @out; 0: heads · head_dim
 * @scale: of the scores; 1 / sqrt (head_dim) is usual, UMT5 has 1
 * @bias: (nullable): f32 [heads, queries, keys], dense, added to the scaled scores
 * @key_bias: (nullable): f32 [keys], added to the scaled scores of each key
 */
typedef struct
{
  int64_t queries;
  const float *q;
  int64_t ldq;
  float *out;
  int64_t ldo;
  float scale;
  const float *bias;
  const float *key_bias;
} SoraKitAttention;

/**
 * sora_kit_attention:
 * @keys: packed keys and values
 * @team: who works
 * @attention: the rest
 *
 * Returns: %SORA_OK, %SORA_CANCELLED (the output is then partly written) or %SORA_FAILED
 */
int sora_kit_attention (SoraKitKeys *keys, SoraKitTeam *team, const SoraKitAttention *attention);

#endif
