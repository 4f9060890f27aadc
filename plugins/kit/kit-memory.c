/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Aligned memory for numeric work.
 */
#include "kit-memory.h"

#include <stdlib.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

void *
sora_kit_alloc (uint64_t count, size_t size)
{
  size_t bytes;
  void *memory;
  if (__builtin_mul_overflow (count, size, &bytes) || bytes > PTRDIFF_MAX - HUGE_PAGE)
    return NULL;
  size_t align = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : 64;
  if (posix_memalign (&memory, align, bytes > 0 ? bytes : align) != 0)
    return NULL;
  /* Advice only: without huge pages everything works, a little slower.  The last page is not made
   * huge: over the layers of a large model, what is behind its bytes would add up to hundreds of
   * megabytes.  */
  if (align == HUGE_PAGE)
    (void)madvise (memory, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
  return memory;
}

uint64_t
sora_kit_alloc_bytes (uint64_t bytes)
{
  const uint64_t unit = bytes >= 2 * HUGE_PAGE ? 4096 : 64;
  return (bytes + unit - 1) / unit * unit;
}

void *
sora_kit_alloc0 (uint64_t count, size_t size)
{
  void *memory = sora_kit_alloc (count, size);
  if (memory != NULL)
    memset (memory, 0, (size_t)count * size);
  return memory;
}

void
sora_kit_free (void *memory)
{
  free (memory);
}

void
sora_kit_trim (void)
{
#if defined(__GLIBC__)
  (void)malloc_trim (0);
#endif
}
