/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-pool.c: see vae-pool.h.
 */
#include "vae-pool.h"

#include "kit-memory.h"

#include <stddef.h>

int
sora_vae_pool_get (SoraVaePool *pool, uint64_t bytes)
{
  for (int i = 0; i < pool->n; i++)
    if (!pool->frames[i].used && pool->frames[i].bytes == bytes)
      {
        pool->frames[i].used = 1;
        return i;
      }
  if (pool->n == SORA_VAE_POOL_FRAMES)
    return -1;
  float *data = NULL;
  if (!pool->pretend)
    {
      data = sora_kit_alloc (bytes, 1);
      if (data == NULL)
        return -1;
    }
  const int i = pool->n++;
  pool->frames[i].data = data;
  pool->frames[i].bytes = bytes;
  pool->frames[i].used = 1;
  pool->bytes += sora_kit_alloc_bytes (bytes);
  return i;
}

void
sora_vae_pool_put (SoraVaePool *pool, int frame)
{
  if (frame >= 0)
    pool->frames[frame].used = 0;
}

void
sora_vae_pool_clear (SoraVaePool *pool)
{
  for (int i = 0; i < pool->n; i++)
    sora_kit_free (pool->frames[i].data);
  pool->n = 0;
  pool->bytes = 0;
}
