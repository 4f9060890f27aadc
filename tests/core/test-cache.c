/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The folder of what is kept: entries come back as they were saved, under their own key alone, and
 * those that were used longest ago make room.
 */
#include "config.h"
#include "sora-cache-private.h"
#include <check.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

static char *dir;

static char *
key_of (int i)
{
  g_autofree char *text = g_strdup_printf ("entry %d", i);
  return g_compute_checksum_for_string (G_CHECKSUM_SHA256, text, -1);
}

static void
save (int i, gsize size, guint64 limit)
{
  g_autofree char *key = key_of (i), *data = g_malloc (size + 1);
  g_autoptr (GError) error = NULL;

  memset (data, i, size);
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);
  ck_assert_msg (sora_cache_save (dir, key, bytes, limit, &error), "%s",
                 error != NULL ? error->message : "");
}

/* Its size, or -1. */
static gssize
load (int i)
{
  g_autofree char *key = key_of (i);
  g_autofree char *why = NULL;
  g_autoptr (GBytes) bytes = sora_cache_load (dir, key, &why);
  gsize size;

  ck_assert_msg (why == NULL, "%s", why);
  if (bytes == NULL)
    return -1;
  const char *data = g_bytes_get_data (bytes, &size);
  for (gsize j = 0; j < size; j++)
    ck_assert_int_eq (data[j], (char)i);
  return (gssize)size;
}

/* As if it had been used so many seconds ago. */
static void
age (guint seconds)
{
  g_autoptr (GDir) folder = g_dir_open (dir, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (folder)) != NULL)
    {
      g_autofree char *path = g_build_filename (dir, name, NULL);
      struct stat st;
      ck_assert_int_eq (stat (path, &st), 0);
      struct timespec times[2] = { st.st_mtim, st.st_mtim };
      times[0].tv_sec = times[1].tv_sec = st.st_mtim.tv_sec - (time_t)seconds;
      ck_assert_int_eq (utimensat (AT_FDCWD, path, times, 0), 0);
    }
}

static void
setup (void)
{
  g_autofree char *parent = g_dir_make_tmp ("test-cache-XXXXXX", NULL);
  dir = g_build_filename (parent, "deep", "er", NULL);
}

static void
teardown (void)
{
  g_autofree char *deep = g_path_get_dirname (dir), *parent = g_path_get_dirname (deep);

  ck_assert (sora_cache_clear (dir, NULL));
  (void)g_rmdir (dir);
  (void)g_rmdir (deep);
  ck_assert_int_eq (g_rmdir (parent), 0);
  g_free (dir);
}

START_TEST (test_entries)
{
  guint64 bytes;

  ck_assert_int_eq (load (1), -1);
  ck_assert_uint_eq (sora_cache_measure (dir, &bytes), 0);
  save (1, 1000, 1 << 20);
  save (2, 0, 1 << 20);
  ck_assert_int_eq (load (1), 1000);
  ck_assert_int_eq (load (2), 0);
  ck_assert_int_eq (load (3), -1);
  save (1, 2000, 1 << 20); /* again: it is replaced */
  ck_assert_int_eq (load (1), 2000);
  ck_assert_uint_eq (sora_cache_measure (dir, &bytes), 2);
  ck_assert_uint_gt (bytes, 2000);
  ck_assert (sora_cache_clear (dir, NULL));
  ck_assert_uint_eq (sora_cache_measure (dir, &bytes), 0);
  ck_assert_int_eq (load (1), -1);
}
END_TEST

/* Each entry is 1,000 bytes and its header: three fit into 3,500. */
START_TEST (test_oldest_go)
{
  guint64 bytes;

  for (int i = 1; i <= 3; i++)
    {
      save (i, 1000, 3500);
      age (10);
    }
  ck_assert_uint_eq (sora_cache_measure (dir, &bytes), 3);
  ck_assert_int_eq (load (1), 1000); /* used: now the second is the oldest */
  age (10);
  save (4, 1000, 3500);
  ck_assert_uint_eq (sora_cache_measure (dir, &bytes), 3);
  ck_assert_uint_le (bytes, 3500);
  ck_assert_int_eq (load (2), -1);
  ck_assert_int_eq (load (1), 1000);
  ck_assert_int_eq (load (3), 1000);
  ck_assert_int_eq (load (4), 1000);
  /* What a process left that was killed while it wrote. */
  g_autofree char *part = g_build_filename (dir, ".0-abc.checkpoint.part", NULL);
  ck_assert (g_file_set_contents (part, "half", 4, NULL));
  age (10);
  save (5, 1000, 1139);
  ck_assert_uint_eq (sora_cache_measure (dir, &bytes), 1);
  ck_assert_int_eq (load (5), 1000);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("cache");
  TCase *tests = tcase_create ("cache");
  SRunner *runner = srunner_create (suite);

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, test_entries);
  tcase_add_test (tests, test_oldest_go);
  suite_add_tcase (suite, tests);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
