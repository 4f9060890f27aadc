/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Memory for packed weights.
 */
#include "kit-packed.h"

int
sora_kit_packed_open (SoraKitPacked *packed, const SoraHost *host, SoraContext *ctx,
                      const char *slot, const char *component, const char *key, uint64_t size)
{
  const void *data;
  uint64_t kept;
  void *memory;

  *packed = (SoraKitPacked){ .host = host, .size = size };
  if (!SORA_HOST_HAS (host, packed_close))
    return SORA_OK;
  int result = host->packed_open (ctx, slot, component, key, &packed->handle, &data, &kept);
  if (result == SORA_OK && kept == size)
    {
      /* Nobody writes what is whole: see sora_kit_packed_take(). */
      packed->base = (char *)(uintptr_t)data;
      packed->whole = 1;
      return SORA_OK;
    }
  if (result == SORA_OK)
    {
      host->log (ctx, SORA_LOG_INFO,
                 "%s: the packed weights that are kept have %llu bytes, expected %llu", component,
                 (unsigned long long)kept, (unsigned long long)size);
      host->packed_close (packed->handle);
    }
  packed->handle = NULL;
  if (result != SORA_OK && result != SORA_NOT_FOUND)
    return result;
  result = host->packed_new (ctx, slot, component, key, size, &packed->handle, &memory);
  if (result == SORA_OK)
    packed->base = memory;
  return result;
}

void *
sora_kit_packed_take (SoraKitPacked *packed, uint64_t bytes)
{
  char *place = packed->base != NULL ? packed->base + packed->at : NULL;

  packed->at += (bytes + 63) / 64 * 64;
  return packed->at <= packed->size ? place : NULL;
}

int
sora_kit_packed_seal (SoraKitPacked *packed, SoraContext *ctx)
{
  if (packed->handle == NULL || packed->whole)
    return SORA_OK;
  packed->whole = 1;
  return packed->host->packed_seal (ctx, packed->handle);
}

void
sora_kit_packed_close (SoraKitPacked *packed)
{
  if (packed->handle != NULL)
    packed->host->packed_close (packed->handle);
  *packed = (SoraKitPacked){ 0 };
}
