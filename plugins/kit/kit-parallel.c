/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fixed tiles over an OpenMP team.  Tiles are handed out by a counter and not by OpenMP's
 * schedules, so that a cancelled or failed team stops at the next tile.
 */
#include "kit-parallel.h"

#include <omp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

void
sora_kit_team_init (SoraKitTeam *team, const SoraHost *host, SoraContext *ctx, int threads)
{
  memset (team, 0, sizeof *team);
  team->host = host;
  team->ctx = ctx;
  team->threads = threads < 1 ? 1 : threads > SORA_KIT_MAX_THREADS ? SORA_KIT_MAX_THREADS : threads;
}

int
sora_kit_threads_expected (void)
{
  long online = sysconf (_SC_NPROCESSORS_ONLN);
  return online < 1 ? 1 : online > SORA_KIT_MAX_THREADS ? SORA_KIT_MAX_THREADS : (int)online;
}

int
sora_kit_team_fail (SoraKitTeam *team, const char *format, ...)
{
  if (team == NULL)
    return SORA_FAILED;
#pragma omp critical(sora_kit_team_fail)
  if (team->error[0] == '\0')
    {
      va_list args;
      va_start (args, format);
      (void)vsnprintf (team->error, sizeof team->error, format, args);
      va_end (args);
    }
  return SORA_FAILED;
}

int
sora_kit_team_cancelled (const SoraKitTeam *team)
{
  return team->host != NULL && team->host->cancelled (team->ctx);
}

uint64_t
sora_kit_fp_enter (void)
{
#if defined(__SSE2__)
  unsigned int saved = _mm_getcsr ();
  _mm_setcsr (saved | 0x8040); /* FTZ and DAZ */
  return saved;
#elif defined(__aarch64__)
  uint64_t saved;
  __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
  __asm__ volatile("msr fpcr, %0" : : "r"(saved | (UINT64_C (1) << 24)));
  return saved;
#else
  return 0;
#endif
}

void
sora_kit_fp_leave (uint64_t saved)
{
#if defined(__SSE2__)
  /* The sticky exception flags are not ours to restore; control bits alone are.  */
  _mm_setcsr (((unsigned int)saved & ~0x3fu) | (_mm_getcsr () & 0x3fu));
#elif defined(__aarch64__)
  __asm__ volatile("msr fpcr, %0" : : "r"(saved));
#else
  (void)saved;
#endif
}

typedef struct
{
  SoraKitTeam *team;
  SoraKitTileFunc fn;
  void *data;
  int64_t tiles;
  _Atomic int64_t next;
  atomic_int result;
} Region;

static void
work (Region *region, int slot)
{
  uint64_t saved = sora_kit_fp_enter ();
  for (;;)
    {
      if (atomic_load_explicit (&region->result, memory_order_relaxed) != SORA_OK)
        break;
      int64_t tile = atomic_fetch_add_explicit (&region->next, 1, memory_order_relaxed);
      if (tile >= region->tiles)
        break;
      int result = sora_kit_team_cancelled (region->team)
                       ? SORA_CANCELLED
                       : region->fn (region->team, region->data, tile, slot);
      if (result != SORA_OK)
        {
          int expected = SORA_OK;
          atomic_compare_exchange_strong (&region->result, &expected, result);
        }
    }
  sora_kit_fp_leave (saved);
}

int
sora_kit_parallel (SoraKitTeam *team, int64_t tiles, SoraKitTileFunc fn, void *data)
{
  Region region = { .team = team, .fn = fn, .data = data, .tiles = tiles };
  int threads = tiles < team->threads ? (int)tiles : team->threads;
  /* oneDNN asks OpenMP for its thread count wherever it stands: inside a tile the answer must be
   * one.  */
  if (threads <= 1)
    {
      int saved = omp_get_max_threads ();
      omp_set_num_threads (1);
      work (&region, 0);
      omp_set_num_threads (saved);
    }
  else
    {
#pragma omp parallel num_threads(threads)
      {
        omp_set_num_threads (1);
        work (&region, omp_get_thread_num ());
      }
    }
  return atomic_load (&region.result);
}

typedef struct
{
  void (*fn) (void *data, int64_t row, int64_t count);
  void *data;
  int64_t rows, per_tile;
} Rows;

static int
rows_tile (SoraKitTeam *team, void *data, int64_t tile, int slot)
{
  Rows *rows = data;
  int64_t first = tile * rows->per_tile;
  int64_t count = rows->rows - first < rows->per_tile ? rows->rows - first : rows->per_tile;
  rows->fn (rows->data, first, count);
  return SORA_OK;
}

int
sora_kit_rows_parallel (SoraKitTeam *team, int64_t rows, int64_t per_tile,
                        void (*fn) (void *data, int64_t row, int64_t count), void *data)
{
  Rows work_rows = { fn, data, rows, per_tile > 0 ? per_tile : 32 };
  return sora_kit_parallel (team, (rows + work_rows.per_tile - 1) / work_rows.per_tile, rows_tile,
                            &work_rows);
}
