/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Jobs over a private bus, with the fake worker: the honest course of things.
 */
#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bus-fixture.h"
#include "dbus/sora-bus-error.h"

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

static GVariant *
text_parameters (const char *mode, const char *text)
{
  GVariantDict dict;
  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "mode", "s", mode);
  g_variant_dict_insert (&dict, "text", "s", text);
  return g_variant_dict_end (&dict);
}

static char *
submit (GVariant *parameters, GVariant *options, GError **error)
{
  g_autoptr (GVariant) reply
      = bus_call (bus, MANAGER_PATH, MANAGER, "Submit",
                  g_variant_new ("(s@a{sv}@a{sv})", "fake", parameters,
                                 options ? options : g_variant_new ("a{sv}", NULL)),
                  error);
  char *job = NULL;
  if (reply)
    g_variant_get (reply, "(o)", &job);
  return job;
}

static void
assert_error (GError *error, int code, const char *part)
{
  ck_assert_ptr_nonnull (error);
  ck_assert_msg (g_error_matches (error, SORA_ERROR, code), "%s %d: %s",
                 g_quark_to_string (error->domain), error->code, error->message);
  ck_assert_msg (strstr (error->message, part) != NULL, "'%s' lacks '%s'", error->message, part);
}

START_TEST (submitted_job_is_done_and_its_result_read)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *job = submit (text_parameters ("done", "a red ball"), NULL, &error);
  ck_assert_msg (job != NULL, "%s", error ? error->message : "");
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "done");
  g_autofree char *text = bus_read_result (bus, job, NULL, NULL);
  ck_assert_str_eq (text, "a red ball");

  g_autoptr (GVariant) result = bus_call (bus, job, JOB, "GetResult", NULL, &error);
  ck_assert_ptr_nonnull (result);
  g_autoptr (GVariant) files = g_variant_get_child_value (result, 0);
  g_autoptr (GVariant) details = g_variant_get_child_value (result, 1);
  ck_assert_uint_eq (g_variant_n_children (files), 1);
  g_autoptr (GVariant) file = g_variant_get_child_value (files, 0);
  const char *name, *type, *sha256, *stage;
  guint64 size;
  ck_assert (g_variant_lookup (file, "name", "&s", &name)
             && g_variant_lookup (file, "media-type", "&s", &type));
  ck_assert (g_variant_lookup (file, "sha256", "&s", &sha256)
             && g_variant_lookup (file, "stage", "&s", &stage));
  ck_assert (g_variant_lookup (file, "size", "t", &size));
  ck_assert_str_eq (name, "clip.txt");
  ck_assert_str_eq (type, "text/plain");
  ck_assert_str_eq (stage, "work");
  ck_assert_uint_eq (size, 10);
  g_autofree char *digest = g_compute_checksum_for_string (G_CHECKSUM_SHA256, "a red ball", -1);
  ck_assert_str_eq (sha256, digest);
  ck_assert (g_variant_lookup (details, "stages", "aa{sv}", NULL));

  g_autoptr (GVariant) progress = bus_get (bus, job, JOB, "Progress");
  g_autoptr (GVariant) submitted = bus_get (bus, job, JOB, "SubmittedAt");
  g_autoptr (GVariant) started = bus_get (bus, job, JOB, "StartedAt");
  g_autoptr (GVariant) finished = bus_get (bus, job, JOB, "FinishedAt");
  ck_assert_double_eq (g_variant_get_double (progress), 1);
  ck_assert_int_gt (g_variant_get_int64 (submitted), G_GINT64_CONSTANT (1600000000000000));
  ck_assert_int_ge (g_variant_get_int64 (started), g_variant_get_int64 (submitted));
  ck_assert_int_ge (g_variant_get_int64 (finished), g_variant_get_int64 (started));
  g_autofree char *sandbox = bus_get_string (bus, job, "SandboxLevel");
  ck_assert_str_eq (sandbox, "none"); /* the fake worker tells of no confinement, and has none */
}
END_TEST

START_TEST (large_result_comes_whole)
{
  g_autofree char *job = bus_submit (bus, "large", NULL, NULL);
  g_autofree char *state = bus_wait (bus, job);
  gsize size;
  ck_assert_str_eq (state, "done");
  g_autofree char *bytes = bus_read_result (bus, job, "large.bin", &size);
  ck_assert_uint_eq (size, 12 << 20);
  ck_assert_int_eq (bytes[size - 1], 'x');
}
END_TEST

START_TEST (request_is_told_back)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *job = submit (text_parameters ("done", "hello"),
                                 option ("seed", g_variant_new_uint64 (77)), &error);
  ck_assert_ptr_nonnull (job);
  g_autoptr (GVariant) reply = bus_call (bus, job, JOB, "GetRequest", NULL, &error);
  ck_assert_ptr_nonnull (reply);
  g_autoptr (GVariant) request = g_variant_get_child_value (reply, 0);
  const char *pipeline, *text;
  guint64 seed;
  g_autoptr (GVariant) parameters
      = g_variant_lookup_value (request, "parameters", G_VARIANT_TYPE_VARDICT);
  ck_assert (g_variant_lookup (request, "pipeline", "&s", &pipeline)
             && g_variant_lookup (request, "seed", "t", &seed));
  ck_assert (g_variant_lookup (parameters, "text", "&s", &text));
  ck_assert_str_eq (pipeline, "fake");
  ck_assert_str_eq (text, "hello");
  ck_assert_uint_eq (seed, 77);
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "done");
}
END_TEST

START_TEST (bad_requests_are_refused)
{
  static const struct
  {
    const char *key, *text, *type, *part;
  } cases[] = {
    { "colour", "blue", "s", "no option 'colour'" },
    { "seed", "'x'", "s", "expected 't'" },
    { "metadata", "some", "s", "full, minimal or none" },
    { "name", "../x", "s", "option 'name'" },
    { "name", "", "s", "option 'name'" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      ck_assert_ptr_null (submit (text_parameters ("done", ""),
                                  option (cases[i].key, g_variant_new_string (cases[i].text)),
                                  &error));
      assert_error (error, SORA_ERROR_INVALID_REQUEST, cases[i].part);
    }
  GError *error = NULL;
  ck_assert_ptr_null (submit (text_parameters ("done", ""),
                              option ("threads", g_variant_new_uint32 (1025)), &error));
  assert_error (error, SORA_ERROR_INVALID_REQUEST, "'threads' is 1025, expected at most 1024");
  g_clear_error (&error);
  ck_assert_ptr_null (submit (option ("colour", g_variant_new_string ("blue")), NULL, &error));
  assert_error (error, SORA_ERROR_INVALID_REQUEST, "no parameter 'colour'");
  g_clear_error (&error);
  ck_assert_ptr_null (
      submit (option ("nostage.mode", g_variant_new_string ("blue")), NULL, &error));
  assert_error (error, SORA_ERROR_INVALID_REQUEST, "no parameter 'nostage.mode'");
  g_clear_error (&error);
  ck_assert_ptr_null (submit (option ("mode", g_variant_new ("(ss)", "a", "b")), NULL, &error));
  assert_error (error, SORA_ERROR_INVALID_REQUEST, "'(ss)' fits no parameter");
  g_clear_error (&error);
  g_autoptr (GVariant) reply
      = bus_call (bus, MANAGER_PATH, MANAGER, "Submit",
                  g_variant_new ("(sa{sv}a{sv})", "../fake.pipeline", NULL, NULL), &error);
  ck_assert_ptr_null (reply);
  assert_error (error, SORA_ERROR_NOT_FOUND, "no pipeline");
  g_clear_error (&error);
  GVariant *models = g_variant_new_parsed ("{'main': '/etc'}");
  ck_assert_ptr_null (submit (text_parameters ("done", ""), option ("models", models), &error));
  assert_error (error, SORA_ERROR_INVALID_REQUEST, "no role 'main'");
  g_clear_error (&error);
  GVariant *stages = g_variant_new_parsed ("{'work': '/tmp/evil.so'}");
  ck_assert_ptr_null (submit (text_parameters ("done", ""), option ("stages", stages), &error));
  assert_error (error, SORA_ERROR_NOT_FOUND, "no plugin");
  g_clear_error (&error);
  GVariant *states = g_variant_new_parsed ("['tired']");
  reply = bus_call (bus, MANAGER_PATH, MANAGER, "ListJobs",
                    g_variant_new ("(@a{sv})", option ("states", states)), &error);
  assert_error (error, SORA_ERROR_INVALID_REQUEST, "'tired' is no state");
  g_clear_error (&error);
}
END_TEST

/* -- Descriptors */

static char *
submit_handle (gint32 handle, int fd, GError **error)
{
  g_autoptr (GUnixFDList) fds = g_unix_fd_list_new ();
  GVariantDict dict;
  char *job = NULL;
  if (fd >= 0)
    ck_assert_int_eq (g_unix_fd_list_append (fds, fd, NULL), 0);
  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "mode", "s", "input");
  g_variant_dict_insert_value (&dict, "file", g_variant_new_handle (handle));
  g_autoptr (GVariant) reply = g_dbus_connection_call_with_unix_fd_list_sync (
      bus, SORA_BUS_NAME, MANAGER_PATH, MANAGER, "Submit",
      g_variant_new ("(s@a{sv}a{sv})", "fake", g_variant_dict_end (&dict), NULL), NULL,
      G_DBUS_CALL_FLAGS_NONE, BUS_DEADLINE_MS, fds, NULL, NULL, error);
  if (reply)
    g_variant_get (reply, "(o)", &job);
  else if (error)
    g_dbus_error_strip_remote_error (*error);
  return job;
}

static char *
pattern (gsize size)
{
  char *bytes = g_malloc (size);
  for (gsize i = 0; i < size; i++)
    bytes[i] = (char)(i * 7 + (i >> 9));
  return bytes;
}

static int
memory_file (gsize size)
{
  int fd = memfd_create ("input", MFD_CLOEXEC);
  g_autofree char *bytes = pattern (size);
  ck_assert_int_ge (fd, 0);
  ck_assert_int_eq (write (fd, bytes, size), (ssize_t)size);
  return fd;
}

START_TEST (input_file_is_copied)
{
  g_autoptr (GError) error = NULL;
  gsize size;
  int fd = memory_file (9 << 20);
  g_autofree char *job = submit_handle (0, fd, &error);
  ck_assert_msg (job != NULL, "%s", error ? error->message : "");
  ck_assert_int_eq (ftruncate (fd, 3), 0); /* what the caller does now is its own affair */
  close (fd);
  g_autofree char *state = bus_wait (bus, job);
  g_autofree char *reason = bus_get_string (bus, job, "Error");
  ck_assert_msg (g_str_equal (state, "done"), "%s: %s", state, reason);
  g_autofree char *bytes = bus_read_result (bus, job, NULL, &size);
  g_autofree char *expected = pattern (9 << 20);
  ck_assert_uint_eq (size, 9 << 20);
  ck_assert_mem_eq (bytes, expected, size);
  g_autoptr (GVariant) reply = bus_call (bus, job, JOB, "GetRequest", NULL, &error);
  g_autoptr (GVariant) request = g_variant_get_child_value (reply, 0);
  g_autoptr (GVariant) parameters
      = g_variant_lookup_value (request, "parameters", G_VARIANT_TYPE_VARDICT);
  g_autoptr (GVariant) file = g_variant_lookup_value (parameters, "file", G_VARIANT_TYPE_VARDICT);
  guint64 told;
  const char *sha256;
  ck_assert (file && g_variant_lookup (file, "size", "t", &told)
             && g_variant_lookup (file, "sha256", "&s", &sha256));
  g_autofree char *digest
      = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (guint8 *)expected, 9 << 20);
  ck_assert_uint_eq (told, 9 << 20);
  ck_assert_str_eq (sha256, digest);
}
END_TEST

START_TEST (descriptor_indices_are_checked)
{
  static const gint32 handles[] = { -1, 1, 2, G_MAXINT32, G_MININT32 };
  int fd = memory_file (10);
  for (gsize i = 0; i < G_N_ELEMENTS (handles); i++)
    {
      g_autoptr (GError) error = NULL;
      ck_assert_ptr_null (submit_handle (handles[i], fd, &error));
      assert_error (error, SORA_ERROR_INVALID_REQUEST, "descriptor index");
    }
  g_autoptr (GError) none = NULL;
  ck_assert_ptr_null (submit_handle (0, -1, &none));
  assert_error (none, SORA_ERROR_INVALID_REQUEST, "carries 0 descriptors");
  close (fd);
}
END_TEST

START_TEST (descriptor_kinds_and_sizes_are_checked)
{
  g_autoptr (GError) pipe_error = NULL;
  g_autoptr (GError) dir_error = NULL;
  g_autoptr (GError) size_error = NULL;
  int pipes[2];
  ck_assert_int_eq (pipe (pipes), 0);
  ck_assert_ptr_null (submit_handle (0, pipes[0], &pipe_error));
  assert_error (pipe_error, SORA_ERROR_INVALID_REQUEST, "no regular file");
  int dir = open ("/", O_RDONLY | O_DIRECTORY);
  ck_assert_ptr_null (submit_handle (0, dir, &dir_error));
  assert_error (dir_error, SORA_ERROR_INVALID_REQUEST, "no regular file");
  int large = memfd_create ("large", MFD_CLOEXEC);
  ck_assert_int_eq (ftruncate (large, (64 << 20) + 1), 0);
  ck_assert_ptr_null (submit_handle (0, large, &size_error));
  assert_error (size_error, SORA_ERROR_INVALID_REQUEST, "67108864 bytes");
  close (pipes[0]);
  close (pipes[1]);
  close (dir);
  close (large);
}
END_TEST

START_TEST (result_is_read_only)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *job = submit (text_parameters ("done", "kept"), NULL, &error);
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "done");
  int fd = bus_open (bus, job, "OpenResult", g_variant_new ("(a{sv})", NULL), NULL, &error);
  ck_assert_int_ge (fd, 0);
  ck_assert_int_eq (fcntl (fd, F_GETFL) & O_ACCMODE, O_RDONLY);
  ck_assert_int_eq (write (fd, "x", 1), -1);
  ck_assert_int_ne (ftruncate (fd, 0), 0);
  close (fd);
}
END_TEST

START_TEST (results_are_opened_by_listed_names_only)
{
  g_autofree char *job = bus_submit (bus, "two-files", NULL, NULL);
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "done");
  static const char *const names[]
      = { "../lock", "../../sorad.conf", "/etc/passwd", "c.txt", "", "a.txt/.." };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr (GError) error = NULL;
      GVariant *options = option ("name", g_variant_new_string (names[i]));
      ck_assert_int_lt (
          bus_open (bus, job, "OpenResult", g_variant_new ("(@a{sv})", options), NULL, &error), 0);
      assert_error (error, SORA_ERROR_NOT_FOUND, "no result file");
    }
  g_autoptr (GError) error = NULL;
  ck_assert_int_lt (
      bus_open (bus, job, "OpenResult", g_variant_new ("(a{sv})", NULL), NULL, &error), 0);
  assert_error (error, SORA_ERROR_INVALID_REQUEST, "2 result files");
  gsize size;
  g_autofree char *a = bus_read_result (bus, job, "a.txt", &size);
  ck_assert_str_eq (a, "A");
  g_autofree char *b = bus_read_result (bus, job, "b.txt", &size);
  ck_assert_uint_eq (size, 0);
}
END_TEST

START_TEST (preview_is_sealed)
{
  g_autofree char *job = bus_submit (bus, "preview", NULL, NULL);
  g_autoptr (GVariant) reply = NULL;
  gint64 deadline = g_get_monotonic_time () + BUS_DEADLINE_MS * 1000;
  int fd = -1;
  while (fd < 0)
    {
      g_autoptr (GError) error = NULL;
      fd = bus_open (bus, job, "OpenPreview", NULL, &reply, &error);
      if (fd < 0)
        assert_error (error, SORA_ERROR_NOT_READY, "no frame was decoded yet");
      ck_assert_int_lt (g_get_monotonic_time (), deadline);
    }
  guint width, height;
  g_variant_get (reply, "(huu)", NULL, &width, &height);
  ck_assert_uint_eq (width, 4);
  ck_assert_uint_eq (height, 2);
  ck_assert_int_eq (fcntl (fd, F_GET_SEALS),
                    F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  ck_assert_int_eq (lseek (fd, 0, SEEK_END), 24);
  ck_assert_int_ne (ftruncate (fd, 0), 0);
  ck_assert_ptr_eq (mmap (NULL, 24, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  guint8 *pixels = mmap (NULL, 24, PROT_READ, MAP_SHARED, fd, 0);
  ck_assert_ptr_ne (pixels, MAP_FAILED);
  ck_assert_uint_eq (pixels[23], 0x7f);
  munmap (pixels, 24);
  close (fd);
  bus_call (bus, job, JOB, "Cancel", NULL, NULL);
}
END_TEST

START_TEST (not_ready_and_failed_results_say_so)
{
  g_autoptr (GError) early = NULL;
  g_autoptr (GError) failed = NULL;
  g_autofree char *waiting = bus_submit (bus, "wait", NULL, NULL);
  ck_assert_ptr_null (bus_call (bus, waiting, JOB, "GetResult", NULL, &early));
  assert_error (early, SORA_ERROR_NOT_READY, "no result yet");
  g_autoptr (GError) busy = NULL;
  ck_assert_ptr_null (bus_call (bus, waiting, JOB, "Delete", NULL, &busy));
  assert_error (busy, SORA_ERROR_BUSY, "cancel it first");
  g_autoptr (GVariant) cancelled = bus_call (bus, waiting, JOB, "Cancel", NULL, NULL);
  ck_assert_ptr_nonnull (cancelled);
  g_autofree char *job = bus_submit (bus, "fail", NULL, NULL);
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "failed");
  ck_assert_ptr_null (bus_call (bus, job, JOB, "GetResult", NULL, &failed));
  assert_error (failed, SORA_ERROR_NO_MEMORY, "stage 'work': does not fit");
  g_autofree char *name = bus_get_string (bus, job, "ErrorName");
  ck_assert_str_eq (name, "org.sorad.Sora1.Error.NoMemory");
}
END_TEST

START_TEST (warnings_are_kept)
{
  g_autofree char *job = bus_submit (bus, "warn", NULL, NULL);
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "done");
  g_autoptr (GVariant) warnings = bus_get (bus, job, JOB, "Warnings");
  g_autofree const char **texts = g_variant_get_strv (warnings, NULL);
  ck_assert_str_eq (texts[0], "stage 'work': frames rounded up");
  ck_assert_ptr_null (texts[1]);
  g_autoptr (GVariant) notes = bus_get (bus, job, JOB, "Notes");
  g_autofree const char **said = g_variant_get_strv (notes, NULL);
  ck_assert_str_eq (said[0], "stage 'work': in 4 tiles");
  ck_assert_ptr_null (said[1]);
}
END_TEST

START_TEST (long_warnings_are_cut)
{
  g_autofree char *job = bus_submit (bus, "warn-long", NULL, NULL);
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "done");
  g_autoptr (GVariant) warnings = bus_get (bus, job, JOB, "Warnings");
  g_autofree const char **texts = g_variant_get_strv (warnings, NULL);
  ck_assert_uint_eq (strlen (texts[0]), 2048);
  ck_assert (g_str_has_prefix (texts[0], "stage 'work': www"));
}
END_TEST

START_TEST (result_without_files_says_so)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *job = bus_submit (bus, "warn", NULL, NULL);
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "done");
  ck_assert_int_lt (
      bus_open (bus, job, "OpenResult", g_variant_new ("(a{sv})", NULL), NULL, &error), 0);
  assert_error (error, SORA_ERROR_NOT_FOUND, "has no result files");
}
END_TEST

START_TEST (deleted_job_is_gone)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *job = bus_submit (bus, "done", NULL, NULL);
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "done");
  g_autoptr (GVariant) reply = bus_call (bus, job, JOB, "Delete", NULL, &error);
  ck_assert_ptr_nonnull (reply);
  ck_assert_ptr_null (bus_call (bus, job, JOB, "GetResult", NULL, &error));
  assert_error (error, SORA_ERROR_NOT_FOUND, "no job");
}
END_TEST

START_TEST (own_jobs_are_listed)
{
  g_autofree char *first = bus_submit (bus, "done", NULL, NULL);
  g_autofree char *state = bus_wait (bus, first);
  g_autofree char *second = bus_submit (bus, "wait", NULL, NULL);
  g_autoptr (GVariant) all
      = bus_call (bus, MANAGER_PATH, MANAGER, "ListJobs", g_variant_new ("(a{sv})", NULL), NULL);
  g_autoptr (GVariant) rows = g_variant_get_child_value (all, 0);
  ck_assert_str_eq (state, "done");
  ck_assert_uint_eq (g_variant_n_children (rows), 2);
  const char *path;
  g_variant_get_child (rows, 0, "(&o@a{sv})", &path, NULL);
  ck_assert_str_eq (path, first);
  GVariant *states = g_variant_new_parsed ("['running', 'queued']");
  g_autoptr (GVariant) some
      = bus_call (bus, MANAGER_PATH, MANAGER, "ListJobs",
                  g_variant_new ("(@a{sv})", option ("states", states)), NULL);
  g_autoptr (GVariant) active = g_variant_get_child_value (some, 0);
  ck_assert_uint_eq (g_variant_n_children (active), 1);
  g_autoptr (GVariant) properties = NULL;
  g_variant_get_child (active, 0, "(&o@a{sv})", &path, &properties);
  ck_assert_str_eq (path, second);
  ck_assert_uint_eq (g_variant_n_children (properties), 25);
  g_autoptr (GVariant) cancelled = bus_call (bus, second, JOB, "Cancel", NULL, NULL);
  ck_assert_ptr_nonnull (cancelled);
}
END_TEST

START_TEST (check_answers_without_a_job)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = bus_call (
      bus, MANAGER_PATH, MANAGER, "Check",
      g_variant_new ("(s@a{sv}a{sv})", "fake", text_parameters ("done", ""), NULL), &error);
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  g_autoptr (GVariant) summary = g_variant_get_child_value (reply, 1);
  guint64 peak;
  ck_assert (g_variant_lookup (summary, "peak-bytes", "t", &peak));
  ck_assert_uint_eq (peak, 42);
  g_autoptr (GVariant) jobs
      = bus_call (bus, MANAGER_PATH, MANAGER, "ListJobs", g_variant_new ("(a{sv})", NULL), NULL);
  g_autoptr (GVariant) rows = g_variant_get_child_value (jobs, 0);
  ck_assert_uint_eq (g_variant_n_children (rows), 0);
}
END_TEST

START_TEST (catalogue_is_listed)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = bus_call (bus, MANAGER_PATH, "org.freedesktop.DBus.ObjectManager",
                                         "GetManagedObjects", NULL, &error);
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  g_autofree char *text = g_variant_print (reply, FALSE);
  ck_assert_ptr_nonnull (strstr (text, "/org/sorad/Sora1/pipelines/fake"));
  ck_assert_ptr_null (strstr (text, "/org/sorad/Sora1/jobs"));
  /* The fake worker describes nothing, and says so. */
  ck_assert_ptr_nonnull (strstr (text, "the fake worker describes nothing"));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("jobs");
  TCase *jobs = tcase_create ("jobs");
  tcase_add_checked_fixture (jobs, setup, teardown);
  tcase_set_timeout (jobs, 120);
  tcase_add_test (jobs, submitted_job_is_done_and_its_result_read);
  tcase_add_test (jobs, large_result_comes_whole);
  tcase_add_test (jobs, request_is_told_back);
  tcase_add_test (jobs, bad_requests_are_refused);
  tcase_add_test (jobs, input_file_is_copied);
  tcase_add_test (jobs, descriptor_indices_are_checked);
  tcase_add_test (jobs, descriptor_kinds_and_sizes_are_checked);
  tcase_add_test (jobs, result_is_read_only);
  tcase_add_test (jobs, results_are_opened_by_listed_names_only);
  tcase_add_test (jobs, preview_is_sealed);
  tcase_add_test (jobs, not_ready_and_failed_results_say_so);
  tcase_add_test (jobs, warnings_are_kept);
  tcase_add_test (jobs, long_warnings_are_cut);
  tcase_add_test (jobs, result_without_files_says_so);
  tcase_add_test (jobs, deleted_job_is_gone);
  tcase_add_test (jobs, own_jobs_are_listed);
  tcase_add_test (jobs, check_answers_without_a_job);
  tcase_add_test (jobs, catalogue_is_listed);
  suite_add_tcase (suite, jobs);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
