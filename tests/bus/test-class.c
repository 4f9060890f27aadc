/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Nice and Idle of sorad.conf, as the kernel has them: of every thread of a real worker, of its
 * monitors and of the process of its third-party stage, while a job runs.
 */
#include "config.h"

#include <check.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bus-fixture.h"

#define PATIENCE 300 /* seconds: others may leave an idle worker very little */
#define UNTRUSTED "TrustedPluginFolders=/nowhere\n" /* the plugin has a process of its own */

static char *plugins;
static BusFixture *fixture;

static void
lay (const char *suffix, const char *from)
{
  g_autofree char *source = g_strconcat (from, suffix, NULL);
  g_autofree char *target = g_strconcat (plugins, "/rogue", suffix, NULL);
  ck_assert_int_eq (symlink (source, target), 0);
}

static void
start (const char *settings)
{
  plugins = g_dir_make_tmp ("sora-class-XXXXXX", NULL);
  lay (".so", ABS_BUILDDIR "/tests/bus/rogue/.libs/rogue");
  lay (".plugin", ABS_SRCDIR "/tests/bus/rogue/rogue");
  fixture = bus_fixture_new (&(BusSetup){ .plugin_dir = plugins,
                                          .pipeline_dir = ABS_SRCDIR "/tests/bus/pipelines",
                                          .settings = settings });
}

static void
finish (void)
{
  bus_fixture_free (fixture);
  bus_remove_tree (plugins);
  g_free (plugins);
}

/* It is told of when its process has answered, so after that has its class and group. */
static gboolean
has_stage (gpointer job)
{
  g_autoptr (GVariant) stages = bus_get (fixture->connection, job, JOB, "ThirdPartyStages");
  return g_variant_n_children (stages) == 1;
}

static char *
submit_waiting (void)
{
  g_autoptr (GError) error = NULL;
  GVariantDict dict;
  char *job;
  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "mode", "s", "wait");
  g_autoptr (GVariant) reply = bus_call (
      fixture->connection, MANAGER_PATH, MANAGER, "Submit",
      g_variant_new ("(s@a{sv}a{sv})", "rogue", g_variant_dict_end (&dict), NULL), &error);
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  g_variant_get (reply, "(o)", &job);
  gint64 deadline = g_get_monotonic_time () + PATIENCE * G_USEC_PER_SEC;
  while (!has_stage (job)) /* a call to the daemon each */
    ck_assert_msg (g_get_monotonic_time () < deadline, "there is no process of the stage");
  return job;
}

static char *
read_proc (const char *pid, const char *name, gsize *length)
{
  g_autofree char *path = g_build_filename ("/proc", pid, name, NULL);
  char *text = NULL;
  return g_file_get_contents (path, &text, length, NULL) ? text : NULL;
}

static gboolean
is_ours (const char *pid)
{
  gsize length = 0;
  g_autofree char *name = read_proc (pid, "comm", NULL);
  g_autofree char *command = read_proc (pid, "cmdline", &length);
  return name && command && strstr (name, "sora-worker")
         && g_strstr_len (command, (gssize)length, "sora-worker")
         && memmem (command, length, plugins, strlen (plugins)) != NULL;
}

/* Of that many threads. */
static guint
check_process (const char *pid, int policy, int niceness, gboolean idle_disk)
{
  g_autofree char *tasks = g_build_filename ("/proc", pid, "task", NULL);
  g_autoptr (GDir) dir = g_dir_open (tasks, 0, NULL);
  const char *name;
  guint n = 0;
  ck_assert_ptr_nonnull (dir);
  for (; (name = g_dir_read_name (dir)); n++)
    {
      int thread = atoi (name);
      ck_assert_int_eq (getpriority (PRIO_PROCESS, (id_t)thread), niceness);
      ck_assert_int_eq (sched_getscheduler (thread), policy);
      long class = syscall (SYS_ioprio_get, IOPRIO_WHO_PROCESS, thread);
      if (class >= 0) /* else a kernel without disks */
        ck_assert_int_eq (IOPRIO_PRIO_CLASS (class) == IOPRIO_CLASS_IDLE, idle_disk);
    }
  g_autofree char *group = read_proc (pid, "autogroup", NULL);
  if (group && *group)
    {
      g_autofree char *end
          = g_strdup_printf (" nice %d\n", policy == SCHED_IDLE ? 19 : niceness);
      ck_assert_msg (g_str_has_suffix (group, end), "%s: %s", pid, group);
    }
  return n;
}

static void
check_all (int policy, int niceness, gboolean idle_disk)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc", 0, NULL);
  const char *pid;
  guint processes = 0, threads = 0;
  g_autofree char *job = submit_waiting ();
  while ((pid = g_dir_read_name (dir)))
    if (g_ascii_isdigit (*pid) && is_ours (pid))
      {
        processes++;
        threads += check_process (pid, policy, niceness, idle_disk);
      }
  ck_assert_uint_ge (processes, 3); /* a monitor, the worker, the stage */
  ck_assert_uint_gt (threads, processes);
  g_autoptr (GVariant) reply = bus_call (fixture->connection, job, JOB, "Cancel", NULL, NULL);
  ck_assert_ptr_nonnull (reply);
}

START_TEST (workers_are_nice)
{
  int own = getpriority (PRIO_PROCESS, 0);
  start ("[Worker]\nNice=10\n" UNTRUSTED);
  check_all (SCHED_OTHER, MAX (own, 10), FALSE);
  finish ();
}
END_TEST

START_TEST (workers_are_as_nice_as_told)
{
  int own = getpriority (PRIO_PROCESS, 0);
  start ("[Worker]\nNice=3\n" UNTRUSTED);
  check_all (SCHED_OTHER, MAX (own, 3), FALSE);
  finish ();
}
END_TEST

START_TEST (workers_are_idle)
{
  int own = getpriority (PRIO_PROCESS, 0);
  start ("[Worker]\nNice=0\nIdle=true\n" UNTRUSTED);
  check_all (SCHED_IDLE, own, TRUE);
  finish ();
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("class");
  TCase *workers = tcase_create ("workers");
  tcase_set_timeout (workers, 2 * PATIENCE);
  tcase_add_test (workers, workers_are_nice);
  tcase_add_test (workers, workers_are_as_nice_as_told);
  tcase_add_test (workers, workers_are_idle);
  suite_add_tcase (suite, workers);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
