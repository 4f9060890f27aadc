/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Starts and stops dbus-daemon and sorad for a test, and wraps the calls that all of them make.
 */
#include "config.h"
#include "bus-fixture.h"

#include <check.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dbus/sora-bus-error.h"

static const char bus_config[]
    = "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n"
      " \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
      "<busconfig>\n"
      "  <type>session</type>\n"
      "  <listen>unix:path=%s/bus</listen>\n"
      "  <auth>EXTERNAL</auth>\n"
      "  <policy context=\"default\">\n"
      "    <allow user=\"*\"/><allow own=\"*\"/>\n"
      "    <allow send_type=\"method_call\"/><allow send_type=\"signal\"/>\n"
      "    <allow send_requested_reply=\"true\" send_type=\"method_return\"/>\n"
      "    <allow send_requested_reply=\"true\" send_type=\"error\"/>\n"
      "    <allow receive_type=\"method_call\"/><allow receive_type=\"signal\"/>\n"
      "    <allow receive_type=\"method_return\"/><allow receive_type=\"error\"/>\n"
      "  </policy>\n"
      "  <limit name=\"max_replies_per_connection\">4096</limit>\n" /* sorad's own are tested */
      "</busconfig>\n";

/* A failed test ends without its teardown: what it started must end with it. */
static void
die_with_parent (gpointer unused)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

static GSubprocess *
spawn (const char *const *argv, const char *const *environment, GSubprocessFlags flags)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (flags);
  g_subprocess_launcher_set_child_setup (launcher, die_with_parent, NULL, NULL);
  for (; environment && *environment; environment++)
    {
      g_auto (GStrv) pair = g_strsplit (*environment, "=", 2);
      g_subprocess_launcher_setenv (launcher, pair[0], pair[1], TRUE);
    }
  GSubprocess *process = g_subprocess_launcher_spawnv (launcher, argv, &error);
  ck_assert_msg (process != NULL, "%s: %s", argv[0], error ? error->message : "");
  return process;
}

static gboolean
on_deadline (gpointer data)
{
  *(gboolean *)data = TRUE;
  return G_SOURCE_REMOVE;
}

void
bus_wait_until (gboolean (*done) (gpointer data), gpointer data, const char *what)
{
  gboolean late = FALSE;
  guint timer = g_timeout_add (BUS_DEADLINE_MS, on_deadline, &late);
  while (!late && !done (data))
    g_main_context_iteration (NULL, TRUE);
  ck_assert_msg (!late, "%s did not come within %d s", what, BUS_DEADLINE_MS / 1000);
  g_source_remove (timer);
}

void
bus_look_until (BusFixture *fixture, gboolean (*done) (gpointer data), gpointer data,
                const char *what)
{
  gint64 deadline = g_get_monotonic_time () + BUS_DEADLINE_MS * G_GINT64_CONSTANT (1000);
  while (!done (data))
    {
      g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
          fixture->connection, "org.freedesktop.DBus", "/", "org.freedesktop.DBus.Peer", "Ping",
          NULL, NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);
      ck_assert_msg (g_get_monotonic_time () < deadline, "%s did not come within %d s", what,
                     BUS_DEADLINE_MS / 1000);
    }
}

GDBusConnection *
bus_fixture_connect (BusFixture *fixture)
{
  g_autoptr (GError) error = NULL;
  GDBusConnection *connection = g_dbus_connection_new_for_address_sync (
      fixture->address,
      G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT
          | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
      NULL, NULL, &error);
  ck_assert_msg (connection != NULL, "%s", error ? error->message : "");
  return connection;
}

/* dbus-daemon prints its address when it listens. */
static char *
read_address (GSubprocess *bus)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDataInputStream) lines = g_data_input_stream_new (g_subprocess_get_stdout_pipe (bus));
  char *line = g_data_input_stream_read_line (lines, NULL, NULL, &error);
  ck_assert_msg (line != NULL, "dbus-daemon does not start: %s", error ? error->message : "");
  return line;
}

static void
on_appeared (GDBusConnection *connection, const char *name, const char *owner, gpointer data)
{
  *(gboolean *)data = TRUE;
}

static gboolean
is_true (gpointer data)
{
  return *(gboolean *)data;
}

/* The program behind the script that libtool puts before one that needs the build's libraries: a
 * start is four times as fast, and a signal hits no shell. */
static char *
program (const char *path)
{
  g_autofree char *dir = g_path_get_dirname (path);
  g_autofree char *name = g_path_get_basename (path);
  g_autofree char *behind = g_build_filename (dir, ".libs", name, NULL);
  return g_strdup (g_file_test (behind, G_FILE_TEST_IS_EXECUTABLE) ? behind : path);
}

void
bus_fixture_launch_sorad (BusFixture *fixture, const BusSetup *setup)
{
  g_autofree char *empty = g_build_filename (fixture->dir, "empty", NULL);
  g_autofree char *state = g_build_filename (fixture->dir, "state", NULL);
  g_autofree char *settings = g_build_filename (fixture->dir, "sorad.conf", NULL);
  g_autofree char *address = g_strconcat (
      setup->system ? "DBUS_SYSTEM_BUS_ADDRESS=" : "DBUS_SESSION_BUS_ADDRESS=", fixture->address,
      NULL);
  const char *path = g_getenv ("LD_LIBRARY_PATH");
  g_autofree char *libraries
      = g_strconcat ("LD_LIBRARY_PATH=" ABS_BUILDDIR "/core/.libs", path ? ":" : NULL, path, NULL);
  g_autofree char *sorad = program (ABS_BUILDDIR "/dbus/sorad");
  g_autofree char *worker
      = program (setup->worker ? setup->worker : ABS_BUILDDIR "/dbus/sora-worker");
  g_autoptr (GPtrArray) environment = g_ptr_array_new ();
  g_mkdir (empty, 0755);
  /* How busy the machine is must not matter.  What tests build is no third party's, but where a test says otherwise. */
  g_autofree char *text
      = g_strdup_printf ("[Limits]\nFreeBytes=0\n[Worker]\nNice=0\n%s\n[Worker]\n%s%s", setup->settings ? setup->settings : "",
                         setup->settings && strstr (setup->settings, "TrustedPluginFolders=")
                             ? "#"
                             : "TrustedPluginFolders=" ABS_BUILDDIR ";",
                         ABS_SRCDIR "\n");
  ck_assert (g_file_set_contents (settings, text, -1, NULL));
  g_free (fixture->mark);
  fixture->mark = g_strdup_printf (BUS_MARK "%s/%u", fixture->dir, ++fixture->starts);
  g_ptr_array_add (environment, address);
  g_ptr_array_add (environment, fixture->mark);
  g_ptr_array_add (environment, libraries);
  for (const char *const *e = setup->environment; e && *e; e++)
    g_ptr_array_add (environment, (gpointer)*e);
  g_ptr_array_add (environment, NULL);
  const char *argv[] = { sorad,
                         setup->system ? "--system" : "--session",
                         "--config",
                         settings,
                         "--state-dir",
                         state,
                         "--worker",
                         worker,
                         "--plugin-dir",
                         setup->plugin_dir ? setup->plugin_dir : empty,
                         "--pipeline-dir",
                         setup->pipeline_dir ? setup->pipeline_dir : empty,
                         "--model-dir",
                         setup->model_dir ? setup->model_dir : empty,
                         NULL };
  fixture->sorad = spawn (argv, (const char *const *)environment->pdata, G_SUBPROCESS_FLAGS_NONE);
}

void
bus_fixture_start_sorad (BusFixture *fixture, const BusSetup *setup)
{
  gboolean appeared = FALSE;
  bus_fixture_launch_sorad (fixture, setup);
  guint watch = g_bus_watch_name_on_connection (fixture->connection, SORA_BUS_NAME,
                                                G_BUS_NAME_WATCHER_FLAGS_NONE, on_appeared, NULL,
                                                &appeared, NULL);
  bus_wait_until (is_true, &appeared, "sorad's name on the bus");
  g_bus_unwatch_name (watch);
}

static gboolean
name_is_free (gpointer data)
{
  BusFixture *fixture = data;
  gboolean owned = TRUE;
  g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
      fixture->connection, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "NameHasOwner",
      g_variant_new ("(s)", SORA_BUS_NAME), NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);
  ck_assert_ptr_nonnull (reply);
  g_variant_get (reply, "(b)", &owned);
  return !owned;
}

void
bus_fixture_kill_sorad (BusFixture *fixture)
{
  g_subprocess_force_exit (fixture->sorad);
  ck_assert (g_subprocess_wait (fixture->sorad, NULL, NULL));
  g_clear_object (&fixture->sorad);
  while (!name_is_free (fixture)) /* each look is a round trip; the socket is closed already */
    ;
}

BusFixture *
bus_fixture_new (const BusSetup *setup)
{
  BusFixture *fixture = g_new0 (BusFixture, 1);
  sora_bus_error_register ();
  fixture->dir = g_dir_make_tmp ("sora-bus-XXXXXX", NULL);
  ck_assert_ptr_nonnull (fixture->dir);
  g_chmod (fixture->dir, 0755);
  g_autofree char *config = g_build_filename (fixture->dir, "bus.conf", NULL);
  g_autofree char *text = g_strdup_printf (bus_config, fixture->dir);
  g_autofree char *option = g_strconcat ("--config-file=", config, NULL);
  ck_assert (g_file_set_contents (config, text, -1, NULL));
  const char *argv[] = { "dbus-daemon",       option, "--nofork", "--nopidfile", "--nosyslog",
                         "--print-address=1", NULL };
  fixture->bus = spawn (argv, NULL, G_SUBPROCESS_FLAGS_STDOUT_PIPE);
  fixture->address = read_address (fixture->bus);
  fixture->connection = bus_fixture_connect (fixture);
  bus_fixture_start_sorad (fixture, setup);
  return fixture;
}

void
bus_remove_tree (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;
  while (dir && (name = g_dir_read_name (dir)))
    {
      g_autofree char *child = g_build_filename (path, name, NULL);
      if (g_file_test (child, G_FILE_TEST_IS_DIR) && !g_file_test (child, G_FILE_TEST_IS_SYMLINK))
        bus_remove_tree (child);
      else
        g_unlink (child);
    }
  g_rmdir (path);
}

void
bus_fixture_free (BusFixture *fixture)
{
  /* A clean end: under sanitizers the daemon's leaks are found here. */
  g_subprocess_send_signal (fixture->sorad, SIGTERM);
  ck_assert (g_subprocess_wait (fixture->sorad, NULL, NULL));
  ck_assert_msg (g_subprocess_get_if_exited (fixture->sorad)
                     && g_subprocess_get_exit_status (fixture->sorad) == 0,
                 "sorad did not end well: status %x", g_subprocess_get_status (fixture->sorad));
  g_dbus_connection_close_sync (fixture->connection, NULL, NULL);
  g_object_unref (fixture->connection);
  g_subprocess_send_signal (fixture->bus, SIGTERM);
  g_subprocess_wait (fixture->bus, NULL, NULL);
  g_object_unref (fixture->sorad);
  g_object_unref (fixture->bus);
  bus_remove_tree (fixture->dir);
  g_free (fixture->dir);
  g_free (fixture->address);
  g_free (fixture->mark);
  g_free (fixture);
}

/* -- Calls */

GVariant *
bus_call (GDBusConnection *connection, const char *path, const char *interface, const char *method,
          GVariant *arguments, GError **error)
{
  GVariant *reply
      = g_dbus_connection_call_sync (connection, SORA_BUS_NAME, path, interface, method, arguments,
                                     NULL, G_DBUS_CALL_FLAGS_NONE, BUS_DEADLINE_MS, NULL, error);
  if (error && *error)
    g_dbus_error_strip_remote_error (*error);
  return reply;
}

char *
bus_submit (GDBusConnection *connection, const char *mode, GVariant *options, GError **error)
{
  GVariantDict parameters;
  g_variant_dict_init (&parameters, NULL);
  g_variant_dict_insert (&parameters, "mode", "s", mode);
  g_autoptr (GVariant) reply
      = bus_call (connection, MANAGER_PATH, MANAGER, "Submit",
                  g_variant_new ("(s@a{sv}@a{sv})", "fake", g_variant_dict_end (&parameters),
                                 options ? options : g_variant_new ("a{sv}", NULL)),
                  error);
  if (!reply)
    {
      ck_assert_msg (error != NULL, "Submit failed");
      return NULL;
    }
  char *job;
  g_variant_get (reply, "(o)", &job);
  return job;
}

char *
bus_wait (GDBusConnection *connection, const char *job)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = bus_call (connection, job, JOB, "Wait", NULL, &error);
  ck_assert_msg (reply != NULL, "Wait: %s", error ? error->message : "");
  char *state;
  g_variant_get (reply, "(s)", &state);
  return state;
}

GVariant *
bus_get (GDBusConnection *connection, const char *path, const char *interface, const char *property)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = bus_call (connection, path, PROPERTIES, "Get",
                                         g_variant_new ("(ss)", interface, property), &error);
  ck_assert_msg (reply != NULL, "Get %s: %s", property, error ? error->message : "");
  GVariant *value;
  g_variant_get (reply, "(v)", &value);
  return value;
}

char *
bus_get_string (GDBusConnection *connection, const char *job, const char *property)
{
  g_autoptr (GVariant) value = bus_get (connection, job, JOB, property);
  return g_variant_dup_string (value, NULL);
}

void
bus_wait_property (GDBusConnection *connection, const char *job, const char *property,
                   const char *value)
{
  gint64 deadline = g_get_monotonic_time () + BUS_DEADLINE_MS * 1000;
  for (;;)
    {
      g_autofree char *now = bus_get_string (connection, job, property);
      if (g_str_equal (now, value))
        return;
      ck_assert_msg (g_get_monotonic_time () < deadline, "%s is '%s', expected '%s'", property, now,
                     value);
    }
}

int
bus_open (GDBusConnection *connection, const char *job, const char *method, GVariant *arguments,
          GVariant **reply, GError **error)
{
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GVariant) answer = g_dbus_connection_call_with_unix_fd_list_sync (
      connection, SORA_BUS_NAME, job, JOB, method, arguments, NULL, G_DBUS_CALL_FLAGS_NONE,
      BUS_DEADLINE_MS, NULL, &fds, NULL, error);
  if (!answer)
    {
      g_dbus_error_strip_remote_error (*error);
      return -1;
    }
  ck_assert_int_eq (g_unix_fd_list_get_length (fds), 1);
  int fd = g_unix_fd_list_get (fds, 0, NULL);
  if (reply)
    *reply = g_steal_pointer (&answer);
  return fd;
}

char *
bus_read_result (GDBusConnection *connection, const char *job, const char *name, gsize *size)
{
  g_autoptr (GError) error = NULL;
  GVariantDict options;
  g_variant_dict_init (&options, NULL);
  if (name)
    g_variant_dict_insert (&options, "name", "s", name);
  int fd = bus_open (connection, job, "OpenResult",
                     g_variant_new ("(@a{sv})", g_variant_dict_end (&options)), NULL, &error);
  ck_assert_msg (fd >= 0, "OpenResult: %s", error ? error->message : "");
  struct stat st;
  ck_assert_int_eq (fstat (fd, &st), 0);
  char *text = g_malloc0 ((gsize)st.st_size + 1);
  for (gsize done = 0; done < (gsize)st.st_size;)
    {
      ssize_t n = read (fd, text + done, (gsize)st.st_size - done);
      ck_assert_int_gt (n, 0);
      done += (gsize)n;
    }
  close (fd);
  if (size)
    *size = (gsize)st.st_size;
  return text;
}

void
bus_assert_goes_on (BusFixture *fixture)
{
  GDBusConnection *bus = fixture->connection;
  g_autoptr (GVariant) owner = g_dbus_connection_call_sync (
      bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "GetConnectionUnixProcessID",
      g_variant_new ("(s)", SORA_BUS_NAME), NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);
  guint32 pid;
  ck_assert_ptr_nonnull (owner);
  g_variant_get (owner, "(u)", &pid);
  g_autofree char *identifier = g_strdup_printf ("%u", pid);
  ck_assert_str_eq (g_subprocess_get_identifier (fixture->sorad), identifier);
  g_autofree char *job = bus_submit (bus, "done", NULL, NULL);
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "done");
}

void
bus_assert_fails (BusFixture *fixture, const char *mode, const char *error_name, const char *part)
{
  GDBusConnection *bus = fixture->connection;
  g_autofree char *job = bus_submit (bus, mode, NULL, NULL);
  g_autofree char *state = bus_wait (bus, job);
  g_autofree char *name = bus_get_string (bus, job, "ErrorName");
  g_autofree char *text = bus_get_string (bus, job, "Error");
  ck_assert_msg (g_str_equal (state, "failed"), "%s: %s", mode, state);
  ck_assert_msg (g_str_has_suffix (name, error_name), "%s: %s: %s", mode, name, text);
  ck_assert_msg (strstr (text, part) != NULL, "%s: '%s' lacks '%s'", mode, text, part);
  bus_assert_goes_on (fixture);
}
