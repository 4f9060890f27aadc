/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-memory: aligned memory for numeric work.  Everything is 64-byte aligned; what is large asks
 * for huge pages, which halves the time to pack a model's weights.
 */
#ifndef SORA_KIT_MEMORY_H
#define SORA_KIT_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/**
 * sora_kit_alloc:
 * @count: number of elements
 * @size: bytes of one element
 *
 * Returns: (nullable): uninitialised memory, 64-byte aligned; %NULL if there is none, or if the
 * product overflows.  Zero bytes give a valid pointer.  Free with sora_kit_free().  Any thread.
 */
void *sora_kit_alloc (uint64_t count, size_t size);

/**
 * sora_kit_alloc0:
 * @count: number of elements
 * @size: bytes of one element
 *
 * Returns: (nullable): as sora_kit_alloc(), zeroed.
 */
void *sora_kit_alloc0 (uint64_t count, size_t size);

/** sora_kit_alloc_bytes: Returns: what sora_kit_alloc() takes for @bytes, for estimates: what is large
 * fills whole pages. */
uint64_t sora_kit_alloc_bytes (uint64_t bytes);

/** sora_kit_free: @memory: (nullable): what sora_kit_alloc() gave. */
void sora_kit_free (void *memory);

/** sora_kit_trim: gives what was freed back to the system, where the C library can.  For stages that
 * go from one set of large buffers to another of other sizes. */
void sora_kit_trim (void);

#endif
