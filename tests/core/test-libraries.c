/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What is told of the libraries that a module needs: all of them, by what they are, and no others.
 */
#include "config.h"
#include "sora-libraries.h"
#include <check.h>
#include <dlfcn.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The line of a library; NULL: none. */
static const char *
line_of (char **lines, const char *name)
{
  for (char **line = lines; *line != NULL; line++)
    if (g_str_has_prefix (*line, name))
      return *line;
  return NULL;
}

START_TEST (plugin_with_its_libraries)
{
  g_autofree char *path
      = g_build_filename (g_getenv ("SORA_TEST_BUILDDIR"), "stage", "plugins", "dit-wan.so", NULL);
  ck_assert_ptr_null (sora_libraries_describe (path));
  void *handle = dlopen (path, RTLD_NOW | RTLD_LOCAL);
  ck_assert_msg (handle != NULL, "%s", dlerror ());
  g_autofree char *text = sora_libraries_describe (path), *again = sora_libraries_describe (path);
  ck_assert_ptr_nonnull (text);
  ck_assert_str_eq (text, again);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    ck_assert_msg (line == lines || strcmp (line[-1], *line) < 0, "'%s' is out of order", *line);
  /* Its own, and one that oneDNN brings. */
  ck_assert_ptr_nonnull (line_of (lines, "libdnnl.so."));
  ck_assert_ptr_nonnull (line_of (lines, "libstdc++.so."));
  const char *c_library = line_of (lines, "libc.so.6 ");
  ck_assert_ptr_nonnull (c_library);
  ck_assert_msg (strspn (c_library + strlen ("libc.so.6 "), "0123456789abcdef") == 40
                     && strlen (c_library) == strlen ("libc.so.6 ") + 40,
                 "'%s' is no build id", c_library);
  /* This program's, and nothing to the plugin. */
  ck_assert_ptr_null (line_of (lines, "libcheck.so"));
  ck_assert_ptr_null (line_of (lines, "dit-wan"));
  dlclose (handle);
}
END_TEST

/* Without a build id it is its file's size and time. */
START_TEST (library_without_build_id)
{
  const char *base = g_getenv ("SORA_TEST_BUILDDIR");
  g_autofree char *module = g_build_filename (base, "tests", "core", ".libs", "needing.so", NULL);
  g_autofree char *library
      = g_build_filename (base, "tests", "core", ".libs", "libneeded.so", NULL);
  GStatBuf st;
  ck_assert_int_eq (g_stat (library, &st), 0);
  void *handle = dlopen (module, RTLD_NOW | RTLD_LOCAL);
  ck_assert_msg (handle != NULL, "%s", dlerror ());
  g_autofree char *text = sora_libraries_describe (module);
  g_autofree char *want
      = g_strdup_printf ("libneeded.so %" G_GINT64_FORMAT " bytes of %" G_GINT64_FORMAT ".%09ld",
                         (gint64)st.st_size, (gint64)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
  ck_assert_ptr_nonnull (text);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  const char *line = line_of (lines, "libneeded.so");
  ck_assert_ptr_nonnull (line);
  ck_assert_str_eq (line, want);
  dlclose (handle);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("libraries");
  TCase *tests = tcase_create ("libraries");
  tcase_add_test (tests, plugin_with_its_libraries);
  tcase_add_test (tests, library_without_build_id);
  suite_add_tcase (suite, tests);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
