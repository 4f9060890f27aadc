/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * umt5-attention.h: softmax (q kᵀ + bias) v, with a bias that follows from the distance alone.
 */
#pragma once

#include "kit-dnnl.h"

/**
 * SoraUmt5Attention:
 * @n: tokens
 * @heads: heads
 * @head_dim: width of one
 * @q: f32 [n, heads * head_dim], rows @ld apart; @k and @v the same
 * @bias: f32 [heads, 2 n - 1]: of key j for query i at j - i + n - 1
 * @out: f32 [n, heads * head_dim], dense
 */
typedef struct
{
  int64_t n, heads, head_dim, ld;
  const float *q, *k, *v, *bias;
  float *out;
} SoraUmt5Attention;

/**
 * sora_umt5_attention:
 * @cache: where its primitives live
 * @team: who works
 * @attention: what
 *
 * No scaling and no mask: UMT5 has neither for real tokens.  Cut into one head and 64 queries a tile, each on one
 * thread, so that the bytes do not depend on the thread count.
 *
 * Returns: a #SoraResult
 */
int sora_umt5_attention (SoraKitCache *cache, SoraKitTeam *team, const SoraUmt5Attention *attention);

/** sora_umt5_attention_bytes: Returns: bytes of memory that it takes for @n tokens, on two threads. */
uint64_t sora_umt5_attention_bytes (int64_t n, int64_t heads);
