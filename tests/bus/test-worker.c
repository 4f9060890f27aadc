/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The real sora-worker behind sorad: requests go through a plan and a runner to a plugin and back.
 */
#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "bus-fixture.h"
#include "dbus/sora-bus-error.h"

static char *plugins;
static BusFixture *fixture;
static GDBusConnection *bus;

/* A module and its manifest side by side, as `make install` lays them. */
static void
lay (const char *name)
{
  g_autofree char *from_module
      = g_strconcat (ABS_BUILDDIR "/tests/bus/rogue/.libs/", name, ".so", NULL);
  g_autofree char *from_manifest
      = g_strconcat (ABS_SRCDIR "/tests/bus/rogue/", name, ".plugin", NULL);
  g_autofree char *module = g_strconcat (plugins, "/", name, ".so", NULL);
  g_autofree char *manifest = g_strconcat (plugins, "/", name, ".plugin", NULL);
  ck_assert_int_eq (symlink (from_module, module), 0);
  ck_assert_int_eq (symlink (from_manifest, manifest), 0);
}

static void
setup (void)
{
  plugins = g_dir_make_tmp ("sora-plugins-XXXXXX", NULL);
  lay ("rogue");
  fixture = bus_fixture_new (&(BusSetup){ .plugin_dir = plugins,
                                          .pipeline_dir = ABS_SRCDIR "/tests/bus/pipelines",
                                          .settings = "[Worker]\nSandbox=full\n" });
  bus = fixture->connection;
}

static void
teardown (void)
{
  bus_fixture_free (fixture);
  bus_remove_tree (plugins);
  g_free (plugins);
}

static GVariant *
arguments (const char *mode, const char *text, gint64 size)
{
  GVariantDict dict;
  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "mode", "s", mode);
  if (text)
    g_variant_dict_insert (&dict, "text", "s", text);
  if (size)
    g_variant_dict_insert (&dict, "size", "x", size);
  return g_variant_new ("(s@a{sv}a{sv})", "rogue", g_variant_dict_end (&dict), NULL);
}

static char *
submit (const char *mode, const char *text, gint64 size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = bus_call (bus, MANAGER_PATH, MANAGER, "Submit", arguments (mode, text, size), &error);
  char *job;
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  g_variant_get (reply, "(o)", &job);
  return job;
}

static void
assert_ends (const char *job, const char *state, const char *part)
{
  g_autofree char *end = bus_wait (bus, job);
  g_autofree char *text = bus_get_string (bus, job, "Error");
  ck_assert_msg (g_str_equal (end, state), "%s: %s", end, text);
  ck_assert_msg (strstr (text, part) != NULL, "'%s' lacks '%s'", text, part);
}

static char *
bytes_text (guint64 bytes)
{
  return g_strdup_printf ("%" G_GUINT64_FORMAT, bytes);
}

static void
restart (const char *settings)
{
  bus_fixture_free (fixture);
  fixture = bus_fixture_new (&(BusSetup){ .plugin_dir = plugins,
                                          .pipeline_dir = ABS_SRCDIR "/tests/bus/pipelines",
                                          .settings = settings });
  bus = fixture->connection;
}

/* Check says what Submit is refused for; nothing runs. */
static void
assert_no_room (const char *mode, guint64 bytes, const char *part)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = bytes_text (bytes);
  g_autoptr (GVariant) reply
      = bus_call (bus, MANAGER_PATH, MANAGER, "Check", arguments (mode, text, 0), &error);
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  g_autoptr (GVariant) summary = g_variant_get_child_value (reply, 1);
  g_autofree const char **warnings = NULL;
  ck_assert (g_variant_lookup (summary, "warnings", "^a&s", &warnings));
  ck_assert_ptr_nonnull (warnings[0]);
  ck_assert_msg (strstr (warnings[0], part) != NULL, "'%s' lacks '%s'", warnings[0], part);
  g_autofree char *job = submit (mode, text, 0);
  assert_ends (job, "failed", part);
  g_autofree char *name = bus_get_string (bus, job, "ErrorName");
  ck_assert_msg (g_str_has_suffix (name, ".NoSpace"), "%s", name);
}

START_TEST (what_cannot_fit_on_the_disk_is_refused)
{
  const guint64 huge = G_GUINT64_CONSTANT (1) << 60;
  assert_no_room ("hungry", huge, "need 1048576.0 TiB of disk for its work and results");
  assert_no_room ("hungry", huge, " at most beside the 0 bytes that stay free (FreeBytes): ask for");
  assert_no_room ("prolific", huge, "results are foreseen to take 1048576.0 TiB, and its user may store");
  assert_no_room ("prolific", huge, " 10.0 GiB: ask for less (see StoredBytes)");
  g_autofree char *job = submit ("hungry", "4096", 0);
  assert_ends (job, "done", "");
}
END_TEST

/* One that is as large as half of what is to stay free too much for it. */
START_TEST (what_does_not_fit_now_is_refused)
{
  struct statvfs disk;
  ck_assert_int_eq (statvfs (fixture->dir, &disk), 0);
  guint64 left = (guint64)disk.f_bavail * disk.f_frsize;
  guint64 used = (guint64)disk.f_blocks * disk.f_frsize - left;
  guint64 keep = MIN (used, G_GUINT64_CONSTANT (1) << 30);
  if (keep < 64 << 20 || left < keep)
    return; /* others could change as much meanwhile */
  g_autofree char *settings
      = g_strdup_printf ("[Limits]\nFreeBytes=%" G_GUINT64_FORMAT "\n", keep);
  restart (settings);
  assert_no_room ("hungry", left - keep / 2, " left now beside the ");
  assert_no_room ("hungry", left - keep / 2, "(FreeBytes): delete results, or make room");
}
END_TEST

START_TEST (job_runs_through_the_graph)
{
  g_autofree char *job = submit ("write", "a red ball", 0);
  assert_ends (job, "done", "");
  g_autofree char *text = bus_read_result (bus, job, NULL, NULL);
  ck_assert_str_eq (text, "a red ball");
  g_autoptr (GVariant) result = bus_call (bus, job, JOB, "GetResult", NULL, NULL);
  g_autoptr (GVariant) details = g_variant_get_child_value (result, 1);
  g_autoptr (GVariant) stages
      = g_variant_lookup_value (details, "stages", G_VARIANT_TYPE ("aa{sv}"));
  ck_assert_uint_eq (g_variant_n_children (stages), 1);
  g_autoptr (GVariant) stage = g_variant_get_child_value (stages, 0);
  const char *id, *version;
  double seconds;
  guint64 resident, most;
  ck_assert (g_variant_lookup (stage, "peak-resident", "t", &resident)
             && g_variant_lookup (details, "peak-resident", "t", &most));
  ck_assert_uint_gt (resident, 1 << 20);
  ck_assert_uint_ge (most, resident);
  ck_assert (g_variant_lookup (stage, "stage", "&s", &id)
             && g_variant_lookup (stage, "seconds", "d", &seconds));
  ck_assert_str_eq (id, "act");
  ck_assert (seconds >= 0 && seconds < 10);
  ck_assert (g_variant_lookup (details, "version", "&s", &version));
  ck_assert_str_eq (version, PACKAGE_VERSION);
}
END_TEST

START_TEST (stage_is_told_the_job)
{
  g_autofree char *job = submit ("job", NULL, 0);
  assert_ends (job, "done", "");
  g_autofree char *text = bus_read_result (bus, job, NULL, NULL);
  ck_assert_str_eq (text, strrchr (job, '/') + 1);
}
END_TEST

START_TEST (worker_tells_its_confinement)
{
  g_autofree char *job = submit ("wait", NULL, 0);
  bus_wait_property (bus, job, "Stage", "act");
  g_autofree char *level = bus_get_string (bus, job, "SandboxLevel");
  ck_assert_str_eq (level, "full");
  g_autoptr (GVariant) cancelled = bus_call (bus, job, JOB, "Cancel", NULL, NULL);
  ck_assert_ptr_nonnull (cancelled);
}
END_TEST

START_TEST (name_names_the_file)
{
  g_autoptr (GVariant) reply
      = bus_call (bus, MANAGER_PATH, MANAGER, "Submit",
                  g_variant_new ("(s@a{sv}@a{sv})", "rogue", g_variant_new_parsed ("@a{sv} {}"),
                                 g_variant_new_parsed ("{'name': <'ball'>}")),
                  NULL);
  const char *job;
  g_variant_get (reply, "(&o)", &job);
  assert_ends (job, "done", "");
  g_autofree char *text = bus_read_result (bus, job, "ball.txt", NULL);
  ck_assert_str_eq (text, "nothing");
}
END_TEST

START_TEST (input_file_reaches_the_stage)
{
  g_autoptr (GUnixFDList) fds = g_unix_fd_list_new ();
  g_autoptr (GError) error = NULL;
  GVariantDict dict;
  int fd = memfd_create ("input", MFD_CLOEXEC);
  ck_assert_int_eq (write (fd, "out of a file", 13), 13);
  g_unix_fd_list_append (fds, fd, NULL);
  close (fd);
  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert_value (&dict, "file", g_variant_new_handle (0));
  g_autoptr (GVariant) reply = g_dbus_connection_call_with_unix_fd_list_sync (
      bus, SORA_BUS_NAME, MANAGER_PATH, MANAGER, "Submit",
      g_variant_new ("(s@a{sv}a{sv})", "rogue", g_variant_dict_end (&dict), NULL), NULL,
      G_DBUS_CALL_FLAGS_NONE, BUS_DEADLINE_MS, fds, NULL, NULL, &error);
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  const char *job;
  g_variant_get (reply, "(&o)", &job);
  assert_ends (job, "done", "");
  g_autofree char *text = bus_read_result (bus, job, NULL, NULL);
  ck_assert_str_eq (text, "out of a file");
}
END_TEST

START_TEST (value_out_of_range_fails_with_the_range)
{
  g_autofree char *job = submit ("write", NULL, 5000);
  assert_ends (job, "failed", "4096");
  g_autofree char *name = bus_get_string (bus, job, "ErrorName");
  ck_assert_str_eq (name, "org.sorad.Sora1.Error.InvalidRequest");
}
END_TEST

START_TEST (warning_reaches_the_job_once)
{
  g_autofree char *job = submit ("write", NULL, 32);
  assert_ends (job, "done", "");
  g_autoptr (GVariant) warnings = bus_get (bus, job, JOB, "Warnings");
  g_autofree const char **texts = g_variant_get_strv (warnings, NULL);
  ck_assert_uint_eq (g_strv_length ((char **)texts), 1);
  ck_assert_msg (strstr (texts[0], "32 is a strange size") != NULL, "%s", texts[0]);
  ck_assert_msg (strstr (texts[0], "act") != NULL, "%s", texts[0]);
}
END_TEST

START_TEST (crash_ends_one_job)
{
  static const struct
  {
    const char *mode, *part;
  } cases[] = { { "crash", "stage 'act': the worker process was killed by signal 11" },
                { "leave", "stage 'act': the worker process ended with status 7" },
                { "infer-crash", "stage 'act': the worker process was killed by signal 11" } };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *job = submit (cases[i].mode, NULL, 0);
      assert_ends (job, "failed", cases[i].part);
      g_autofree char *next = submit ("write", NULL, 0);
      assert_ends (next, "done", "");
    }
}
END_TEST

START_TEST (cancel_works_either_way)
{
  static const char *const stubborn[] = { "wait", "ignore" };
  for (gsize i = 0; i < G_N_ELEMENTS (stubborn); i++)
    {
      g_autofree char *job = submit (stubborn[i], NULL, 0);
      bus_wait_property (bus, job, "Stage", "act");
      gint64 begun = g_get_monotonic_time ();
      g_autoptr (GVariant) reply = bus_call (bus, job, JOB, "Cancel", NULL, NULL);
      gint64 took = g_get_monotonic_time () - begun;
      ck_assert_ptr_nonnull (reply);
      assert_ends (job, "cancelled", "cancelled");
      ck_assert_msg (took < (i == 0 ? 1 : 3) * G_USEC_PER_SEC, "%s: %" G_GINT64_FORMAT " us",
                     stubborn[i], took);
    }
}
END_TEST

START_TEST (preview_comes_from_the_stage)
{
  g_autofree char *job = submit ("preview", NULL, 0);
  g_autoptr (GVariant) reply = NULL;
  gint64 deadline = g_get_monotonic_time () + BUS_DEADLINE_MS * 1000;
  int fd = -1;
  while (fd < 0)
    {
      g_autoptr (GError) error = NULL;
      fd = bus_open (bus, job, "OpenPreview", NULL, &reply, &error);
      ck_assert (fd >= 0 || g_error_matches (error, SORA_ERROR, SORA_ERROR_NOT_READY));
      ck_assert_int_lt (g_get_monotonic_time (), deadline);
    }
  guint width, height;
  g_variant_get (reply, "(huu)", NULL, &width, &height);
  ck_assert_uint_eq (width, 4);
  ck_assert_uint_eq (height, 2);
  guint8 pixels[24];
  ck_assert_int_eq (pread (fd, pixels, sizeof pixels, 0), 24);
  ck_assert_uint_eq (pixels[0], 0x5a);
  close (fd);
  g_autoptr (GVariant) cancelled = bus_call (bus, job, JOB, "Cancel", NULL, NULL);
  ck_assert_ptr_nonnull (cancelled);
}
END_TEST

/* Refused before it begins; told by Check, with what there is. */
START_TEST (what_cannot_fit_is_refused)
{
  static const char says[] = "the job needs 1048576.0 TiB of memory, and may use ";
  g_autoptr (GError) error = NULL;
  g_autofree char *job = submit ("greedy", NULL, 0);
  assert_ends (job, "failed", says);
  g_autofree char *name = bus_get_string (bus, job, "ErrorName");
  ck_assert_str_eq (name, "org.sorad.Sora1.Error.NoMemory");
  g_autofree char *stage = bus_get_string (bus, job, "Stage");
  ck_assert_str_eq (stage, "");

  g_autoptr (GVariant) reply
      = bus_call (bus, MANAGER_PATH, MANAGER, "Check", arguments ("greedy", NULL, 0), &error);
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  g_autoptr (GVariant) summary = g_variant_get_child_value (reply, 1);
  guint64 limit, peak;
  g_autofree const char **warnings = NULL;
  ck_assert (g_variant_lookup (summary, "memory-limit", "t", &limit)
             && g_variant_lookup (summary, "peak-bytes", "t", &peak)
             && g_variant_lookup (summary, "warnings", "^a&s", &warnings));
  ck_assert_uint_gt (limit, 0);
  ck_assert_uint_lt (limit, peak);
  ck_assert (g_str_has_prefix (warnings[0], says));
}
END_TEST

START_TEST (check_gives_the_plan)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = bus_call (bus, MANAGER_PATH, MANAGER, "Check", arguments ("write", NULL, 32), &error);
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  g_autoptr (GVariant) rows = g_variant_get_child_value (reply, 0);
  g_autoptr (GVariant) summary = g_variant_get_child_value (reply, 1);
  g_autoptr (GVariant) row = g_variant_get_child_value (rows, 0);
  const char *plugin;
  guint64 work, peak;
  guint steps;
  ck_assert_uint_eq (g_variant_n_children (rows), 1);
  ck_assert (g_variant_lookup (row, "plugin", "&s", &plugin)
             && g_variant_lookup (row, "work-bytes", "t", &work));
  ck_assert (g_variant_lookup (row, "steps", "u", &steps)
             && g_variant_lookup (summary, "peak-bytes", "t", &peak));
  ck_assert_str_eq (plugin, "rogue");
  ck_assert_uint_eq (work, 1000);
  ck_assert_uint_eq (steps, 2);
  ck_assert_uint_ge (peak, 1000);
  ck_assert_ptr_null (
      bus_call (bus, MANAGER_PATH, MANAGER, "Check", arguments ("write", NULL, 5000), &error));
  ck_assert_msg (g_error_matches (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST), "%s",
                 error->message);
  g_clear_error (&error);
  ck_assert_ptr_null (
      bus_call (bus, MANAGER_PATH, MANAGER, "Check", arguments ("infer-crash", NULL, 0), &error));
  ck_assert_msg (g_error_matches (error, SORA_ERROR, SORA_ERROR_WORKER_DIED), "%s", error->message);
  ck_assert_msg (strstr (error->message, "stage 'act': the worker process was killed by signal 11")
                     != NULL,
                 "%s", error->message);
}
END_TEST

static GVariant *
find_row (GVariant *rows, const char *key, const char *value)
{
  for (gsize i = 0; i < g_variant_n_children (rows); i++)
    {
      GVariant *row = g_variant_get_child_value (rows, i);
      const char *text;
      if (g_variant_lookup (row, key, "&s", &text) && g_str_equal (text, value))
        return row;
      g_variant_unref (row);
    }
  return NULL;
}

START_TEST (pipeline_tells_its_parameters)
{
  g_autoptr (GVariant) rows
      = bus_get (bus, MANAGER_PATH "/pipelines/rogue", "org.sorad.Sora1.Pipeline", "Parameters");
  g_autoptr (GVariant) size = find_row (rows, "name", "size");
  g_autoptr (GVariant) mode = find_row (rows, "name", "mode");
  g_autoptr (GVariant) text = find_row (rows, "name", "text");
  g_autoptr (GVariant) file = find_row (rows, "name", "file");
  ck_assert (size && mode && text && file);
  const char *type, *signature, *unit;
  gint64 minimum, maximum, multiple, value;
  gboolean secret, required;
  ck_assert (g_variant_lookup (size, "type", "&s", &type)
             && g_variant_lookup (size, "signature", "&s", &signature));
  ck_assert (g_variant_lookup (size, "minimum", "x", &minimum)
             && g_variant_lookup (size, "maximum", "x", &maximum));
  ck_assert (g_variant_lookup (size, "multiple", "x", &multiple)
             && g_variant_lookup (size, "default", "x", &value));
  ck_assert (g_variant_lookup (size, "unit", "&s", &unit)
             && g_variant_lookup (size, "required", "b", &required));
  ck_assert_str_eq (type, "integer");
  ck_assert_str_eq (signature, "x");
  ck_assert_str_eq (unit, "px");
  ck_assert_int_eq (minimum, 16);
  ck_assert_int_eq (maximum, 4096);
  ck_assert_int_eq (multiple, 16);
  ck_assert_int_eq (value, 64);
  ck_assert (!required);
  g_autofree const char **choices = NULL;
  ck_assert (g_variant_lookup (mode, "choices", "^a&s", &choices));
  ck_assert_str_eq (choices[0], "write");
  ck_assert (g_variant_lookup (text, "secret", "b", &secret) && secret);
  ck_assert (g_variant_lookup (file, "signature", "&s", &signature));
  ck_assert_str_eq (signature, "h");
}
END_TEST

START_TEST (plugin_is_described)
{
  const char *path = MANAGER_PATH "/plugins/rogue";
  g_autoptr (GVariant) problem = bus_get (bus, path, "org.sorad.Sora1.Plugin", "Problem");
  g_autoptr (GVariant) version = bus_get (bus, path, "org.sorad.Sora1.Plugin", "Version");
  g_autoptr (GVariant) stages = bus_get (bus, path, "org.sorad.Sora1.Plugin", "Stages");
  ck_assert_str_eq (g_variant_get_string (problem, NULL), "");
  ck_assert_str_eq (g_variant_get_string (version, NULL), "1.0.0");
  g_autoptr (GVariant) stage = find_row (stages, "id", "rogue");
  ck_assert_ptr_nonnull (stage);
  g_autoptr (GVariant) outputs
      = g_variant_lookup_value (stage, "outputs", G_VARIANT_TYPE ("aa{sv}"));
  g_autoptr (GVariant) output = find_row (outputs, "semantic", "sora.file/1");
  ck_assert_ptr_nonnull (output);
}
END_TEST

/* sorad has no plugin in its own process. */
START_TEST (daemon_maps_no_plugin)
{
  g_autofree char *job = submit ("write", NULL, 0);
  assert_ends (job, "done", "");
  g_autofree char *path
      = g_strdup_printf ("/proc/%s/maps", g_subprocess_get_identifier (fixture->sorad));
  g_autofree char *maps = NULL;
  ck_assert (g_file_get_contents (path, &maps, NULL, NULL));
  ck_assert_ptr_nonnull (strstr (maps, "libsora-core"));
  ck_assert_ptr_null (strstr (maps, "rogue.so"));
}
END_TEST

static gboolean
is_empty (gpointer folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  g_main_context_wakeup (NULL);
  return dir && !g_dir_read_name (dir);
}

START_TEST (worker_leaves_nothing_behind)
{
  g_autofree char *job = submit ("write", NULL, 0);
  assert_ends (job, "done", "");
  g_autofree char *crashed = submit ("crash", NULL, 0);
  assert_ends (crashed, "failed", "signal 11");
  g_autofree char *staging = g_build_filename (fixture->dir, "state", "staging", NULL);
  g_autoptr (GDir) dir = g_dir_open (staging, 0, NULL);
  ck_assert_ptr_nonnull (dir);
  ck_assert_ptr_null (g_dir_read_name (dir));
  /* The folder of the worker that crashed, and with it of the one that described, is removed in a
   * thread. */
  g_autofree char *work = g_build_filename (fixture->dir, "state", "work", NULL);
  bus_wait_until (is_empty, work, "the removal of the worker's folder");
}
END_TEST

/* -- Plugins that cannot be used */

static void
assert_problem (const char *name, const char *part)
{
  g_autofree char *path = g_strconcat (MANAGER_PATH "/plugins/", name, NULL);
  g_autoptr (GVariant) problem = bus_get (bus, path, "org.sorad.Sora1.Plugin", "Problem");
  const char *text = g_variant_get_string (problem, NULL);
  ck_assert_msg (strstr (text, part) != NULL, "%s: '%s' lacks '%s'", name, text, part);
}

START_TEST (plugins_that_cannot_be_used_say_why)
{
  plugins = g_dir_make_tmp ("sora-plugins-XXXXXX", NULL);
  lay ("refusing");
  lay ("rogue");
  lay ("verbose");
  fixture = bus_fixture_new (&(BusSetup){ .plugin_dir = plugins,
                                          .pipeline_dir = ABS_SRCDIR "/tests/bus/pipelines",
                                          .settings = "[Worker]\nSandbox=full\n" });
  bus = fixture->connection;
  assert_problem ("refusing", "cannot run on this machine: the machine has no seventh core");
  assert_problem ("verbose", "is too large, at most 4194304 can be sent");
  g_autoptr (GVariant) none
      = bus_get (bus, MANAGER_PATH "/plugins/rogue", "org.sorad.Sora1.Plugin", "Problem");
  ck_assert_str_eq (g_variant_get_string (none, NULL), "");
  g_autofree char *job = submit ("write", NULL, 0);
  assert_ends (job, "done", "");
  teardown ();
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("worker");
  TCase *worker = tcase_create ("worker");
  tcase_add_checked_fixture (worker, setup, teardown);
  tcase_set_timeout (worker, 180);
  tcase_add_test (worker, job_runs_through_the_graph);
  tcase_add_test (worker, what_cannot_fit_on_the_disk_is_refused);
  tcase_add_test (worker, what_does_not_fit_now_is_refused);
  tcase_add_test (worker, stage_is_told_the_job);
  tcase_add_test (worker, worker_tells_its_confinement);
  tcase_add_test (worker, name_names_the_file);
  tcase_add_test (worker, input_file_reaches_the_stage);
  tcase_add_test (worker, value_out_of_range_fails_with_the_range);
  tcase_add_test (worker, warning_reaches_the_job_once);
  tcase_add_test (worker, crash_ends_one_job);
  tcase_add_test (worker, cancel_works_either_way);
  tcase_add_test (worker, preview_comes_from_the_stage);
  tcase_add_test (worker, check_gives_the_plan);
  tcase_add_test (worker, what_cannot_fit_is_refused);
  tcase_add_test (worker, pipeline_tells_its_parameters);
  tcase_add_test (worker, plugin_is_described);
  tcase_add_test (worker, daemon_maps_no_plugin);
  tcase_add_test (worker, worker_leaves_nothing_behind);
  suite_add_tcase (suite, worker);
  TCase *plugin = tcase_create ("plugins");
  tcase_set_timeout (plugin, 60);
  tcase_add_test (plugin, plugins_that_cannot_be_used_say_why);
  suite_add_tcase (suite, plugin);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
