/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Primitives by shape.  An instance that stays warm meets any number of shapes (each length of a
 * prompt is one), so that its owner trims the cache between runs.
 */
#include "kit-dnnl-private.h"

#include "kit-memory.h"

typedef struct
{
  SoraKitMatmul key;
  SoraKitPrimitive *primitive;
  uint64_t used; /* the clock when somebody last asked for it */
} Entry;

struct SoraKitCache
{
  Entry *entries;
  size_t n, size;
  uint64_t clock;      /* trims so far */
  uint64_t generation; /* trims that ended primitives */
  struct
  {
    void *data;
    uint64_t bytes;
  } scratch[SORA_KIT_MAX_THREADS];
};

SoraKitCache *
sora_kit_cache_new (void)
{
  return calloc (1, sizeof (SoraKitCache));
}

void
sora_kit_cache_free (SoraKitCache *cache)
{
  if (cache == NULL)
    return;
  for (size_t i = 0; i < cache->n; i++)
    sora_kit_primitive_free (cache->entries[i].primitive);
  for (int i = 0; i < SORA_KIT_MAX_THREADS; i++)
    sora_kit_free (cache->scratch[i].data);
  free (cache->entries);
  free (cache);
}

void
sora_kit_cache_trim (SoraKitCache *cache, size_t keep)
{
  if (cache->n > keep)
    {
      size_t left = 0;
      for (size_t i = 0; i < cache->n; i++)
        if (cache->entries[i].used == cache->clock)
          cache->entries[left++] = cache->entries[i];
        else
          sora_kit_primitive_free (cache->entries[i].primitive);
      cache->generation += left < cache->n;
      cache->n = left;
    }
  cache->clock++;
}

uint64_t
sora_kit_cache_generation (const SoraKitCache *cache)
{
  return cache->generation;
}

size_t
sora_kit_cache_count (const SoraKitCache *cache)
{
  return cache->n;
}

void *
sora_kit_cache_scratch (SoraKitCache *cache, SoraKitTeam *team, int slot, uint64_t bytes)
{
  if (cache->scratch[slot].bytes < bytes)
    {
      sora_kit_free (cache->scratch[slot].data);
      cache->scratch[slot].data = sora_kit_alloc (bytes, 1);
      cache->scratch[slot].bytes = cache->scratch[slot].data != NULL ? bytes : 0;
    }
  if (cache->scratch[slot].data == NULL)
    sora_kit_team_fail (team, "out of memory for %llu bytes of scratch", (unsigned long long)bytes);
  return cache->scratch[slot].data;
}

/* Takes the primitive.  */
static SoraKitPrimitive *
cache_keep (SoraKitCache *cache, const SoraKitMatmul *key, SoraKitPrimitive *primitive,
            SoraKitTeam *team)
{
  if (cache->n == cache->size)
    {
      size_t wanted = cache->size ? 2 * cache->size : 32;
      Entry *entries = realloc (cache->entries, wanted * sizeof *entries);
      if (entries == NULL)
        {
          sora_kit_team_fail (team, "out of memory for the cache of primitives");
          sora_kit_primitive_free (primitive);
          return NULL;
        }
      cache->entries = entries;
      cache->size = wanted;
    }
  cache->entries[cache->n++] = (Entry){ *key, primitive, cache->clock };
  return primitive;
}

SoraKitPrimitive *
sora_kit_cache_matmul (SoraKitCache *cache, const SoraKitMatmul *matmul, SoraKitTeam *team)
{
  for (size_t i = 0; i < cache->n; i++)
    if (memcmp (&cache->entries[i].key, matmul, sizeof *matmul) == 0)
      {
        cache->entries[i].used = cache->clock;
        return cache->entries[i].primitive;
      }
  const SoraKitLayout *packed = NULL;
  if (matmul->packed_m > 0)
    {
      SoraKitMatmul first = *matmul;
      first.m = matmul->packed_m;
      first.packed_m = first.bias = first.accumulate = first.activation = 0;
      SoraKitPrimitive *model = sora_kit_cache_matmul (cache, &first, team);
      if (model == NULL)
        return NULL;
      packed = sora_kit_primitive_layout (model, SORA_KIT_ROLE_WEIGHTS);
    }
  SoraKitPrimitive *primitive = sora_kit_matmul_new (matmul, packed, team);
  return primitive != NULL ? cache_keep (cache, matmul, primitive, team) : NULL;
}
