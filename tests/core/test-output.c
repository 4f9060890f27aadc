/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Result files on every kind of file system.  Built with the sources themselves, whose system calls
 * are made to answer what FAT, NFS, FUSE and failing disks answer.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "sora-test-util.h"

typedef enum
{
  NO_TMPFILE = 1,
  NO_LINK = 2,
  NO_RENAME_FLAGS = 4,
} Missing;

static guint missing;
static int folder_fsync_fails; /* errno */

static int
faulty_openat (int dirfd, const char *path, int flags, ...)
{
  va_list args;
  va_start (args, flags);
  mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg (args, mode_t) : 0;
  va_end (args);
  if ((missing & NO_TMPFILE) && (flags & O_TMPFILE) == O_TMPFILE)
    {
      errno = EOPNOTSUPP;
      return -1;
    }
  return openat (dirfd, path, flags, mode);
}

static int
faulty_linkat (int from_dir, const char *from, int to_dir, const char *to, int flags)
{
  if (missing & NO_LINK)
    {
      errno = EPERM;
      return -1;
    }
  return linkat (from_dir, from, to_dir, to, flags);
}

static int
faulty_renameat2 (int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
  if (missing & NO_RENAME_FLAGS)
    {
      errno = EINVAL;
      return -1;
    }
  return renameat2 (from_dir, from, to_dir, to, flags);
}

static int
faulty_fsync (int fd)
{
  struct stat st;
  if (folder_fsync_fails != 0 && fstat (fd, &st) == 0 && S_ISDIR (st.st_mode))
    {
      errno = folder_fsync_fails;
      return -1;
    }
  return fsync (fd);
}

#define openat faulty_openat
#define linkat faulty_linkat
#define renameat2 faulty_renameat2
#define fsync faulty_fsync
#include "core/sora-file.c"
#include "core/sora-publish.c"
#include "core/sora-output.c"

static char *folder;
static SoraOutput *output;

static void
begin (gboolean overwrite)
{
  output = sora_output_new (folder, NULL);
  ck_assert_ptr_nonnull (output);
  sora_output_set_name (output, NULL, overwrite);
}

static void
make (const char *name, const char *text)
{
  g_autoptr (GError) error = NULL;
  int fd = sora_output_create (output, "stage", "port", name, "text/plain", &error);
  ck_assert_msg (fd >= 0, "%s", error != NULL ? error->message : "");
  ck_assert (sora_file_write (fd, name, text, strlen (text), NULL));
}

static GPtrArray *
publish_made (GError **error)
{
  ck_assert (sora_output_sync (output, "stage", NULL));
  GPtrArray *files = sora_output_publish (output, error);
  g_clear_pointer (&output, sora_output_free);
  return files;
}

static void
assert_text (const char *name, const char *expected)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *text = NULL;
  ck_assert_msg (g_file_get_contents (path, &text, NULL, NULL), "there is no '%s'", name);
  ck_assert_str_eq (text, expected);
}

/* Hidden ones too. */
static void
assert_files (guint expected)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  g_autoptr (GString) names = g_string_new (NULL);
  const char *name;
  guint n = 0;
  for (; (name = g_dir_read_name (dir)) != NULL; n++)
    g_string_append_printf (names, " %s", name);
  ck_assert_msg (n == expected, "%u files, expected %u:%s", n, expected, names->str);
}

static void
set_up (void)
{
  folder = sora_test_dir ();
}

static void
tear_down (void)
{
  g_clear_pointer (&folder, g_free);
}

/* _i: a sum of what is missing.  A file system without links has nameless files in no case. */
static gboolean
choose_missing (int i)
{
  missing = (guint)i;
  return !((missing & NO_LINK) && !(missing & NO_TMPFILE));
}

START_TEST (new_files)
{
  if (!choose_missing (_i))
    return;
  g_autoptr (GError) error = NULL;
  begin (FALSE);
  make ("a.bin", "new a");
  make ("b.bin", "new b");
  g_autoptr (GPtrArray) files = publish_made (&error);
  sora_assert_no_error (error);
  ck_assert_uint_eq (files->len, 2);
  assert_text ("a.bin", "new a");
  assert_text ("b.bin", "new b");
  assert_files (2);
}
END_TEST

/* It appears while the job runs. */
START_TEST (no_file_is_replaced)
{
  if (!choose_missing (_i))
    return;
  g_autoptr (GError) error = NULL;
  begin (FALSE);
  make ("a.bin", "new a");
  make ("b.bin", "new b");
  sora_test_text (folder, "b.bin", "old b");
  ck_assert_ptr_null (publish_made (&error));
  sora_assert_error (error, SORA_ERROR_INVALID_REQUEST, "b.bin' exists already");
  assert_text ("b.bin", "old b");
  assert_files (1);
}
END_TEST

START_TEST (old_files_are_replaced)
{
  if (!choose_missing (_i))
    return;
  g_autoptr (GError) error = NULL;
  sora_test_text (folder, "a.bin", "old a");
  begin (TRUE);
  make ("a.bin", "new a");
  make ("b.bin", "new b");
  g_autoptr (GPtrArray) files = publish_made (&error);
  sora_assert_no_error (error);
  assert_text ("a.bin", "new a");
  assert_text ("b.bin", "new b");
  assert_files (2);
}
END_TEST

/* The third cannot be published: what the first replaced is back, the second replaced nothing. */
START_TEST (old_files_come_back)
{
  if (!choose_missing (_i))
    return;
  g_autoptr (GError) error = NULL;
  sora_test_text (folder, "a.bin", "old a");
  begin (TRUE);
  make ("a.bin", "new a");
  make ("b.bin", "new b");
  make ("c.bin", "new c");
  sora_test_text (folder, "c.bin/inside", "a folder now");
  ck_assert_ptr_null (publish_made (&error));
  sora_assert_error (error, SORA_ERROR_FAILED, "c.bin'");
  assert_text ("a.bin", "old a");
  assert_text ("c.bin/inside", "a folder now");
  assert_files (2);
}
END_TEST

START_TEST (a_folder_is_not_replaced)
{
  g_autoptr (GError) error = NULL;
  sora_test_text (folder, "a.bin/inside", "a folder");
  begin (TRUE);
  ck_assert_int_eq (sora_output_create (output, "stage", "port", "a.bin", "text/plain", &error),
                    -1);
  sora_assert_error (error, SORA_ERROR_INVALID_REQUEST, "a.bin' is a folder");
  sora_output_free (output);
}
END_TEST

START_TEST (a_folder_that_cannot_be_synced)
{
  static const int unsupported[] = { EINVAL, EBADF, ENOSYS, EOPNOTSUPP };
  g_autoptr (GError) error = NULL;
  folder_fsync_fails = unsupported[_i];
  begin (FALSE);
  make ("a.bin", "new a");
  g_autoptr (GPtrArray) files = publish_made (&error);
  sora_assert_no_error (error);
  assert_text ("a.bin", "new a");
}
END_TEST

START_TEST (a_folder_on_a_broken_disk)
{
  g_autoptr (GError) error = NULL;
  folder_fsync_fails = EIO;
  sora_test_text (folder, "a.bin", "old a");
  begin (TRUE);
  make ("a.bin", "new a");
  make ("b.bin", "new b");
  ck_assert_ptr_null (publish_made (&error));
  sora_assert_error (error, SORA_ERROR_FAILED, "writing the folder");
  assert_text ("a.bin", "old a");
  assert_files (1);
}
END_TEST

/* A name as long as the file system allows is one to the end of the job. */
START_TEST (the_longest_name)
{
  if (!choose_missing (_i))
    return;
  g_autoptr (GError) error = NULL;
  g_autofree char *name = g_strnfill (255, 'n'), *longer = g_strnfill (256, 'n');
  sora_test_text (folder, name, "old");
  begin (TRUE);
  make (name, "new");
  ck_assert_int_eq (sora_output_create (output, "stage", "port", longer, "text/plain", &error), -1);
  sora_assert_error (error, SORA_ERROR_FAILED, "no plain file name");
  g_autoptr (GPtrArray) files = publish_made (&error);
  sora_assert_no_error (error);
  assert_text (name, "new");
  assert_files (1);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("output");
  TCase *tests = sora_test_case (suite, "output");

  tcase_add_checked_fixture (tests, set_up, tear_down);
  tcase_add_loop_test (tests, new_files, 0, 8);
  tcase_add_loop_test (tests, no_file_is_replaced, 0, 8);
  tcase_add_loop_test (tests, old_files_are_replaced, 0, 8);
  tcase_add_loop_test (tests, old_files_come_back, 0, 8);
  tcase_add_test (tests, a_folder_is_not_replaced);
  tcase_add_loop_test (tests, a_folder_that_cannot_be_synced, 0, 4);
  tcase_add_test (tests, a_folder_on_a_broken_disk);
  tcase_add_loop_test (tests, the_longest_name, 0, 8);
  return sora_test_main (suite);
}
