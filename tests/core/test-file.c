/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Opening files below a folder: by the kernel's openat2, and by the walk that stands in for it,
 * which must not be more generous.  Built with the source itself, since none of this is exported.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "sora-file.h"
#include "sora-test-util.h"

static char *folder;
static int dirfd_;

static void
set_up (void)
{
  g_autofree char *outside = sora_test_dir ();
  sora_test_text (outside, "secret", "outside");
  folder = sora_test_dir ();
  sora_test_text (folder, "plain", "inside");
  sora_test_text (folder, "sub/deep/file", "deeper");
  dirfd_ = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  g_autofree char *secret = g_build_filename (outside, "secret", NULL);
  ck_assert_int_eq (symlinkat (secret, dirfd_, "absolute"), 0);
  ck_assert_int_eq (symlinkat ("../../../../etc/passwd", dirfd_, "upward"), 0);
  ck_assert_int_eq (symlinkat (outside, dirfd_, "away"), 0);
  ck_assert_int_eq (symlinkat ("plain", dirfd_, "within"), 0);
  ck_assert_int_eq (symlinkat ("loop", dirfd_, "loop"), 0);
  ck_assert_int_eq (mkfifoat (dirfd_, "fifo", 0600), 0);
}

static void
tear_down (void)
{
  close (dirfd_);
  g_free (folder);
}

static const struct
{
  const char *name, *content; /* NULL: refused */
  SoraError code;
  const char *words;
  gboolean walk; /* does the walk open it too? */
} names[] = {
  { "plain", "inside", 0, NULL, TRUE },
  { "sub/deep/file", "deeper", 0, NULL, TRUE },
  { "within", "inside", 0, NULL, FALSE },
  { "absolute", NULL, SORA_ERROR_INVALID_MODEL, "symbolic link out of", FALSE },
  { "upward", NULL, SORA_ERROR_INVALID_MODEL, "symbolic link out of", FALSE },
  { "away/secret", NULL, SORA_ERROR_INVALID_MODEL, "symbolic link out of", FALSE },
  { "loop", NULL, SORA_ERROR_INVALID_MODEL, "symbolic link out of", FALSE },
  { "../x", NULL, SORA_ERROR_INVALID_MODEL, "expected a relative path without '..'", FALSE },
  { "sub/../plain", NULL, SORA_ERROR_INVALID_MODEL, "expected a relative path without '..'",
    FALSE },
  { "./plain", NULL, SORA_ERROR_INVALID_MODEL, "expected a relative path", FALSE },
  { "/etc/passwd", NULL, SORA_ERROR_INVALID_MODEL, "expected a relative path", FALSE },
  { "sub//deep/file", NULL, SORA_ERROR_INVALID_MODEL, "expected a relative path", FALSE },
  { "", NULL, SORA_ERROR_INVALID_MODEL, "expected a relative path", FALSE },
  { "sub", NULL, SORA_ERROR_INVALID_MODEL, "is a folder", FALSE },
  { "fifo", NULL, SORA_ERROR_INVALID_MODEL, "a device, pipe or socket", FALSE },
  { "missing", NULL, SORA_ERROR_NOT_FOUND, "cannot open", FALSE },
  { "plain/x", NULL, SORA_ERROR_INVALID_MODEL, "cannot open", FALSE },
};

START_TEST (names_stay_below_their_folder)
{
  g_autoptr (GError) error = NULL;
  struct stat st;
  int fd = sora_file_open_beneath (dirfd_, folder, names[_i].name, SORA_ERROR_INVALID_MODEL, &st,
                                   &error);
  if (names[_i].content == NULL)
    {
      ck_assert_int_lt (fd, 0);
      sora_assert_error (error, names[_i].code, names[_i].words);
      return;
    }
  sora_assert_no_error (error);
  g_autoptr (GBytes) bytes = sora_file_read_all (fd, "x", 100, SORA_ERROR_INVALID_MODEL, &error);
  ck_assert_str_eq (g_bytes_get_data (bytes, NULL), names[_i].content);
  close (fd);
}
END_TEST

START_TEST (the_walk_follows_no_link)
{
  if (!sora_file_name_is_beneath (names[_i].name))
    return; /* refused before either way is taken */
  int fd = sora_file_walk_beneath (dirfd_, names[_i].name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat st;
  gboolean regular = fd >= 0 && fstat (fd, &st) == 0 && S_ISREG (st.st_mode);
  ck_assert_int_eq (regular, names[_i].walk);
  if (fd >= 0)
    close (fd);
}
END_TEST

START_TEST (folders_are_opened_the_same_way)
{
  g_autoptr (GError) error = NULL;
  int fd
      = sora_file_open_dir_beneath (dirfd_, folder, "sub/deep", SORA_ERROR_INVALID_MODEL, &error);
  sora_assert_no_error (error);
  close (fd);
  ck_assert_int_lt (
      sora_file_open_dir_beneath (dirfd_, folder, "away", SORA_ERROR_INVALID_MODEL, &error), 0);
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "symbolic link out of");
  ck_assert_int_lt (
      sora_file_open_dir_beneath (dirfd_, folder, "plain", SORA_ERROR_INVALID_MODEL, &error), 0);
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "Not a directory");
}
END_TEST

START_TEST (reading_is_limited)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (folder, "plain", NULL);
  g_autoptr (GBytes) bytes = sora_file_load (path, 6, SORA_ERROR_FAILED, &error);
  ck_assert_uint_eq (g_bytes_get_size (bytes), 6);
  ck_assert_ptr_null (sora_file_load (path, 5, SORA_ERROR_FAILED, &error));
  sora_assert_error (error, SORA_ERROR_FAILED, "is 6 bytes long, expected at most 5");
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("file");
  TCase *tcase = sora_test_case (suite, "file");
  tcase_add_checked_fixture (tcase, set_up, tear_down);
  tcase_add_loop_test (tcase, names_stay_below_their_folder, 0, G_N_ELEMENTS (names));
  tcase_add_loop_test (tcase, the_walk_follows_no_link, 0, G_N_ELEMENTS (names));
  tcase_add_test (tcase, folders_are_opened_the_same_way);
  tcase_add_test (tcase, reading_is_limited);
  return sora_test_main (suite);
}
