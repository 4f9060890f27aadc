/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The daemon under faults at each call by which it changes its files: it is killed at the call, the
 * power is cut there, or the call fails as on a full disk, with a quota used up, or on a broken
 * disk. After each a calm daemon finds every acknowledged job once, with its bytes, and nothing
 * else. A daemon whose call failed lives on, tells the client what it was, and takes the same job a
 * moment later.
 *
 * Every SORA_FAULT_STRIDE-th call is taken (default 17); 1 takes all of them, in some minutes.
 * SORA_FAULT_HOW takes one way alone.
 */
#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dbus/sora-bus-error.h"
#include "tests/faults/fault-jobs.h"
#include "tests/faults/fault-processes.h"
#include "tests/faults/fault-shim.h"

#define SETTINGS "[Limits]\nCalls=10000\n[Worker]\nAttempts=100\n"
#define N_JOBS                                                                                     \
  3 /* the first is there when the fault comes; the last is deleted when it is done                \
     */

static const BusSetup calm
    = { .worker = FAKE_WORKER, .pipeline_dir = FAKE_PIPELINES, .settings = SETTINGS };
static const struct
{
  const char *how;
  const char *code, *words; /* of the error that tells of it; NULL: any */
} ways[] = {
  { "kill", NULL, NULL },
  { "power", NULL, NULL },
  { "ENOSPC", "NoSpace", NULL },
  { "EIO", "Failed", NULL },
  { "EDQUOT", "NoSpace", "Disk quota exceeded" },
  { "ENOSPC-lasting", "NoSpace", NULL },
  { "EIO-lasting", "Failed", NULL },
  { "EDQUOT-lasting", "NoSpace", "Disk quota exceeded" },
};

typedef struct
{
  BusFixture *fixture;
  char *paths[N_JOBS]; /* of those that were acknowledged */
  gboolean deleted;    /* so was that of the last one */
  gboolean up;         /* the daemon has its name */
  guint refused, told; /* submissions, jobs that failed */
  FaultTally *tally;
  int way;
} Run;

static char *
text_of (guint i)
{
  return g_strdup_printf ("text %u", i);
}

static gboolean
is_alive (Run *run)
{
  /* GSubprocess learns of an end in the main context. */
  while (g_main_context_iteration (NULL, FALSE))
    ;
  return g_subprocess_get_identifier (run->fixture->sorad) != NULL;
}

static gboolean
is_dead (gpointer run)
{
  return !is_alive (run);
}

static gboolean
is_up_or_dead (gpointer data)
{
  Run *run = data;
  g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
      run->fixture->connection, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "NameHasOwner",
      g_variant_new ("(s)", SORA_BUS_NAME), NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);
  ck_assert_ptr_nonnull (reply);
  g_variant_get (reply, "(b)", &run->up);
  return run->up || !is_alive (run);
}

/* A daemon with the shim, over what the calm one left. */
static void
launch_disturbed (Run *run, guint64 at)
{
  const char *how = ways[run->way].how;
  g_autofree char *tally = g_build_filename (run->fixture->dir, "tally", NULL);
  int fd = open (tally, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  ck_assert_int_ge (fd, 0);
  ck_assert_int_eq (ftruncate (fd, sizeof *run->tally), 0);
  run->tally = mmap (NULL, sizeof *run->tally, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ck_assert_ptr_ne (run->tally, MAP_FAILED);
  close (fd);
  g_autofree char *kept = g_build_filename (run->fixture->dir, "kept", NULL);
  ck_assert_int_eq (g_mkdir (kept, 0700), 0);
  const char *sanitizer = g_getenv ("ASAN_OPTIONS");
  g_autofree char *dir = g_strdup_printf ("SORA_FAULT_DIR=%s/state", run->fixture->dir),
                  *file = g_strdup_printf ("SORA_FAULT_TALLY=%s", tally),
                  *number = g_strdup_printf ("SORA_FAULT_AT=%" G_GUINT64_FORMAT, at),
                  *way = g_strdup_printf ("SORA_FAULT_HOW=%s", how),
                  *keep = g_strdup_printf ("SORA_FAULT_KEEP=%s", kept),
                  /* The shim comes before the sanitizer, and hands on to what that wraps. */
                      *options = g_strdup_printf ("ASAN_OPTIONS=%s:verify_asan_link_order=0",
                                                  sanitizer ? sanitizer : "");
  const char *environment[] = { "LD_PRELOAD=" ABS_BUILDDIR "/tests/faults/.libs/fault-shim.so",
                                dir,
                                file,
                                number,
                                way,
                                keep,
                                options,
                                NULL };
  BusSetup disturbed = calm;
  disturbed.environment = environment;
  bus_fixture_launch_sorad (run->fixture, &disturbed);
  bus_look_until (run->fixture, is_up_or_dead, run, "the disturbed daemon, or its end");
}

static gboolean
is_over_or_dead (gpointer data)
{
  Run *run = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = bus_call (
      run->fixture->connection, MANAGER_PATH, MANAGER, "ListJobs",
      g_variant_new ("(@a{sv})", g_variant_new_parsed ("{'states': <['queued', 'running']>}")),
      &error);
  if (!reply)
    return !is_alive (run);
  g_autoptr (GVariant) jobs = g_variant_get_child_value (reply, 0);
  return g_variant_n_children (jobs) == 0;
}

/* That there is no room is not that the disk is broken, and a quota not the disk. */
static void
assert_told (const Run *run, const char *code, const char *text)
{
  ck_assert_msg (!ways[run->way].code || g_str_has_suffix (code, ways[run->way].code), "%s: %s: %s",
                 ways[run->way].how, code, text);
  ck_assert_msg (!ways[run->way].words || strstr (text, ways[run->way].words), "%s: %s: %s",
                 ways[run->way].how, code, text);
}

/* What a client does. It is told of failures, and tries again. */
static void
work (Run *run, gboolean may_die)
{
  for (guint i = 1; i < N_JOBS; i++)
    for (guint attempt = 0; attempt < 2 && !run->paths[i]; attempt++)
      {
        g_autofree char *text = text_of (i);
        g_autoptr (GError) error = NULL;
        run->paths[i] = fault_submit (run->fixture, text, &error);
        if (run->paths[i])
          break;
        run->refused++;
        run->tally->lifted = 1; /* a fault that lasts ends here, or when all was submitted */
        if (may_die)
          return;
        ck_assert_msg (attempt == 0, "refused twice: %s", error->message);
        ck_assert_msg (is_alive (run), "the daemon ended: %s", error->message);
        ck_assert_msg (error->domain == SORA_ERROR, "%s", error->message);
        assert_told (run, sora_bus_error_name (error->code), error->message);
      }
  run->tally->lifted = 1;
  bus_look_until (run->fixture, is_over_or_dead, run, "the end of all jobs, or of the daemon");
  g_autoptr (GVariant) deletion
      = bus_call (run->fixture->connection, run->paths[N_JOBS - 1], JOB, "Delete", NULL, NULL);
  run->deleted = deletion != NULL;
}

/* A job may have failed of a call that failed, and then says so and has no result. */
static void
assert_job_is_right (Run *run, const char *path, const char *state, const char *text,
                     gboolean may_fail)
{
  if (may_fail && g_str_equal (state, "failed"))
    {
      g_autofree char *why = bus_get_string (run->fixture->connection, path, "Error");
      g_autofree char *code = bus_get_string (run->fixture->connection, path, "ErrorName");
      ck_assert_msg (why != NULL && *why != '\0', "%s failed and does not say why", path);
      assert_told (run, code, why);
      run->told++;
      return;
    }
  ck_assert_msg (g_str_equal (state, "done"), "%s is %s", path, state);
  g_autofree char *result = bus_read_result (run->fixture->connection, path, NULL, NULL);
  ck_assert_str_eq (result, text);
}

static void
assert_all_is_well (Run *run, gboolean may_fail)
{
  bus_look_until (run->fixture, fault_all_over, run->fixture, "the end of all jobs");
  g_autoptr (GVariant) jobs = fault_list_jobs (run->fixture, "@a{sv} {}");
  guint seen[N_JOBS] = { 0 };
  for (gsize k = 0; k < g_variant_n_children (jobs); k++)
    {
      const char *path, *state;
      g_autoptr (GVariant) properties = NULL;
      g_variant_get_child (jobs, k, "(&o@a{sv})", &path, &properties);
      guint i = 0;
      while (i < N_JOBS && g_strcmp0 (run->paths[i], path) != 0)
        i++;
      ck_assert_msg (i < N_JOBS, "%s was never acknowledged", path);
      ck_assert (g_variant_lookup (properties, "State", "&s", &state));
      g_autofree char *text = text_of (i);
      assert_job_is_right (run, path, state, text, may_fail);
      seen[i]++;
    }
  for (guint i = 0; i < N_JOBS; i++)
    ck_assert_uint_eq (seen[i], i < N_JOBS - 1 || !run->deleted);
  fault_assert_nothing_left (run->fixture);
  fault_assert_no_orphans (run->fixture);
}

/* Returns: how many calls the disturbed daemon made; @starting: (out): of these, until it had its
 * name. */
static guint64
disturb (int way, guint64 at, guint64 *starting, guint *told)
{
  const char *how = ways[way].how;
  const gboolean kills = g_str_equal (how, "kill") || g_str_equal (how, "power");
  Run run = { .fixture = bus_fixture_new (&calm), .way = way };
  g_autofree char *text = text_of (0);
  run.paths[0] = fault_submit (run.fixture, text, NULL);
  ck_assert_ptr_nonnull (run.paths[0]);
  bus_look_until (run.fixture, fault_all_over, run.fixture, "the end of the first job");
  bus_fixture_kill_sorad (run.fixture);

  launch_disturbed (&run, at);
  *starting = run.tally->calls;
  if (run.up)
    work (&run, kills && at > 0);
  if (kills && at > 0 && run.tally->calls >= at)
    bus_look_until (run.fixture, is_dead, &run, "the end of the daemon at that call");
  const gboolean alive = is_alive (&run);
  if (!alive && kills)
    { /* by the shim's signal, and not because it could not do its work */
      ck_assert (g_subprocess_wait (run.fixture->sorad, NULL, NULL));
      ck_assert (g_subprocess_get_if_signaled (run.fixture->sorad));
    }
  /* A call that fails ends no daemon that had its name; before, it may refuse to begin. */
  ck_assert_msg (alive || (kills && at > 0) || !run.up,
                 "%s at call %" G_GUINT64_FORMAT " ended the daemon", how, at);
  if (alive && !kills)
    assert_all_is_well (&run, TRUE);
  const guint64 calls = run.tally->calls;
  bus_fixture_kill_sorad (run.fixture);
  fault_assert_table_whole (run.fixture);

  bus_fixture_start_sorad (run.fixture, &calm);
  for (guint i = 1; i < N_JOBS; i++)
    if (!run.paths[i])
      {
        g_autofree char *again = text_of (i);
        g_autoptr (GError) error = NULL;
        run.paths[i] = fault_submit (run.fixture, again, &error);
        ck_assert_msg (run.paths[i] != NULL, "%s", error ? error->message : "");
      }
  bus_look_until (run.fixture, fault_all_over, run.fixture, "the end of all jobs");
  if (!run.deleted)
    { /* it may be gone although the answer never came */
      g_autoptr (GVariant) deletion
          = bus_call (run.fixture->connection, run.paths[N_JOBS - 1], JOB, "Delete", NULL, NULL);
      run.deleted = TRUE;
    }
  assert_all_is_well (&run, !kills);
  *told += run.refused + run.told;
  munmap (run.tally, sizeof *run.tally);
  for (guint i = 0; i < N_JOBS; i++)
    g_free (run.paths[i]);
  bus_fixture_free (run.fixture);
  return calls;
}

START_TEST (fault_at_each_call_loses_nothing)
{
  const char *word = g_getenv ("SORA_FAULT_STRIDE");
  const guint64 stride = MAX (word ? strtoull (word, NULL, 10) : 17, 1);
  const char *only = g_getenv ("SORA_FAULT_HOW");
  guint64 starting, ignored;
  guint n = 0, told = 0;
  if (only && !g_str_equal (only, ways[_i].how))
    return;
  const guint64 calls = disturb (_i, 0, &starting, &told);
  ck_assert_uint_gt (starting, 0);
  ck_assert_uint_gt (calls, starting);
  for (guint64 at = 1 + (guint)_i % stride; at <= calls; at += stride, n++)
    (void)disturb (_i, at, &ignored, &told);
  g_print ("%s at %u of %" G_GUINT64_FORMAT " calls, %" G_GUINT64_FORMAT
           " of them at the start: nothing lost, %u failures told\n",
           ways[_i].how, n, calls, starting, told);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("each-call");
  TCase *faults = tcase_create ("each-call");
  tcase_set_timeout (faults, 7200);
  tcase_add_loop_test (faults, fault_at_each_call_loses_nothing, 0, (int)G_N_ELEMENTS (ways));
  suite_add_tcase (suite, faults);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
