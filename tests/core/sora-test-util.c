/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What tests share; see sora-test-util.h.
 */
#include "config.h"
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <glib/gstdio.h>
#include "sora-test-util.h"

static char *root;

TCase *
sora_test_case (Suite *suite, const char *name)
{
  TCase *tcase = tcase_create (name);
  tcase_set_timeout (tcase, 120);
  suite_add_tcase (suite, tcase);
  return tcase;
}

static int
remove_one (const char *path, const struct stat *st, int type, struct FTW *ftw)
{
  return remove (path);
}

void
sora_test_remove (const char *path)
{
  nftw (path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int
sora_test_main (Suite *suite)
{
  g_autoptr (GError) error = NULL;
  root = g_dir_make_tmp ("sora-test-XXXXXX", &error);
  if (root == NULL)
    {
      fprintf (stderr, "cannot make a temporary folder: %s\n", error->message);
      return EXIT_FAILURE;
    }
  g_autofree char *cache = g_build_filename (root, "cache", NULL);
  g_autofree char *data = g_build_filename (root, "data", NULL);
  g_setenv ("XDG_CACHE_HOME", cache, TRUE);
  g_setenv ("XDG_DATA_HOME", data, TRUE);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  sora_test_remove (root);
  g_free (root);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

char *
sora_test_dir (void)
{
  char *path = g_build_filename (root, "XXXXXX", NULL);
  ck_assert_ptr_nonnull (g_mkdtemp (path));
  return path;
}

char *
sora_test_write (const char *dir, const char *name, const void *data, gssize length)
{
  g_autoptr (GError) error = NULL;
  char *path = g_build_filename (dir, name, NULL);
  g_autofree char *folder = g_path_get_dirname (path);
  ck_assert_int_eq (g_mkdir_with_parents (folder, 0700), 0);
  /* In place, not by rename: a test may want the same inode changed. */
  FILE *file = fopen (path, "wb");
  ck_assert_ptr_nonnull (file);
  gsize size = length < 0 ? strlen (data) : (gsize)length;
  ck_assert_uint_eq (fwrite (data, 1, size, file), size);
  ck_assert_int_eq (fclose (file), 0);
  return path;
}

void
sora_test_text (const char *dir, const char *name, const char *text)
{
  g_free (sora_test_write (dir, name, text, -1));
}

GByteArray *
sora_test_safetensors (const char *header, gsize data_size)
{
  GByteArray *file = g_byte_array_new ();
  guint64 length = GUINT64_TO_LE ((guint64)strlen (header));
  g_byte_array_append (file, (const guint8 *)&length, 8);
  g_byte_array_append (file, (const guint8 *)header, (guint)strlen (header));
  for (gsize i = 0; i < data_size; i++)
    {
      guint8 byte = (guint8)i;
      g_byte_array_append (file, &byte, 1);
    }
  return file;
}

void
sora_test_assert_error (GError **error, SoraError code, const char *words, const char *file,
                        int line)
{
  if (*error == NULL)
    ck_abort_msg ("%s:%d: no error, expected one with '%s'", file, line, words);
  if ((*error)->domain != SORA_ERROR || (*error)->code != (int)code)
    ck_abort_msg ("%s:%d: error %s/%d, expected code %d: %s", file, line,
                  g_quark_to_string ((*error)->domain), (*error)->code, (int)code,
                  (*error)->message);
  if (!g_utf8_validate ((*error)->message, -1, NULL))
    ck_abort_msg ("%s:%d: the message is not UTF-8: %s", file, line, (*error)->message);
  if (strstr ((*error)->message, words) == NULL)
    ck_abort_msg ("%s:%d: '%s' does not hold '%s'", file, line, (*error)->message, words);
  g_clear_error (error);
}
