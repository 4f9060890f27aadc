/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Files of packed weights: their checksum, their head, and the folder: what is whole and its owner's
 * comes back, and anything else does not.
 */
#include "config.h"
#include "sora-error.h"
#include "sora-packed-header.h"
#include "sora-packed-store.h"
#include "sora-xxh64.h"
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define OTHER "10112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define THIRD "20112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static char *dir;
static const int no_wish;

static void
setup (void)
{
  g_autofree char *parent = g_dir_make_tmp ("test-packed-XXXXXX", NULL);
  dir = g_build_filename (parent, "packed", NULL);
  g_unsetenv ("SORA_PACKED_MAX");
}

static void
teardown (void)
{
  g_autofree char *parent = g_path_get_dirname (dir);
  ck_assert (sora_packed_clear (dir, NULL));
  (void)g_rmdir (dir);
  ck_assert_int_eq (g_rmdir (parent), 0);
  g_free (dir);
}

/* libxxhash 0.8 gives the same: of nothing, of "a", of "abc" and of 0, 1 … 100, with seeds 0 and 1. */
START_TEST (test_checksum)
{
  guint8 bytes[101];
  for (guint i = 0; i < sizeof bytes; i++)
    bytes[i] = (guint8)i;
  ck_assert_uint_eq (sora_xxh64 ("", 0, 0), G_GUINT64_CONSTANT (0xef46db3751d8e999));
  ck_assert_uint_eq (sora_xxh64 ("a", 1, 0), G_GUINT64_CONSTANT (0xd24ec4f1a98c6e5b));
  ck_assert_uint_eq (sora_xxh64 ("abc", 3, 0), G_GUINT64_CONSTANT (0x44bc2cf5ad770999));
  ck_assert_uint_eq (sora_xxh64 (bytes, sizeof bytes, 0), G_GUINT64_CONSTANT (0xe99038495f85381e));
  ck_assert_uint_eq (sora_xxh64 (bytes, sizeof bytes, 1), G_GUINT64_CONSTANT (0x436499928c06f890));
}
END_TEST

/* Some bytes that follow from @seed. */
static GBytes *
make_data (gsize size, guint seed)
{
  guint8 *data = g_malloc (size);
  for (gsize i = 0; i < size; i++)
    data[i] = (guint8)(i * 7 + (i >> 10) + seed);
  return g_bytes_new_take (data, size);
}

static gboolean
keep (const char *key, GBytes *data, GError **error)
{
  gsize size;
  const guint8 *bytes = g_bytes_get_data (data, &size);
  SoraPackedWriter *writer
      = sora_packed_writer_new (dir, SORA_PACKED_KEEP, key, "what it is", size, error);
  gboolean ok = writer != NULL && sora_packed_writer_run (writer, bytes, &no_wish, error);
  if (writer != NULL)
    sora_packed_writer_free (writer);
  return ok;
}

static void
keep_ok (const char *key, gsize size, guint seed)
{
  g_autoptr (GBytes) data = make_data (size, seed);
  g_autoptr (GError) error = NULL;
  ck_assert_msg (keep (key, data, &error), "%s", error != NULL ? error->message : "");
}

/* Is it there, and these bytes?  The error's text otherwise: "" if there is none. */
static char *
look (const char *key, gsize size, guint seed)
{
  g_autoptr (GBytes) data = make_data (size, seed);
  g_autoptr (GError) error = NULL;
  SoraPackedMap map;
  if (!sora_packed_map (dir, SORA_PACKED_KEEP, key, NULL, NULL, &map, &error))
    {
      ck_assert_ptr_nonnull (error);
      ck_assert_ptr_null (map.map);
      return g_strdup (g_error_matches (error, SORA_ERROR, SORA_ERROR_NOT_FOUND) ? "" : error->message);
    }
  ck_assert_uint_eq (map.size, size);
  ck_assert_uint_eq ((guintptr)map.data % 64, 0);
  ck_assert_mem_eq (map.data, g_bytes_get_data (data, NULL), size);
  sora_packed_unmap (&map);
  return NULL;
}

static char *
path_of (const char *key)
{
  return g_strconcat (dir, "/", key, ".packed", NULL);
}

static void
expect (const char *key, gsize size, guint seed, const char *part)
{
  g_autofree char *said = look (key, size, seed);
  ck_assert_msg (g_strcmp0 (said, part) == 0
                     || (part != NULL && *part != '\0' && said != NULL && strstr (said, part) != NULL),
                 "it said: %s", said != NULL ? said : "(it is there)");
}

/* More than one block of the checksum, one byte, and one that takes another's place. */
START_TEST (test_kept)
{
  const gsize large = SORA_PACKED_BLOCK + 12345;
  struct stat st;

  expect (KEY, 1, 0, "");
  keep_ok (KEY, large, 1);
  keep_ok (OTHER, 1, 2);
  expect (KEY, large, 1, NULL);
  expect (OTHER, 1, 2, NULL);
  expect (THIRD, 1, 2, "");
  keep_ok (KEY, 4097, 3);
  expect (KEY, 4097, 3, NULL);
  g_autofree char *path = path_of (KEY);
  ck_assert_int_eq (stat (path, &st), 0);
  ck_assert_uint_eq (st.st_mode & 0777, 0600);
  ck_assert_int_eq (stat (dir, &st), 0);
  ck_assert_uint_eq (st.st_mode & 0777, 0700);
  g_autoptr (GPtrArray) list = sora_packed_list (dir);
  ck_assert_uint_eq (list->len, 2);
  ck_assert_str_eq (((SoraPackedFile *)list->pdata[0])->label, "what it is");
  ck_assert_uint_eq (((SoraPackedFile *)list->pdata[0])->bytes, 4096 + 4097);
  ck_assert (sora_packed_clear (dir, NULL));
  expect (KEY, 4097, 3, "");
  expect (OTHER, 1, 2, "");
}
END_TEST

static void
overwrite (const char *path, goffset at, guint8 mask)
{
  guint8 byte;
  int fd = open (path, O_RDWR | O_CLOEXEC);
  ck_assert_int_ge (fd, 0);
  ck_assert_int_eq (pread (fd, &byte, 1, at), 1);
  byte ^= mask;
  ck_assert_int_eq (pwrite (fd, &byte, 1, at), 1);
  close (fd);
}

/* Each is told, removed, and then simply not there. */
START_TEST (test_damage)
{
  const struct
  {
    goffset at; /* -1: cut to @size; -2: lengthen by a byte */
    goffset size;
    const char *said;
  } harms[] = {
    { 0, 0, "does not begin" },
    { 9, 0, "does not begin" },
    { 13, 0, "its head is damaged" },
    { 17, 0, "its head is damaged" },
    { 25, 0, "its head is damaged" },
    { 40, 0, "its head is damaged" },
    { 2000, 0, "its head is damaged" },
    { 4095, 0, "its head is damaged" },
    { 4096, 0, "it is damaged" },
    { 4096 + 5000, 0, "it is damaged" },
    { 4096 + 9999, 0, "it is damaged" },
    { -1, 4096 + 9999, "it holds 9999 bytes of data, expected 10000" },
    { -1, 4096, "it has 4096 bytes" },
    { -1, 100, "it has 100 bytes" },
    { -1, 0, "it has 0 bytes" },
    { -2, 0, "it holds 10001 bytes" },
  };
  g_autofree char *path = path_of (KEY);

  for (guint i = 0; i < G_N_ELEMENTS (harms); i++)
    {
      keep_ok (KEY, 10000, i);
      if (harms[i].at >= 0)
        overwrite (path, harms[i].at, 0x10);
      else
        ck_assert_int_eq (truncate (path, harms[i].at == -1 ? harms[i].size : 4096 + 10001), 0);
      expect (KEY, 10000, i, harms[i].said);
      expect (KEY, 10000, i, "");
    }
}
END_TEST

/* The right bytes under another's name, and what is no file of its owner's alone. */
START_TEST (test_strangers)
{
  g_autofree char *path = path_of (KEY), *other = path_of (OTHER);
  g_autoptr (GError) error = NULL;
  SoraPackedMap map;

  keep_ok (KEY, 100, 0);
  ck_assert_int_eq (rename (path, other), 0);
  expect (OTHER, 100, 0, "name of another key");
  keep_ok (KEY, 100, 0);
  ck_assert_int_eq (symlink (path, other), 0);
  expect (OTHER, 100, 0, "opening");
  ck_assert_int_eq (unlink (other), 0);
  ck_assert_int_eq (mkfifo (other, 0600), 0);
  expect (OTHER, 100, 0, "no regular file");
  ck_assert_int_eq (chmod (path, 0620), 0);
  expect (KEY, 100, 0, "others than its owner can write it");
  keep_ok (KEY, 100, 0);
  ck_assert_int_eq (chmod (path, 0602), 0);
  expect (KEY, 100, 0, "others than its owner can write it");
  keep_ok (KEY, 100, 0);
  if (geteuid () == 0)
    {
      ck_assert_int_eq (chown (path, 12345, 12345), 0);
      expect (KEY, 100, 0, "it belongs to uid 12345, expected 0");
      keep_ok (KEY, 100, 0);
      ck_assert_int_eq (chown (path, 12345, 12345), 0);
    }
  /* Of a folder that many share only what root wrote is taken; and nothing is removed from it. */
  ck_assert (!sora_packed_map (dir, SORA_PACKED_READ, KEY, NULL, NULL, &map, &error));
  ck_assert_ptr_nonnull (strstr (error->message, "expected 0"));
  ck_assert_int_eq (access (path, F_OK), 0);
}
END_TEST

/* Used ones stay, whoever asks for more than there may be gets nothing, and neither does a typing error. */
START_TEST (test_limit)
{
  g_autoptr (GBytes) data = make_data (5000, 0);
  g_autofree char *path = path_of (KEY), *other = path_of (OTHER);
  const struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } }, older[2] = { { 900, 0 }, { 900, 0 } };

  g_setenv ("SORA_PACKED_MAX", "20K", TRUE); /* two of them */
  keep_ok (KEY, 5000, 0);
  keep_ok (OTHER, 5000, 0);
  ck_assert_int_eq (utimensat (AT_FDCWD, path, older, 0), 0);
  ck_assert_int_eq (utimensat (AT_FDCWD, other, old, 0), 0);
  expect (KEY, 5000, 0, NULL); /* used: now the other is the oldest */
  keep_ok (THIRD, 5000, 0);
  expect (OTHER, 5000, 0, "");
  expect (KEY, 5000, 0, NULL);
  expect (THIRD, 5000, 0, NULL);
  const struct
  {
    const char *limit, *said;
  } rows[] = {
    { "9095", "8.9 KiB is more than the 8.9 KiB that SORA_PACKED_MAX leaves" },
    { "0", "SORA_PACKED_MAX leaves" },
    { "20GB", "SORA_PACKED_MAX is '20GB', expected bytes, or a number with K, M, G or T: 20G" },
    { "many", "SORA_PACKED_MAX is 'many'" },
    { "-1", "SORA_PACKED_MAX is '-1'" },
    { "99999999T", "SORA_PACKED_MAX is '99999999T'" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GError) error = NULL;
      g_setenv ("SORA_PACKED_MAX", rows[i].limit, TRUE);
      ck_assert (!keep (OTHER, data, &error));
      ck_assert_msg (strstr (error->message, rows[i].said) != NULL, "%s", error->message);
      expect (OTHER, 5000, 0, "");
    }
  g_setenv ("SORA_PACKED_MAX", "9096", TRUE);
  keep_ok (OTHER, 5000, 0);
  expect (KEY, 5000, 0, "");
}
END_TEST

/* Given up, the disk too small, no folder: nothing is left behind. */
START_TEST (test_not_written)
{
  g_autoptr (GBytes) data = make_data (5000, 0);
  g_autoptr (GError) error = NULL, none = NULL, full = NULL;
  const int wish = TRUE;
  SoraPackedWriter *writer
      = sora_packed_writer_new (dir, SORA_PACKED_KEEP, KEY, "what", 5000, &error);

  ck_assert_ptr_nonnull (writer);
  ck_assert (!sora_packed_writer_run (writer, g_bytes_get_data (data, NULL), &wish, &error));
  ck_assert (g_error_matches (error, SORA_ERROR, SORA_ERROR_CANCELLED));
  sora_packed_writer_free (writer);
  g_autoptr (GPtrArray) list = sora_packed_list (dir);
  ck_assert_uint_eq (list->len, 0);
  g_setenv ("SORA_PACKED_MAX", "8000000T", TRUE);
  ck_assert_ptr_null (sora_packed_writer_new (dir, SORA_PACKED_KEEP, KEY, "what",
                                              G_GUINT64_CONSTANT (1) << 60, &full));
  ck_assert (g_error_matches (full, SORA_ERROR, SORA_ERROR_NO_SPACE));
  ck_assert_ptr_nonnull (strstr (full->message, "would leave less than that free"));
  ck_assert_int_eq (g_rmdir (dir), 0);
  ck_assert (g_file_set_contents (dir, "", 0, NULL));
  g_unsetenv ("SORA_PACKED_MAX");
  ck_assert (!keep (KEY, data, &none));
  ck_assert_ptr_nonnull (strstr (none->message, "the folder"));
  expect (KEY, 5000, 0, "");
  ck_assert_int_eq (g_unlink (dir), 0);
}
END_TEST

int
main (void)
{
  TCase *tcase = tcase_create ("packed");
  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_set_timeout (tcase, 120);
  tcase_add_test (tcase, test_checksum);
  tcase_add_test (tcase, test_kept);
  tcase_add_test (tcase, test_damage);
  tcase_add_test (tcase, test_strangers);
  tcase_add_test (tcase, test_limit);
  tcase_add_test (tcase, test_not_written);
  Suite *suite = suite_create ("packed");
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
