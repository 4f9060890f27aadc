/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-keys-int8: private to the attention in 8 bits: how keys and values lie in memory.
 */
#ifndef SORA_KIT_KEYS_INT8_H
#define SORA_KIT_KEYS_INT8_H

#include "kit-attention-int8.h"

#define SORA_KIT_KEYS8_LEAST 1e-30f /* smaller rows are zeros: 127 / this is far from overflow */

struct SoraKitKeys8
{
  SoraKitCache *cache;
  int64_t heads, dim, n;
  int64_t dim4, dim16, dim64; /* dim, rounded up */
  int64_t block, blocks;      /* keys of a block, with those beyond the last; blocks of a head */
  uint64_t block_bytes;
  uint8_t *packed; /* [heads, blocks] */
  float *bias;     /* [blocks · block]: of the call that runs */
};

/* One block of a head: panels as sora_kit_gemm_int8_run() takes them.  Keys are mean + scale · k,
 * values middle + scale · v. */
typedef struct
{
  int8_t *k;        /* [block / 64, dim4 / 4, 64, 4] */
  int8_t *v;        /* [dim64 / 64, block / 4, 64, 4] */
  int32_t *offsets; /* [block]: 128 · the sum of a key, as queries are around 128 */
  float *scales;    /* [block] */
  float *mean;      /* [dim16] */
  float *v_scales;  /* [dim64] */
  float *v_middles; /* [dim64] */
} SoraKitBlock8;

/** sora_kit_keys8_block_at: Returns: where block @block of @head is. */
SoraKitBlock8 sora_kit_keys8_block_at (const SoraKitKeys8 *keys, int64_t head, int64_t block);

#endif
