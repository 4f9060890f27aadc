/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Who sees what: the permission table against the introspection data (R2), a stranger against other
 * users' jobs (R12), and what goes over the bus unasked (R8).
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus-fixture.h"
#include "dbus/sora-bus-error.h"
#include "dbus/sora-bus-generated.h"
#include "dbus/sorad-permission.h"

static BusFixture *fixture;
static GDBusConnection *bus;

static void
setup (void)
{
  fixture = bus_fixture_new (&(BusSetup){ .worker = FAKE_WORKER, .pipeline_dir = FAKE_PIPELINES });
  bus = fixture->connection;
}

static void
teardown (void)
{
  bus_fixture_free (fixture);
}

/* -- R2 */

static guint
assert_listed (const GDBusInterfaceInfo *info)
{
  SoradPermission permission;
  guint n = 0;
  for (GDBusMethodInfo **method = info->methods; method && *method; method++, n++)
    ck_assert_msg (sorad_permission_lookup (info->name, (*method)->name, &permission),
                   "%s.%s is not listed", info->name, (*method)->name);
  for (GDBusPropertyInfo **property = info->properties; property && *property; property++, n++)
    {
      ck_assert_msg (sorad_permission_lookup (info->name, (*property)->name, &permission),
                     "%s.%s is not listed", info->name, (*property)->name);
      ck_assert_msg ((*property)->flags == G_DBUS_PROPERTY_INFO_FLAGS_READABLE,
                     "%s.%s can be written", info->name, (*property)->name);
    }
  return n;
}

START_TEST (every_member_has_a_permission)
{
  SoradPermission permission;
  ck_assert_uint_eq (assert_listed (sora_bus_manager_interface_info ()), 10);
  ck_assert_uint_eq (assert_listed (sora_bus_job_interface_info ()), 38);
  ck_assert_uint_eq (assert_listed (sora_bus_plugin_interface_info ()), 7);
  ck_assert_uint_eq (assert_listed (sora_bus_pipeline_interface_info ()), 7);
  ck_assert_uint_eq (assert_listed (sora_bus_model_interface_info ()), 6);
  ck_assert (!sorad_permission_lookup ("org.sorad.Sora1.Job", "Explode", &permission));
  ck_assert (!sorad_permission_lookup ("org.sorad.Sora1.Nobody", "Id", &permission));
  ck_assert (!sorad_permission_lookup ("org.example.Job", "Id", &permission));
}
END_TEST

START_TEST (every_member_of_a_job_is_its_owners)
{
  GDBusInterfaceInfo *info = sora_bus_job_interface_info ();
  SoradPermission permission;
  for (GDBusMethodInfo **method = info->methods; *method; method++)
    {
      ck_assert (sorad_permission_lookup (info->name, (*method)->name, &permission));
      ck_assert_int_eq (permission, SORAD_PERMISSION_OWNER);
    }
  for (GDBusPropertyInfo **property = info->properties; *property; property++)
    {
      ck_assert (sorad_permission_lookup (info->name, (*property)->name, &permission));
      ck_assert_int_eq (permission, SORAD_PERMISSION_OWNER);
    }
}
END_TEST

/* What the running daemon shows, walked from its root: nothing of ours that is not in the table. */
static guint
walk (const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = bus_call (bus, path, "org.freedesktop.DBus.Introspectable", "Introspect", NULL, &error);
  ck_assert_msg (reply != NULL, "%s: %s", path, error ? error->message : "");
  const char *xml;
  guint n = 0;
  g_variant_get (reply, "(&s)", &xml);
  g_autoptr (GDBusNodeInfo) node = g_dbus_node_info_new_for_xml (xml, &error);
  ck_assert_ptr_nonnull (node);
  for (GDBusInterfaceInfo **info = node->interfaces; info && *info; info++)
    {
      static const char *const standard[]
          = { "org.freedesktop.DBus.Properties", "org.freedesktop.DBus.Introspectable",
              "org.freedesktop.DBus.Peer", "org.freedesktop.DBus.ObjectManager", NULL };
      if (g_strv_contains (standard, (*info)->name))
        continue;
      ck_assert_msg (g_str_has_prefix ((*info)->name, "org.sorad.Sora1."), "%s shows %s", path,
                     (*info)->name);
      n += assert_listed (*info);
    }
  for (GDBusNodeInfo **child = node->nodes; child && *child; child++)
    {
      g_autofree char *below
          = g_strdup_printf ("%s/%s", g_str_equal (path, "/") ? "" : path, (*child)->path);
      n += walk (below);
    }
  return n;
}

START_TEST (running_daemon_shows_listed_members_only)
{
  g_autofree char *job = bus_submit (bus, "done", NULL, NULL);
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "done");
  ck_assert_uint_eq (walk ("/"), 10 + 7); /* Manager and one Pipeline: jobs are not to be seen */
  ck_assert_uint_eq (walk (job), 38);
}
END_TEST

/* -- R8 */

static GDBusMessage *
count_signals (GDBusConnection *connection, GDBusMessage *message, gboolean incoming, gpointer data)
{
  const char *path = g_dbus_message_get_path (message);
  if (incoming && g_dbus_message_get_message_type (message) == G_DBUS_MESSAGE_TYPE_SIGNAL && path
      && g_str_has_prefix (path, "/org/sorad"))
    {
      g_autofree char *text = g_dbus_message_print (message, 0);
      GString *seen = data;
      g_string_append (seen, text);
    }
  return message;
}

static void
on_appended (GDBusConnection *connection, const char *sender, const char *path,
             const char *interface, const char *signal, GVariant *parameters, gpointer data)
{
  *(gboolean *)data = TRUE;
}

static gboolean
is_true (gpointer flag)
{
  return *(gboolean *)flag;
}

START_TEST (broadcasts_hold_nothing_private)
{
  GDBusConnection *listener = bus_fixture_connect (fixture);
  g_autoptr (GString) seen = g_string_new (NULL);
  gboolean heard = FALSE;
  /* Everything that sorad says to all. */
  guint id
      = g_dbus_connection_signal_subscribe (listener, SORA_BUS_NAME, NULL, NULL, NULL, NULL,
                                            G_DBUS_SIGNAL_FLAGS_NONE, on_appended, &heard, NULL);
  guint filter = g_dbus_connection_add_filter (listener, count_signals, seen, NULL);
  g_autofree char *first = bus_submit (bus, "wait", NULL, NULL);
  g_autoptr (GVariant) subscribed = bus_call (bus, first, JOB, "Subscribe", NULL, NULL);
  ck_assert_ptr_nonnull (subscribed);
  bus_wait_until (is_true, &heard, "the broadcast of the queue");
  g_autoptr (GVariant) cancelled = bus_call (bus, first, JOB, "Cancel", NULL, NULL);
  ck_assert_ptr_nonnull (cancelled);
  g_autoptr (GVariant) sync = bus_get (listener, MANAGER_PATH, MANAGER, "Version");
  g_dbus_connection_remove_filter (listener, filter);
  ck_assert_ptr_nonnull (strstr (seen->str, "Running"));
  ck_assert_ptr_null (strstr (seen->str, "jobs/"));
  ck_assert_ptr_null (strstr (seen->str, "Sora1.Job"));
  ck_assert_ptr_null (strstr (seen->str, "uid"));
  g_dbus_connection_signal_unsubscribe (listener, id);
  g_object_unref (listener);
}
END_TEST

/* -- R12: two uids */

static char *
stranger (const char *verb, const char *a, const char *b)
{
  g_autoptr (GError) error = NULL;
  char *out = NULL;
  g_autofree char *problem = NULL;
  const char *argv[] = { ABS_BUILDDIR "/tests/bus/stranger", fixture->address, verb, a, b, NULL };
  g_autoptr (GSubprocess) process = g_subprocess_newv (
      argv, G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE, &error);
  ck_assert_msg (process != NULL, "%s", error ? error->message : "");
  ck_assert (g_subprocess_communicate_utf8 (process, NULL, NULL, &out, &problem, NULL));
  ck_assert_msg (
      g_subprocess_get_if_exited (process) && g_subprocess_get_exit_status (process) == 0,
      "stranger %s: status %d\n%s", verb, g_subprocess_get_exit_status (process), problem);
  return g_strchomp (out);
}

static const char nobody[] = "/org/sorad/Sora1/jobs/0000000000";

START_TEST (stranger_is_told_that_there_is_no_job)
{
  g_autofree char *running = bus_submit (bus, "wait", NULL, NULL);
  bus_wait_property (bus, running, "Stage", "work");
  g_autofree char *queued = bus_submit (bus, "done", NULL, NULL);
  g_free (stranger ("probe", running, nobody));
  g_free (stranger ("probe", queued, nobody));
  g_autofree char *state = bus_get_string (bus, running, "State");
  ck_assert_str_eq (state, "running"); /* its Cancel did nothing */
  g_autofree char *count = stranger ("list", NULL, NULL);
  ck_assert_str_eq (count, "0");
  g_autoptr (GVariant) cancelled = bus_call (bus, running, JOB, "Cancel", NULL, NULL);
  ck_assert_ptr_nonnull (cancelled);
  g_autofree char *end = bus_wait (bus, queued);
  ck_assert_str_eq (end, "done");
  g_free (stranger ("probe", queued, nobody));
}
END_TEST

/* Even root, as a caller on the bus, is no more than the owner of its own jobs. */
START_TEST (stranger_has_jobs_of_its_own)
{
  g_autofree char *theirs = stranger ("submit", "wait", NULL);
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (bus_call (bus, theirs, JOB, "Cancel", NULL, &error));
  ck_assert (g_error_matches (error, SORA_ERROR, SORA_ERROR_NOT_FOUND));
  g_autofree char *count = stranger ("list", NULL, NULL);
  ck_assert_str_eq (count, "1");
}
END_TEST

static char *
pid_of_worker (void)
{
  g_autofree char *job = bus_submit (bus, "pid", NULL, NULL);
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "done");
  return bus_read_result (bus, job, NULL, NULL);
}

START_TEST (workers_are_warm_but_not_shared_between_users)
{
  g_autofree char *first = pid_of_worker ();
  g_autofree char *second = pid_of_worker ();
  ck_assert_str_eq (first, second);
  g_free (stranger ("submit", "done", NULL)); /* was there before our next one, so it runs before */
  g_autofree char *third = pid_of_worker ();
  ck_assert_str_ne (first, third);
}
END_TEST

START_TEST (paths_that_never_were_answer_alike)
{
  static const char *const paths[]
      = { nobody, "/org/sorad/Sora1/jobs/x", "/org/sorad/Sora1/jobs/0000000001" };
  for (gsize i = 0; i < G_N_ELEMENTS (paths); i++)
    {
      g_autoptr (GError) error = NULL;
      ck_assert_ptr_null (bus_call (bus, paths[i], PROPERTIES, "Get",
                                    g_variant_new ("(ss)", JOB, "State"), &error));
      ck_assert_msg (g_error_matches (error, SORA_ERROR, SORA_ERROR_NOT_FOUND), "%s",
                     error->message);
      ck_assert_ptr_nonnull (strstr (error->message, strrchr (paths[i], '/') + 1));
    }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("privacy");
  TCase *table = tcase_create ("table");
  tcase_add_test (table, every_member_has_a_permission);
  tcase_add_test (table, every_member_of_a_job_is_its_owners);
  suite_add_tcase (suite, table);
  TCase *live = tcase_create ("live");
  tcase_add_checked_fixture (live, setup, teardown);
  tcase_set_timeout (live, 120);
  tcase_add_test (live, running_daemon_shows_listed_members_only);
  tcase_add_test (live, broadcasts_hold_nothing_private);
  tcase_add_test (live, paths_that_never_were_answer_alike);
  if (geteuid () == 0)
    {
      tcase_add_test (live, stranger_is_told_that_there_is_no_job);
      tcase_add_test (live, stranger_has_jobs_of_its_own);
      tcase_add_test (live, workers_are_warm_but_not_shared_between_users);
    }
  else
    g_printerr ("not root: the tests that need a second uid were not run\n");
  suite_add_tcase (suite, live);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  if (!failed && geteuid () != 0)
    return 77; /* no success: what R12 promises was not tried */
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
