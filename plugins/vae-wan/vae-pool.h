/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-pool.h: frames that come and go.  A frame that is given back is kept for the next one of its
 * size, so that after the first frames nothing is allocated; and the pool knows its peak, also when
 * it only pretends.
 */
#ifndef SORA_VAE_POOL_H
#define SORA_VAE_POOL_H

#include <stdint.h>

/* Layers that remember two frames each, and those on their way. */
#define SORA_VAE_POOL_FRAMES 2048

typedef struct
{
  int pretend; /* count only */
  uint64_t bytes;
  int n;
  struct
  {
    float *data;
    uint64_t bytes;
    int used;
  } frames[SORA_VAE_POOL_FRAMES];
} SoraVaePool;

/** sora_vae_pool_get: Returns: index of a frame of @bytes with undefined contents, or -1 without
 * memory. */
int sora_vae_pool_get (SoraVaePool *pool, uint64_t bytes);

/** sora_vae_pool_put: gives a frame back; -1 is allowed. */
void sora_vae_pool_put (SoraVaePool *pool, int frame);

/** sora_vae_pool_clear: frees all of them. */
void sora_vae_pool_clear (SoraVaePool *pool);

#endif
