/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See arena.h.  Blocks are cut from one region, one behind the other, with poisoned bytes between;
 * what is freed is poisoned until the run ends, so that every use after it is seen.  What does not
 * fit is malloc's.
 */
#include "config.h"
#include <jansson.h>
#include "arena.h"

#if defined(__SANITIZE_ADDRESS__)
#define WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WATCHED 1
#endif
#endif
#ifdef WATCHED
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

#define SIZE (1u << 18)
#define UNIT 16u

static _Alignas(64) uint8_t region[SIZE];
static uint32_t sizes[SIZE / UNIT]; /* of the block that begins there; GONE where it was freed */
#define GONE UINT32_MAX
static size_t used;
static guint held;

static void *
arena_malloc (size_t size)
{
  if (size > SIZE - 2 * UNIT || used + size > SIZE - 2 * UNIT)
    return malloc (size);
  uint8_t *block = region + used;
  sizes[used / UNIT] = (uint32_t)size;
  used += (size + UNIT - 1) / UNIT * UNIT + UNIT; /* what lies between stays poisoned */
  held++;
  ASAN_UNPOISON_MEMORY_REGION (block, size);
  return block;
}

static void
arena_free (void *at)
{
  uint8_t *block = at;
  if (block < region || block >= region + SIZE)
    {
      free (at);
      return;
    }
  uint32_t *size = &sizes[(size_t)(block - region) / UNIT];
  MUST (*size != GONE);
  ASAN_POISON_MEMORY_REGION (block, *size);
  *size = GONE;
  held--;
}

void
fuzz_arena_begin (void)
{
  static gboolean set;
  if (!set)
    {
      json_set_alloc_funcs (arena_malloc, arena_free);
      ASAN_POISON_MEMORY_REGION (region, SIZE);
      set = TRUE;
    }
  /* A mutator may have come between. */
  fuzz_arena_end ();
}

void
fuzz_arena_end (void)
{
  MUST (held == 0);
  ASAN_POISON_MEMORY_REGION (region, used);
  used = 0;
}
