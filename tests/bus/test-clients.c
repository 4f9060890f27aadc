/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What clients of a private bus hear of jobs, with the fake worker, and what becomes of jobs when
 * clients go.
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>

#include "bus-fixture.h"

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

static GVariant *
option (const char *key, GVariant *value)
{
  GVariantDict dict;
  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert_value (&dict, key, value);
  return g_variant_dict_end (&dict);
}

/* -- Subscriptions */

typedef struct
{
  guint count;
  gboolean done;
  double progress;
} Seen;

static void
on_changed (GDBusConnection *connection, const char *sender, const char *path,
            const char *interface, const char *signal, GVariant *parameters, gpointer data)
{
  Seen *seen = data;
  g_autoptr (GVariant) changed = g_variant_get_child_value (parameters, 1);
  const char *state;
  seen->count++;
  g_variant_lookup (changed, "Progress", "d", &seen->progress);
  if (g_variant_lookup (changed, "State", "&s", &state) && g_str_equal (state, "done"))
    seen->done = TRUE;
}

static gboolean
is_done (gpointer data)
{
  return ((Seen *)data)->done;
}

START_TEST (changes_go_to_subscribers_alone)
{
  GDBusConnection *other = bus_fixture_connect (fixture);
  Seen mine = { 0 }, theirs = { 0 };
  g_autofree char *gate = bus_submit (bus, "wait", NULL, NULL);
  g_autofree char *job = bus_submit (bus, "done", NULL, NULL);
  guint a
      = g_dbus_connection_signal_subscribe (bus, NULL, PROPERTIES, "PropertiesChanged", job, NULL,
                                            G_DBUS_SIGNAL_FLAGS_NONE, on_changed, &mine, NULL);
  guint b
      = g_dbus_connection_signal_subscribe (other, NULL, PROPERTIES, "PropertiesChanged", job, NULL,
                                            G_DBUS_SIGNAL_FLAGS_NONE, on_changed, &theirs, NULL);
  g_autoptr (GVariant) subscribed = bus_call (bus, job, JOB, "Subscribe", NULL, NULL);
  ck_assert_ptr_nonnull (subscribed);
  g_autoptr (GVariant) opened = bus_call (bus, gate, JOB, "Cancel", NULL, NULL);
  ck_assert_ptr_nonnull (opened);
  bus_wait_until (is_done, &mine, "the change to done");
  ck_assert_double_eq (mine.progress, 1);
  /* Its own call comes after whatever was sent before: nothing was. */
  g_autofree char *state = bus_get_string (other, job, "State");
  ck_assert_str_eq (state, "done");
  while (g_main_context_iteration (NULL, FALSE))
    ;
  ck_assert_uint_gt (mine.count, 0);
  ck_assert_uint_eq (theirs.count, 0);
  g_dbus_connection_signal_unsubscribe (bus, a);
  g_dbus_connection_signal_unsubscribe (other, b);
  g_object_unref (other);
}
END_TEST

START_TEST (unsubscribed_hears_nothing)
{
  Seen mine = { 0 };
  g_autofree char *gate = bus_submit (bus, "wait", NULL, NULL);
  g_autofree char *job = bus_submit (bus, "done", NULL, NULL);
  guint a
      = g_dbus_connection_signal_subscribe (bus, NULL, PROPERTIES, "PropertiesChanged", job, NULL,
                                            G_DBUS_SIGNAL_FLAGS_NONE, on_changed, &mine, NULL);
  g_autoptr (GVariant) in = bus_call (bus, job, JOB, "Subscribe", NULL, NULL);
  g_autoptr (GVariant) out = bus_call (bus, job, JOB, "Unsubscribe", NULL, NULL);
  g_autoptr (GVariant) opened = bus_call (bus, gate, JOB, "Cancel", NULL, NULL);
  ck_assert (in && out && opened);
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "done");
  while (g_main_context_iteration (NULL, FALSE))
    ;
  ck_assert_uint_eq (mine.count, 0);
  g_dbus_connection_signal_unsubscribe (bus, a);
}
END_TEST

START_TEST (late_client_reads_the_state)
{
  g_autofree char *job = bus_submit (bus, "wait", NULL, NULL);
  bus_wait_property (bus, job, "Stage", "work");
  g_autofree char *state = bus_get_string (bus, job, "State");
  g_autoptr (GVariant) progress = bus_get (bus, job, JOB, "Progress");
  g_autoptr (GVariant) end = bus_get (bus, job, JOB, "ExpectedEnd");
  ck_assert_str_eq (state, "running");
  ck_assert_double_eq (g_variant_get_double (progress), 0.25);
  ck_assert_int_gt (g_variant_get_int64 (end), g_get_real_time () - 30 * G_USEC_PER_SEC);
  g_autoptr (GVariant) cancelled = bus_call (bus, job, JOB, "Cancel", NULL, NULL);
  ck_assert_ptr_nonnull (cancelled);
}
END_TEST

START_TEST (queue_is_public_without_owners)
{
  g_autofree char *one = bus_submit (bus, "wait", NULL, NULL);
  bus_wait_property (bus, one, "State", "running");
  g_autofree char *two = bus_submit (bus, "wait", NULL, NULL);
  g_autofree char *three = bus_submit (bus, "wait", NULL, NULL);
  g_autoptr (GVariant) length = bus_get (bus, MANAGER_PATH, MANAGER, "QueueLength");
  g_autoptr (GVariant) running = bus_get (bus, MANAGER_PATH, MANAGER, "Running");
  g_autoptr (GVariant) position = bus_get (bus, three, JOB, "QueuePosition");
  ck_assert_uint_eq (g_variant_get_uint32 (length), 2);
  ck_assert_uint_eq (g_variant_get_uint32 (running), 1);
  ck_assert_uint_eq (g_variant_get_uint32 (position), 2);
  const char *const jobs[] = { three, two, one };
  for (gsize i = 0; i < 3; i++)
    {
      g_autoptr (GVariant) cancelled = bus_call (bus, jobs[i], JOB, "Cancel", NULL, NULL);
      g_autofree char *state = bus_get_string (bus, jobs[i], "State");
      ck_assert_ptr_nonnull (cancelled);
      ck_assert_str_eq (state, "cancelled");
    }
}
END_TEST

/* -- Ephemeral jobs */

static gboolean
list_is_empty (gpointer unused)
{
  g_autoptr (GVariant) all
      = bus_call (bus, MANAGER_PATH, MANAGER, "ListJobs", g_variant_new ("(a{sv})", NULL), NULL);
  g_autoptr (GVariant) rows = g_variant_get_child_value (all, 0);
  g_main_context_wakeup (NULL);
  return g_variant_n_children (rows) == 0;
}

START_TEST (ephemeral_job_ends_with_its_client)
{
  GDBusConnection *other = bus_fixture_connect (fixture);
  g_autofree char *running
      = bus_submit (other, "wait", option ("ephemeral", g_variant_new_boolean (TRUE)), NULL);
  g_autofree char *queued
      = bus_submit (other, "wait", option ("ephemeral", g_variant_new_boolean (TRUE)), NULL);
  bus_wait_property (bus, running, "State", "running");
  ck_assert_ptr_nonnull (queued);
  ck_assert (!list_is_empty (NULL));
  g_dbus_connection_close_sync (other, NULL, NULL);
  g_object_unref (other);
  bus_wait_until (list_is_empty, NULL, "the end of the ephemeral jobs");
}
END_TEST

START_TEST (other_jobs_outlive_their_client)
{
  GDBusConnection *other = bus_fixture_connect (fixture);
  g_autofree char *job = bus_submit (other, "done", NULL, NULL);
  g_dbus_connection_close_sync (other, NULL, NULL);
  g_object_unref (other);
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "done");
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("clients");
  TCase *clients = tcase_create ("clients");
  tcase_add_checked_fixture (clients, setup, teardown);
  tcase_set_timeout (clients, 120);
  tcase_add_test (clients, changes_go_to_subscribers_alone);
  tcase_add_test (clients, unsubscribed_hears_nothing);
  tcase_add_test (clients, late_client_reads_the_state);
  tcase_add_test (clients, queue_is_public_without_owners);
  tcase_add_test (clients, ephemeral_job_ends_with_its_client);
  tcase_add_test (clients, other_jobs_outlive_their_client);
  suite_add_tcase (suite, clients);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
