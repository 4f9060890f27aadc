/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-packed: one piece of memory for all packed weights of a component, which the host keeps as a
 * file and maps for later jobs (packed_open() in sora-plugin.h).  Layers take their places in it in a
 * fixed order; when it comes from a file, they have their weights at once.
 */
#ifndef SORA_KIT_PACKED_H
#define SORA_KIT_PACKED_H

#include "sora-plugin.h"

/**
 * SoraKitPacked:
 * @host: who gave it
 * @handle: (nullable): the host's; %NULL: an old host, there is none
 * @base: (nullable): the memory
 * @size: bytes
 * @at: what was taken so far
 * @whole: nonzero: it holds the weights, and is read-only
 *
 * Clear it first.  Without memory, sora_kit_packed_take() only counts.
 */
typedef struct
{
  const SoraHost *host;
  SoraPacked *handle;
  char *base;
  uint64_t size, at;
  int whole;
} SoraKitPacked;

/**
 * sora_kit_packed_open:
 * @packed: cleared
 * @host: the host
 * @ctx: run, on the stage's thread
 * @slot: "model"
 * @component: "transformer"
 * @key: what the bytes depend on: precision, layout, versions of libraries
 * @size: bytes of all layers
 *
 * What an earlier job kept, or new memory to be filled; a host before 1.2 gives neither, and layers
 * then have memory of their own.
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED, told to the host
 */
int sora_kit_packed_open (SoraKitPacked *packed, const SoraHost *host, SoraContext *ctx,
                          const char *slot, const char *component, const char *key, uint64_t size);

/** sora_kit_packed_take: Returns: (nullable): the next @bytes, aligned to 64; %NULL without memory. */
void *sora_kit_packed_take (SoraKitPacked *packed, uint64_t bytes);

/** sora_kit_packed_seal: all layers are packed: the host may keep it.  On the stage's thread.
 * Returns: %SORA_OK or %SORA_FAILED */
int sora_kit_packed_seal (SoraKitPacked *packed, SoraContext *ctx);

/** sora_kit_packed_close: gives it back; nothing may use it any more. */
void sora_kit_packed_close (SoraKitPacked *packed);

#endif
