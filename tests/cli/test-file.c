/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Files that appear whole: published, refused, replaced, interrupted, and where there are no hard
 * links.
 */
#include "config.h"
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "sora-error.h"
#include "tools/soractl-file.h"

static gboolean no_links;

/* In place of libc's: a file system such as FAT. */
int
link (const char *from, const char *to)
{
  if (no_links)
    {
      errno = EPERM;
      return -1;
    }
  return linkat (AT_FDCWD, from, AT_FDCWD, to, 0);
}

static char *folder, *path;

static void
setup (void)
{
  folder = g_dir_make_tmp ("test-file-XXXXXX", NULL);
  path = g_build_filename (folder, "clip", NULL);
  no_links = FALSE;
}

static int
n_files (void)
{
  int n = 0;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
teardown (void)
{
  g_unlink (path);
  ck_assert_int_eq (n_files (), 0);
  g_rmdir (folder);
  g_free (folder);
  g_free (path);
}

/* As soractl_file_open does where O_TMPFILE is not known. */
static void
open_with_name (SoractlFile *file)
{
  *file = (SoractlFile){ .path = g_strdup (path),
                         .temporary = g_build_filename (folder, ".clip.part", NULL) };
  file->fd = open (file->temporary, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
  ck_assert_int_ge (file->fd, 0);
}

static void
put (SoractlFile *file, const char *text)
{
  int fds[2];
  ck_assert_int_eq (pipe (fds), 0);
  ck_assert_int_eq (write (fds[1], text, strlen (text)), (ssize_t)strlen (text));
  close (fds[1]);
  ck_assert (soractl_file_copy (file, fds[0], NULL));
  close (fds[0]);
}

static void
assert_holds (const char *expected)
{
  g_autofree char *text = NULL;
  ck_assert (g_file_get_contents (path, &text, NULL, NULL));
  ck_assert_str_eq (text, expected);
  ck_assert_int_eq (n_files (), 1);
}

/* _i: 0 without a name, 1 with a temporary one, 2 with one and without hard links. */
START_TEST (published)
{
  for (int round = 0; round < 3; round++)
    {
      g_auto (SoractlFile) file = { .fd = -1 };
      g_autoptr (GError) error = NULL;
      no_links = _i == 2;
      if (_i == 0)
        ck_assert (soractl_file_open (&file, path, NULL));
      else
        open_with_name (&file);
      put (&file, round == 0 ? "one" : "two");
      ck_assert (g_file_test (path, G_FILE_TEST_EXISTS) == (round > 0));
      /* New, refused, replaced. */
      gboolean ok = soractl_file_publish (&file, round == 2, &error);
      ck_assert (ok == (round != 1));
      ck_assert (round != 1 || strstr (error->message, "--overwrite") != NULL);
      soractl_file_clear (&file);
      assert_holds (round < 2 ? "one" : "two");
    }
}
END_TEST

START_TEST (left_alone)
{
  g_auto (SoractlFile) file = { .fd = -1 };
  if (_i == 0)
    ck_assert (soractl_file_open (&file, path, NULL));
  else
    open_with_name (&file);
  put (&file, "half");
  soractl_file_clear (&file);
  ck_assert_int_eq (n_files (), 0);
}
END_TEST

static pthread_t copier;
static int copied;

/* Once may be before the copy listens. */
static gpointer
interrupt (gpointer data)
{
  while (!g_atomic_int_get (&copied))
    {
      pthread_kill (copier, SIGINT);
      g_thread_yield ();
    }
  return NULL;
}

START_TEST (interrupted)
{
  g_auto (SoractlFile) file = { .fd = -1 };
  g_autoptr (GError) error = NULL;
  int fds[2];
  /* Nothing ever comes, and the other end stays open: only the signal ends it. */
  ck_assert_int_eq (pipe (fds), 0);
  open_with_name (&file);
  signal (SIGINT, SIG_IGN);
  copier = pthread_self ();
  copied = FALSE;
  GThread *thread = g_thread_new ("interrupt", interrupt, NULL);
  gboolean ok = soractl_file_copy (&file, fds[0], &error);
  g_atomic_int_set (&copied, TRUE);
  g_thread_join (thread);
  ck_assert (!ok);
  ck_assert (g_error_matches (error, SORA_ERROR, SORA_ERROR_CANCELLED));
  soractl_file_clear (&file);
  ck_assert_int_eq (n_files (), 0);
  close (fds[0]);
  close (fds[1]);
}
END_TEST

START_TEST (missing_folder)
{
  g_auto (SoractlFile) file = { .fd = -1 };
  g_autoptr (GError) error = NULL;
  ck_assert (!soractl_file_open (&file, "/nonexistent/clip", &error));
  ck_assert (strstr (error->message, "'/nonexistent/clip'") != NULL);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("file");
  TCase *files = tcase_create ("files");
  tcase_add_checked_fixture (files, setup, teardown);
  tcase_add_loop_test (files, published, 0, 3);
  tcase_add_loop_test (files, left_alone, 0, 2);
  tcase_add_test (files, interrupted);
  tcase_add_test (files, missing_folder);
  suite_add_tcase (suite, files);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
