/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-attention-int8: softmax (scale · Q Kᵀ + bias) V over heads, with both products in 8 bits.
 *
 * After SageAttention (Zhang et al. 2024, arXiv 2410.02367): queries and keys are rounded with one
 * scale a row, keys after their mean was taken away, and the softmax is f32.  Here the mean is that
 * of a block of keys, and its product with the query is added to the scores in f32: so the result
 * needs no mean over all keys, which may come in parts.  Weights are rounded to u8 against the
 * largest of their row and block, values to s8 around the middle of their channel and block
 * (compare SageAttention2, arXiv 2411.10958, which does so in FP8); blocks are joined by a running
 * maximum and sum (Milakov and Gimelshein 2018), of the rounded weights.
 *
 * Every row is computed alone, its sums of integers are exact and the rest has one order: the bytes
 * depend neither on the thread count nor on the instruction set.  Errors: docs/numerics.md.
 */
#ifndef SORA_KIT_ATTENTION_INT8_H
#define SORA_KIT_ATTENTION_INT8_H

#include "kit-attention.h"

typedef struct SoraKitKeys8 SoraKitKeys8; /* rounded keys and values of all heads */

#define SORA_KIT_KEYS8_BLOCK 256   /* keys of a block */
#define SORA_KIT_KEYS8_MAX_DIM 512 /* of a head; the sums stay exact in f32 */

/**
 * sora_kit_keys8_new:
 * @cache: whose scratch memory the threads use; must outlive it
 * @heads: heads
 * @head_dim: width of a head, at most %SORA_KIT_KEYS8_MAX_DIM
 * @n: keys, at least 1
 * @team: (nullable): takes the reason of a failure
 *
 * Returns: (nullable) (transfer full): room for keys and values; pack them before use, as often as
 * wanted
 */
SoraKitKeys8 *sora_kit_keys8_new (SoraKitCache *cache, int64_t heads, int64_t head_dim, int64_t n,
                                  SoraKitTeam *team);

/** sora_kit_keys8_free: @keys: (nullable): frees it. */
void sora_kit_keys8_free (SoraKitKeys8 *keys);

/** sora_kit_keys8_bytes: Returns: bytes that sora_kit_keys8_new() takes: for cost estimates before
 * anything is created.  A thread's scratch is within sora_kit_thread_bytes(). */
uint64_t sora_kit_keys8_bytes (int64_t heads, int64_t head_dim, int64_t n);

/**
 * sora_kit_keys8_pack_part:
 * @keys: room
 * @team: who works
 * @first: the first of them, a multiple of %SORA_KIT_KEYS8_BLOCK
 * @count: how many: whole blocks, or up to the last key
 * @k: f32 [count, heads · head_dim]
 * @ldk: elements between rows of @k; 0: heads · head_dim
 * @v: f32 [count, heads · head_dim]
 * @ldv: elements between rows of @v; 0: heads · head_dim
 *
 * Rounds some keys and values, or with 0 and all of them the whole: the bytes are the same.
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int sora_kit_keys8_pack_part (SoraKitKeys8 *keys, SoraKitTeam *team, int64_t first, int64_t count,
                              const float *k, int64_t ldk, const float *v, int64_t ldv);

/**
 * sora_kit_attention8:
 * @keys: packed keys and values; one call at a time
 * @team: who works
 * @attention: the rest; its `bias` must be %NULL, `key_bias` may be given
 *
 * A value that is no number, or infinite, makes the results that it reaches NaN.
 *
 * Returns: %SORA_OK, %SORA_CANCELLED (the output is then partly written) or %SORA_FAILED
 */
int sora_kit_attention8 (SoraKitKeys8 *keys, SoraKitTeam *team, const SoraKitAttention *attention);

#endif
