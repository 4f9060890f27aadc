/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Control groups of workers, in a part of the tree of cgroup v2: of SORA_TEST_CGROUP in the
 * environment, else below the test's own group.  Where none can be made the test is skipped; what
 * needs a controller that is not there is left out, and said.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/sora-error.h"
#include "dbus/sorad-cgroup.h"
#include "hostile-fixture.h"

#define MEMORY_MAX 805306368

static char *tree; /* of this test */
static HostileFixture *fixture;

static void
start (const char *third_party, const char *more)
{
  static const char *const names[] = { "fork-bomb", "sleep", "shared-leak", NULL };
  g_autofree char *settings = g_strdup_printf (
      "[Worker]\nThirdPartySandbox=%s\nThirdPartyStallSeconds=3\nAttempts=1\nIdleSeconds=0\n"
      "ControlGroup=%s\n%s",
      third_party, tree, more);
  fixture = hostile_fixture_new (names, settings, NULL, NULL);
}

static char *
first_group (void)
{
  g_autoptr (GDir) dir = g_dir_open (tree, 0, NULL);
  const char *name;
  ck_assert_ptr_nonnull (dir);
  while ((name = g_dir_read_name (dir)))
    if (g_str_has_prefix (name, "worker-"))
      return g_build_filename (tree, name, NULL);
  return NULL;
}

static gboolean
is_empty (gpointer unused)
{
  g_autofree char *group = first_group ();
  return group == NULL;
}

static gboolean
has_control (const char *name)
{
  g_autofree char *path = g_build_filename (tree, "cgroup.subtree_control", NULL);
  g_autofree char *text = NULL;
  return g_file_get_contents (path, &text, NULL, NULL) && strstr (text, name) != NULL;
}

static void
finish (void)
{
  bus_look_until (fixture->bus, is_empty, NULL, "the end of the workers' groups");
  hostile_assert_same_daemon (fixture);
  hostile_fixture_free (fixture);
}

static gboolean
are_four (gpointer unused)
{
  g_autofree char *group = first_group (), *text = NULL;
  g_autofree char *path = group ? g_build_filename (group, "cgroup.procs", NULL) : NULL;
  if (path == NULL || !g_file_get_contents (path, &text, NULL, NULL))
    return FALSE;
  g_auto (GStrv) pids = g_strsplit (g_strstrip (text), "\n", -1);
  return g_strv_length (pids) >= 4;
}

/* A worker with a third party's process in its sandbox is in one group, and nothing of it is left. */
START_TEST (a_worker_and_its_stages_are_in_one_group)
{
  start ("filtered", "");
  g_autofree char *job = hostile_submit (fixture, "hostile", "sleep");
  bus_wait_property (fixture->bus->connection, job, "Stage", "bad");
  /* Two monitors, the worker, the stage. */
  bus_look_until (fixture->bus, are_four, NULL, "four processes in the worker's group");
  hostile_assert_failed (fixture, job, ".WorkerDied", "gave no sign for 3 s");
  finish ();
}
END_TEST

/* What a process without a sandbox started outlives it, but not the worker's group. */
START_TEST (nothing_outlives_the_group)
{
  gsize size;
  start ("basic", "");
  g_autofree char *job = hostile_submit (fixture, "hostile", "fork-bomb");
  g_autofree char *bytes = hostile_bytes (fixture, job, &size);
  ck_assert_uint_eq (size, 8 * 4 * 4);
  finish (); /* its children wait for 20 s */
}
END_TEST

START_TEST (processes_are_bounded)
{
  start ("basic", "TasksMax=32\n");
  g_autofree char *job = hostile_submit (fixture, "hostile", "fork-bomb");
  hostile_assert_failed (fixture, job, ".Failed",
                         "no process can be made: Resource temporarily unavailable");
  ck_assert (hostile_has_note (fixture, job, "at most 32 processes and threads"));
  finish ();
}
END_TEST

START_TEST (shared_memory_is_bounded)
{
  start ("filtered", "MemoryMax=" G_STRINGIFY (MEMORY_MAX) "\n");
  g_autofree char *job = hostile_submit (fixture, "hostile", "shared-leak");
  hostile_assert_failed (fixture, job, ".WorkerDied",
                         "process of plugin 'shared-leak' was killed by signal 9");
  ck_assert (hostile_has_note (fixture, job, "at most 768 MiB of memory"));
  finish ();
}
END_TEST

/* As systemd does it: the daemon starts in a group that is marked as its own, and goes into a child
 * of it, so that there can be others. */
START_TEST (a_delegated_group_is_taken)
{
  g_autofree char *own = g_build_filename (tree, "own", NULL);
  g_autofree char *procs = g_build_filename (own, "cgroup.procs", NULL);
  g_autofree char *daemon = g_build_filename (own, "daemon", "cgroup.procs", NULL);
  g_autofree char *text = NULL;
  ck_assert_int_eq (g_mkdir (own, 0755), 0);
  ck_assert_int_eq (setxattr (own, "user.delegate", "1", 1, 0), 0);
  int fd = open (procs, O_WRONLY | O_CLOEXEC);
  ck_assert_int_eq (write (fd, "0", 1), 1); /* this test's process, which ends with the test */
  close (fd);
  fixture = hostile_fixture_new (NULL, "[Worker]\nIdleSeconds=300\n", NULL, NULL);
  ck_assert (g_file_get_contents (daemon, &text, NULL, NULL));
  ck_assert_str_eq (g_strstrip (text), g_subprocess_get_identifier (fixture->bus->sorad));
  gsize size;
  g_autofree char *job = hostile_submit (fixture, "hostile", "pass");
  g_autofree char *bytes = hostile_bytes (fixture, job, &size);
  ck_assert_uint_eq (size, 8 * 4 * 4);
  g_autoptr (GDir) dir = g_dir_open (own, 0, NULL);
  gboolean found = FALSE;
  for (const char *name; !found && (name = g_dir_read_name (dir));)
    found = g_str_has_prefix (name, "worker-"); /* it is warm */
  ck_assert (found);
  hostile_fixture_free (fixture);
}
END_TEST

/* -- The settings */

static char *
complaint (const char *setting)
{
  g_autofree char *name = g_strdup (setting);
  const SoradConfig config = { .cgroup = name, .memory_max = MEMORY_MAX, .tasks_max = 1024 };
  g_autoptr (GError) error = NULL;
  g_autofree char *why = NULL;
  ck_assert_ptr_null (sorad_cgroups_new (&config, &why, &error));
  ck_assert_ptr_nonnull (why);
  g_autofree char *limits = sorad_cgroups_describe (NULL, &config, why);
  ck_assert_ptr_nonnull (strstr (limits, why));
  ck_assert_ptr_nonnull (strstr (limits, "768 MiB of private memory for each process"));
  return g_strdup (error ? error->message : why);
}

START_TEST (what_is_no_group_is_refused)
{
  g_autofree char *none = complaint ("none"), *folder = complaint ("/usr");
  g_autofree char *missing = complaint ("/sys/fs/cgroup/no/such/group");
  ck_assert_str_eq (none, "ControlGroup=none");
  ck_assert_str_eq (folder, "[Worker] ControlGroup=/usr: '/usr' is no group of cgroup v2");
  ck_assert_ptr_nonnull (strstr (missing, "is no group of cgroup v2"));
}
END_TEST

/* A group that systemd did not give away is left alone. */
START_TEST (a_group_that_was_not_delegated_is_not_taken)
{
  g_autofree char *why = complaint ("auto");
  ck_assert (g_str_equal (why, "sorad's group was not delegated to it")
             || g_str_equal (why, "there is no cgroup v2"));
}
END_TEST

/* -- Where there is a tree */

static char *
find_parent (void)
{
  static const char *const roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
  g_autofree char *text = NULL;
  const char *given = g_getenv ("SORA_TEST_CGROUP");
  if (given)
    return g_strdup (given);
  g_file_get_contents ("/proc/self/cgroup", &text, NULL, NULL);
  const char *own = text ? strstr (text, "0::/") : NULL;
  for (gsize i = 0; own && i < G_N_ELEMENTS (roots); i++)
    {
      g_autofree char *controllers = g_build_filename (roots[i], "cgroup.controllers", NULL);
      g_autofree char *path = g_strndup (own + 4, strcspn (own + 4, "\n"));
      if (g_file_test (controllers, G_FILE_TEST_EXISTS))
        return g_build_filename (roots[i], path, NULL);
    }
  return NULL;
}

static gboolean
make_tree (void)
{
  g_autofree char *parent = find_parent ();
  tree = parent ? g_strdup_printf ("%s/sora-test-%d", parent, (int)getpid ()) : NULL;
  if (tree && g_mkdir (tree, 0755) == 0)
    return TRUE;
  printf ("there is no tree of cgroup v2 that can be written to (%s%s%s)\n",
          tree ? tree : "none is mounted", tree ? ": " : "", tree ? g_strerror (errno) : "");
  return FALSE;
}

/* Groups hold files that cannot be removed, and go with their folders. */
static void
remove_tree (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;
  while (dir && (name = g_dir_read_name (dir)))
    {
      g_autofree char *child = g_build_filename (path, name, NULL);
      if (g_file_test (child, G_FILE_TEST_IS_DIR))
        remove_tree (child);
    }
  g_rmdir (path);
}

int
main (void)
{
  gboolean have_tree = make_tree ();
  Suite *suite = suite_create ("cgroup");
  TCase *all = tcase_create ("all");
  tcase_set_timeout (all, 120);
  tcase_add_test (all, what_is_no_group_is_refused);
  tcase_add_test (all, a_group_that_was_not_delegated_is_not_taken);
  if (have_tree)
    {
      g_autofree char *control = g_build_filename (tree, "cgroup.subtree_control", NULL);
      tcase_add_test (all, a_worker_and_its_stages_are_in_one_group);
      tcase_add_test (all, nothing_outlives_the_group);
      tcase_add_test (all, a_delegated_group_is_taken);
      for (const char *const *name = (const char *const[]){ "+memory", "+pids", NULL }; *name; name++)
        {
          FILE *file = fopen (control, "w");
          if (file)
            {
              fputs (*name, file);
              fclose (file);
            }
        }
      if (has_control ("pids"))
        tcase_add_test (all, processes_are_bounded);
      else
        printf ("left out: processes_are_bounded: '%s' has no controller of processes\n", tree);
      if (has_control ("memory"))
        tcase_add_test (all, shared_memory_is_bounded);
      else
        printf ("left out: shared_memory_is_bounded: '%s' has no controller of memory\n", tree);
    }
  suite_add_tcase (suite, all);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  if (have_tree)
    remove_tree (tree);
  g_free (tree);
  return failed ? EXIT_FAILURE : have_tree ? EXIT_SUCCESS : 77;
}
