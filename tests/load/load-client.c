/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One user among many, for test-load.c.
 *
 *   load-client ADDRESS UID CONNECTIONS JOBS
 *
 * It becomes UID (which takes root, unless it is that already) and opens CONNECTIONS connections to
 * the bus.  Then, at each line of its input, it does what the line says, and prints one line:
 *
 *   submit   JOBS jobs over all connections, some at a time: "COUNT P50 P99 MAX" of the time of
 * each call     two calls a connection that cost nothing, one after the other: the same list its
 * jobs: "COUNT"
 *
 * Times are milliseconds on the wall, of a call from before it is sent to its answer.  It ends with
 * its input.
 */
#include "config.h"

#include <errno.h>
#include <gio/gio.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SORAD "org.sorad.Sora1"
#define ROOT "/org/sorad/Sora1"
#define MANAGER SORAD ".Manager"
#define IN_FLIGHT 16
#define TIMEOUT_MS 300000

typedef struct
{
  GPtrArray *connections;
  GArray *times; /* of double, milliseconds */
  guint begun, wanted, in_flight;
} Client;

typedef struct
{
  Client *client;
  gint64 begun;
} Submission;

static void
fail (const char *what, const GError *error)
{
  g_printerr ("load-client: %s: %s\n", what, error->message);
  exit (EXIT_FAILURE);
}

static GDBusConnection *
connection_at (Client *client, guint i)
{
  return g_ptr_array_index (client->connections, i % client->connections->len);
}

static void
took (Client *client, gint64 since)
{
  const double ms = (double)(g_get_monotonic_time () - since) / 1000;
  g_array_append_val (client->times, ms);
}

static gint
by_value (gconstpointer a, gconstpointer b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double
percentile (const GArray *sorted, double share)
{
  const guint i = (guint)(share * (double)(sorted->len - 1) + 0.5);
  return g_array_index (sorted, double, i);
}

static void
tell_times (Client *client)
{
  g_array_sort (client->times, by_value);
  printf ("%u %.2f %.2f %.2f\n", client->times->len, percentile (client->times, 0.5),
          percentile (client->times, 0.99), percentile (client->times, 1));
  g_array_set_size (client->times, 0);
}

static void submit_more (Client *client);

static void
on_submitted (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autofree Submission *submission = data;
  Client *client = submission->client;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  if (!reply)
    fail ("Submit", error);
  took (client, submission->begun);
  client->in_flight--;
  submit_more (client);
}

static void
submit_more (Client *client)
{
  for (; client->in_flight < IN_FLIGHT && client->begun < client->wanted; client->begun++)
    {
      GVariantDict parameters;
      Submission *submission = g_new0 (Submission, 1);
      g_variant_dict_init (&parameters, NULL);
      g_variant_dict_insert (&parameters, "mode", "s", "done");
      submission->client = client;
      submission->begun = g_get_monotonic_time ();
      client->in_flight++;
      g_dbus_connection_call (
          connection_at (client, client->begun), SORAD, ROOT, MANAGER, "Submit",
          g_variant_new ("(s@a{sv}a{sv})", "fake", g_variant_dict_end (&parameters), NULL),
          G_VARIANT_TYPE ("(o)"), G_DBUS_CALL_FLAGS_NONE, TIMEOUT_MS, NULL, on_submitted,
          submission);
    }
}

static void
submit_all (Client *client)
{
  client->begun = 0;
  submit_more (client);
  while (client->in_flight > 0)
    g_main_context_iteration (NULL, TRUE);
  tell_times (client);
}

static void
call_all (Client *client)
{
  for (guint i = 0; i < 2 * client->connections->len; i++)
    {
      g_autoptr (GError) error = NULL;
      const gint64 begun = g_get_monotonic_time ();
      g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
          connection_at (client, i), SORAD, ROOT, "org.freedesktop.DBus.Properties", "Get",
          g_variant_new ("(ss)", MANAGER, "QueueLength"), G_VARIANT_TYPE ("(v)"),
          G_DBUS_CALL_FLAGS_NONE, TIMEOUT_MS, NULL, &error);
      if (!reply)
        fail ("Get", error);
      took (client, begun);
    }
  tell_times (client);
}

static void
list_jobs (Client *client)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
      connection_at (client, 0), SORAD, ROOT, MANAGER, "ListJobs", g_variant_new ("(a{sv})", NULL),
      G_VARIANT_TYPE ("(a(oa{sv}))"), G_DBUS_CALL_FLAGS_NONE, TIMEOUT_MS, NULL, &error);
  if (!reply)
    fail ("ListJobs", error);
  g_autoptr (GVariant) jobs = g_variant_get_child_value (reply, 0);
  printf ("%" G_GSIZE_FORMAT "\n", g_variant_n_children (jobs));
}

static void
connect_all (Client *client, const char *address, guint n)
{
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GError) error = NULL;
      GDBusConnection *connection = g_dbus_connection_new_for_address_sync (
          address,
          G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT
              | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
          NULL, NULL, &error);
      if (!connection)
        fail ("connection", error);
      g_ptr_array_add (client->connections, connection);
    }
}

int
main (int argc, char **argv)
{
  char line[64];
  if (argc != 5)
    {
      g_printerr ("usage: load-client ADDRESS UID CONNECTIONS JOBS\n");
      return 2;
    }
  const uid_t uid = (uid_t)g_ascii_strtoull (argv[2], NULL, 10);
  if (uid != getuid ()
      && (setgroups (0, NULL) != 0 || setresgid (uid, uid, uid) != 0
          || setresuid (uid, uid, uid) != 0))
    {
      g_printerr ("load-client: cannot become uid %s: %s\n", argv[2], g_strerror (errno));
      return 3;
    }
  Client client = { .connections = g_ptr_array_new_with_free_func (g_object_unref),
                    .times = g_array_new (FALSE, FALSE, sizeof (double)),
                    .wanted = (guint)g_ascii_strtoull (argv[4], NULL, 10) };
  connect_all (&client, argv[1], MAX (1, (guint)g_ascii_strtoull (argv[3], NULL, 10)));
  printf ("ready\n");
  fflush (stdout);
  while (fgets (line, sizeof line, stdin) != NULL)
    {
      if (g_str_has_prefix (line, "submit"))
        submit_all (&client);
      else if (g_str_has_prefix (line, "call"))
        call_all (&client);
      else
        list_jobs (&client);
      fflush (stdout);
    }
  g_ptr_array_unref (client.connections);
  g_array_unref (client.times);
  return EXIT_SUCCESS;
}
