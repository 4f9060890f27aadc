/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A clip whose worker, daemon, or both were killed in the middle of sampling goes on from its last
 * checkpoint, and its MP4 is the same to the byte as one that nobody disturbed; its latents are
 * kept for the next job, and are those as well.
 */
#include "config.h"

#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "dbus/sora-bus-error.h"
#include "tests/bus/bus-fixture.h"

#define STEPS 40

static BusFixture *fixture;
static GDBusConnection *bus;
static const BusSetup set_up = {
  .plugin_dir = ABS_BUILDDIR "/stage/plugins",
  .pipeline_dir = ABS_SRCDIR "/pipelines",
  .model_dir = ABS_SRCDIR "/tests/golden/models",
};

static void
setup (void)
{
  fixture = bus_fixture_new (&set_up);
  bus = fixture->connection;
}

static void
teardown (void)
{
  bus_fixture_free (fixture);
}

static char *
submit_caching (gboolean cache)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *arguments = g_strdup_printf (
      "('text-to-video', {'prompt': <'a red ball'>, 'width': <32>, 'height': <32>, 'frames': <5>,"
      " 'steps': <%d>, 'denoise.checkpoint-interval': <0.0>},"
      " {'seed': <uint64 1>, 'cache': <%s>, 'models': <{'main': 'small-a'}>})",
      STEPS, cache ? "true" : "false");
  g_autoptr (GVariant) reply
      = bus_call (bus, MANAGER_PATH, MANAGER, "Submit", g_variant_new_parsed (arguments), &error);
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  char *job;
  g_variant_get (reply, "(o)", &job);
  return job;
}

static char *
submit (void)
{
  return submit_caching (TRUE);
}

/* The SHA-256 of the MP4, as GetResult tells it. */
static char *
end (const char *job)
{
  g_autoptr (GError) error = NULL;
  const char *state;
  /* Longer than the fixture waits: where others work as well, forty steps take their time. */
  g_autoptr (GVariant) reply
      = g_dbus_connection_call_sync (bus, SORA_BUS_NAME, job, JOB, "Wait", NULL, NULL,
                                     G_DBUS_CALL_FLAGS_NONE, 4 * BUS_DEADLINE_MS, NULL, &error);
  ck_assert_msg (reply != NULL, "Wait: %s", error ? error->message : "");
  g_variant_get (reply, "(&s)", &state);
  g_autofree char *text = bus_get_string (bus, job, "Error");
  ck_assert_msg (g_str_equal (state, "done"), "%s: %s", state, text);
  g_autoptr (GVariant) result = bus_call (bus, job, JOB, "GetResult", NULL, NULL);
  g_autoptr (GVariant) files = g_variant_get_child_value (result, 0);
  ck_assert_uint_eq (g_variant_n_children (files), 1);
  g_autoptr (GVariant) file = g_variant_get_child_value (files, 0);
  char *sha256 = NULL;
  ck_assert (g_variant_lookup (file, "sha256", "s", &sha256));
  return sha256;
}

static char *
checkpoints_of (const char *job)
{
  return g_build_filename (fixture->dir, "state", "checkpoints", strrchr (job, '/') + 1, NULL);
}

static guint
count_in (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;
  const char *name;
  while (dir && (name = g_dir_read_name (dir)))
    n += *name != '.';
  return n;
}

/* Each look is a round trip on the bus. */
static void
wait_for_checkpoint (const char *job)
{
  g_autofree char *path = checkpoints_of (job);
  gint64 deadline = g_get_monotonic_time () + 2 * BUS_DEADLINE_MS * G_GINT64_CONSTANT (1000);
  for (guint step = 0; step < 4 || count_in (path) == 0;)
    {
      g_autoptr (GVariant) value = bus_get (bus, job, JOB, "Step");
      g_autofree char *state = bus_get_string (bus, job, "State");
      step = g_variant_get_uint32 (value);
      ck_assert_str_ne (state, "done");
      ck_assert_str_ne (state, "failed");
      ck_assert_msg (g_get_monotonic_time () < deadline, "no checkpoint came");
    }
}

/* What the daemon started: the fourth field of /proc/PID/stat, after the name, is the parent. */
static void
kill_workers (void)
{
  const char *daemon = g_subprocess_get_identifier (fixture->sorad);
  guint killed = 0;
  DIR *proc = opendir ("/proc");
  struct dirent *entry;
  while ((entry = readdir (proc)))
    {
      g_autofree char *path = g_build_filename ("/proc", entry->d_name, "stat", NULL);
      g_autofree char *text = NULL;
      int pid = atoi (entry->d_name);
      if (pid <= 1 || !g_file_get_contents (path, &text, NULL, NULL) || !strrchr (text, ')'))
        continue;
      g_auto (GStrv) fields = g_strsplit (strrchr (text, ')') + 2, " ", 3);
      if (g_str_equal (fields[1], daemon) && kill (pid, SIGKILL) == 0)
        killed++;
    }
  closedir (proc);
  ck_assert_uint_ge (killed, 1);
}

static void
assert_went_on (const char *job, const char *expected)
{
  g_autofree char *sha256 = end (job);
  g_autoptr (GVariant) notes = bus_get (bus, job, JOB, "Notes");
  g_autofree char *all = g_variant_print (notes, FALSE);
  g_autofree char *path = checkpoints_of (job);
  g_autoptr (GVariant) attempts = bus_get (bus, job, JOB, "Attempts");
  ck_assert_uint_eq (g_variant_get_uint32 (attempts), 2);
  ck_assert_msg (strstr (all, "going on after step") != NULL, "%s", all);
  ck_assert_str_eq (sha256, expected);
}

static const struct
{
  gboolean worker, daemon;
} victims[] = { { TRUE, FALSE }, { FALSE, TRUE }, { TRUE, TRUE } };

START_TEST (clip_is_the_same_after_a_kill)
{
  g_autofree char *calm = submit ();
  g_autofree char *expected = end (calm);
  g_autofree char *job = submit ();
  wait_for_checkpoint (job);
  /* At once: a daemon that saw its worker end would begin another attempt before its own end. */
  if (victims[_i].worker && victims[_i].daemon)
    g_subprocess_send_signal (fixture->sorad, SIGSTOP);
  if (victims[_i].worker)
    kill_workers ();
  if (victims[_i].daemon)
    {
      bus_fixture_kill_sorad (fixture);
      bus_fixture_start_sorad (fixture, &set_up);
    }
  assert_went_on (job, expected);
}
END_TEST

START_TEST (paused_clip_goes_on_and_a_damaged_checkpoint_does_not)
{
  g_autofree char *calm = submit ();
  g_autofree char *expected = end (calm);
  g_autofree char *paused = submit ();
  wait_for_checkpoint (paused);
  g_autoptr (GVariant) pause = bus_call (bus, paused, JOB, "Pause", NULL, NULL);
  ck_assert_ptr_nonnull (pause);
  g_autoptr (GVariant) resume = bus_call (bus, paused, JOB, "Resume", NULL, NULL);
  ck_assert_ptr_nonnull (resume);
  assert_went_on (paused, expected);

  g_autofree char *job = submit ();
  wait_for_checkpoint (job);
  bus_fixture_kill_sorad (fixture);
  g_autofree char *folder = checkpoints_of (job);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name = g_dir_read_name (dir);
  while (name && *name == '.')
    name = g_dir_read_name (dir);
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *data = NULL;
  gsize size;
  ck_assert (g_file_get_contents (path, &data, &size, NULL));
  data[size - 1] ^= 1;
  ck_assert (g_file_set_contents (path, data, (gssize)size, NULL));
  bus_fixture_start_sorad (fixture, &set_up);
  g_autofree char *sha256 = end (job);
  g_autoptr (GVariant) warnings = bus_get (bus, job, JOB, "Warnings");
  g_autofree char *all = g_variant_print (warnings, FALSE);
  ck_assert_msg (strstr (all, "the checkpoint is not used, starting from zero: it is damaged"),
                 "%s", all);
  ck_assert_str_eq (sha256, expected);
}
END_TEST

static gboolean
has_note (const char *job, const char *note)
{
  g_autoptr (GVariant) notes = bus_get (bus, job, JOB, "Notes");
  g_autofree const char **said = g_variant_get_strv (notes, NULL);
  return g_strv_contains (said, note);
}

/* What a killed worker's stages gave is taken by the next attempt, and what that gives by the next
 * job. */
START_TEST (latents_of_a_resumed_clip_are_kept)
{
  g_autofree char *cache = g_dir_make_tmp ("sora-resume-XXXXXX", NULL);
  g_autofree char *home = g_strconcat ("XDG_CACHE_HOME=", cache, NULL);
  const char *const environment[] = { home, "SORA_CACHE_MAX=", NULL };
  BusSetup keeping = set_up;
  keeping.environment = environment;
  bus_fixture_free (fixture);
  fixture = bus_fixture_new (&keeping);
  bus = fixture->connection;

  g_autofree char *calm = submit_caching (FALSE);
  g_autofree char *expected = end (calm);
  g_autofree char *job = submit ();
  wait_for_checkpoint (job);
  g_subprocess_send_signal (fixture->sorad, SIGSTOP);
  kill_workers ();
  bus_fixture_kill_sorad (fixture);
  bus_fixture_start_sorad (fixture, &keeping);
  assert_went_on (job, expected);
  ck_assert (has_note (job, "stage 'text': it is taken from the cache"));

  g_autofree char *again = submit ();
  g_autofree char *sha256 = end (again);
  ck_assert_str_eq (sha256, expected);
  ck_assert (has_note (again, "stage 'denoise': it is taken from the cache"));
  bus_remove_tree (cache);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("resume");
  TCase *resume = tcase_create ("resume");
  tcase_add_checked_fixture (resume, setup, teardown);
  tcase_set_timeout (resume, 600);
  tcase_add_loop_test (resume, clip_is_the_same_after_a_kill, 0, (int)G_N_ELEMENTS (victims));
  tcase_add_test (resume, paused_clip_goes_on_and_a_damaged_checkpoint_does_not);
  tcase_add_test (resume, latents_of_a_resumed_clip_are_kept);
  suite_add_tcase (suite, resume);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
