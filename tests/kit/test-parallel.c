/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The one way to use threads: every tile once, a slot for one thread at a time, one OpenMP thread
 * inside, the floating-point environment given back, and a stop at the next tile.
 */
#include "kit-parallel.h"
#include "kit-test.h"

#include <omp.h>
#include <stdatomic.h>

#define TILES 500

typedef struct
{
  atomic_int seen[TILES], in_slot[SORA_KIT_MAX_THREADS], started;
  int64_t fail_at, cancel_at;
  volatile float tiny;
  atomic_int wrong;
} Work;

static int
tile_func (SoraKitTeam *team, void *data, int64_t tile, int slot)
{
  Work *work = data;
  work->seen[tile]++;
  work->started++;
  if (slot < 0 || slot >= team->threads || work->in_slot[slot]++ != 0)
    work->wrong++;
  if (omp_get_max_threads () != 1)
    work->wrong++;
#if defined(__SSE2__)
  /* The smallest normal number, halved, is a denormal: flushed here.  */
  if (work->tiny * 0.5f != 0.0f)
    work->wrong++;
#endif
  work->in_slot[slot]--;
  if (tile == work->fail_at)
    return sora_kit_team_fail (team, "tile %d is broken", (int)tile);
  return tile == work->cancel_at ? SORA_CANCELLED : SORA_OK;
}

static void
work_init (Work *work)
{
  memset (work, 0, sizeof *work);
  work->fail_at = work->cancel_at = -1;
  work->tiny = 0x1p-126f;
}

START_TEST (test_every_tile_once)
{
  static Work work;
  for (int threads = 1; threads <= 4; threads++)
    for (int64_t tiles = 0; tiles <= TILES; tiles = tiles * 3 + 1)
      {
        SoraKitTeam team;
        int before = omp_get_max_threads ();
        work_init (&work);
        sora_kit_team_init (&team, NULL, NULL, threads);
        kit_test_ok (&team, sora_kit_parallel (&team, tiles, tile_func, &work));
        int good = 0;
        for (int64_t i = 0; i < TILES; i++)
          good += work.seen[i] == (i < tiles);
        ck_assert_int_eq (good, TILES);
        ck_assert_int_eq (work.wrong, 0);
        ck_assert_int_eq (omp_get_max_threads (), before);
        /* And given back: a denormal is one again.  */
        ck_assert (work.tiny * 0.5f != 0.0f);
      }
}
END_TEST

START_TEST (test_stop)
{
  static Work work;
  for (int threads = 1; threads <= 3; threads++)
    for (int cancel = 0; cancel < 2; cancel++)
      {
        SoraKitTeam team;
        work_init (&work);
        *(cancel ? &work.cancel_at : &work.fail_at) = 20;
        sora_kit_team_init (&team, NULL, NULL, threads);
        int result = sora_kit_parallel (&team, TILES, tile_func, &work);
        ck_assert_int_eq (result, cancel ? SORA_CANCELLED : SORA_FAILED);
        ck_assert_str_eq (team.error, cancel ? "" : "tile 20 is broken");
        ck_assert_int_eq (work.wrong, 0);
        ck_assert (work.tiny * 0.5f != 0.0f);
        if (threads == 1)
          ck_assert_int_eq (work.started, 21);
        /* The first reason stays.  */
        sora_kit_team_fail (&team, "later");
        ck_assert_str_eq (team.error, cancel ? "later" : "tile 20 is broken");
      }
}
END_TEST

static atomic_int asked;

static int
cancelled (SoraContext *ctx)
{
  return asked++ >= 10;
}

START_TEST (test_host_cancels)
{
  static Work work;
  const SoraHost host = { .struct_size = sizeof host, .cancelled = cancelled };
  SoraKitTeam team;
  asked = 0;
  work_init (&work);
  sora_kit_team_init (&team, &host, NULL, 2);
  ck_assert_int_eq (sora_kit_parallel (&team, TILES, tile_func, &work), SORA_CANCELLED);
  ck_assert_int_eq (work.started, 10);
}
END_TEST

static void
mark_rows (void *data, int64_t row, int64_t count)
{
  atomic_int *rows = data;
  for (int64_t i = row; i < row + count; i++)
    rows[i]++;
}

START_TEST (test_rows)
{
  static atomic_int rows[101];
  SoraKitTeam team;
  sora_kit_team_init (&team, NULL, NULL, 3);
  for (int64_t n = 0; n <= 100; n++)
    for (int64_t per_tile = 0; per_tile < 40; per_tile += 13)
      {
        memset (rows, 0, sizeof rows);
        kit_test_ok (&team, sora_kit_rows_parallel (&team, n, per_tile, mark_rows, rows));
        int good = 0;
        for (int64_t i = 0; i <= 100; i++)
          good += rows[i] == (i < n);
        ck_assert_int_eq (good, 101);
      }
}
END_TEST

START_TEST (test_team)
{
  SoraKitTeam team;
  sora_kit_team_init (&team, NULL, NULL, -3);
  ck_assert_int_eq (team.threads, 1);
  sora_kit_team_init (&team, NULL, NULL, 100000);
  ck_assert_int_eq (team.threads, SORA_KIT_MAX_THREADS);
  ck_assert_int_eq (sora_kit_team_fail (NULL, "nobody asks"), SORA_FAILED);
}
END_TEST

START_TEST (test_memory)
{
  ck_assert_ptr_null (sora_kit_alloc (UINT64_MAX, 2));
  ck_assert_ptr_null (sora_kit_alloc (UINT64_MAX / 4, 4));
  ck_assert_ptr_null (sora_kit_alloc0 (UINT64_MAX / 2, 4));
  for (size_t bytes = 0; bytes < (size_t)32 << 20; bytes = bytes * 5 + 1)
    {
      unsigned char *memory = sora_kit_alloc0 (bytes, 1);
      ck_assert_ptr_nonnull (memory);
      ck_assert_uint_eq ((uintptr_t)memory % 64, 0);
      size_t zeros = 0;
      while (zeros < bytes && memory[zeros] == 0)
        zeros++;
      ck_assert_uint_eq (zeros, bytes);
      sora_kit_free (memory);
    }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("parallel");
  TCase *tests = tcase_create ("parallel");
  tcase_add_test (tests, test_every_tile_once);
  tcase_add_test (tests, test_stop);
  tcase_add_test (tests, test_host_cancels);
  tcase_add_test (tests, test_rows);
  tcase_add_test (tests, test_team);
  tcase_add_test (tests, test_memory);
  suite_add_tcase (suite, tests);
  return kit_test_main (suite);
}
