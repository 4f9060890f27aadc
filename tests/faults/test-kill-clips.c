/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Clips whose workers, or whose daemon, are killed over and over at random moments of a job:
 * starting, loading, sampling, decoding, encoding.  Each acknowledged clip is there once, and its
 * MP4 the same to the byte as one that nobody disturbed; no result shows before it is whole, and no
 * process lives on that belongs to no daemon.
 *
 * SORA_FAULT_CLIP_KILLS is how many of each, SORA_FAULT_VICTIM=daemon or =worker takes one of them
 * alone, SORA_FAULT_SEED chooses other moments.
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/faults/fault-jobs.h"
#include "tests/faults/fault-processes.h"

#ifdef SORA_SANITIZERS
#define KILLS 6
#else
#define KILLS 20
#endif
#define N_CLIPS 2    /* under way at a time */
#define MAX_SIGNS 25 /* of progress, from one kill to the next; a clip gives some 40 */
#define MAX_US 20000 /* after the last of them */

static const BusSetup set_up = {
  .plugin_dir = ABS_BUILDDIR "/stage/plugins",
  .pipeline_dir = ABS_SRCDIR "/pipelines",
  .model_dir = ABS_SRCDIR "/tests/golden/models",
  .settings = "[Limits]\nKeptJobs=100000\n[Worker]\nAttempts=100\n",
};
static const char *const victims[] = { "daemon", "worker" };
static BusFixture *fixture;
static char *expected; /* SHA-256 */
static char *clips[N_CLIPS];
static guint submitted, finished, resumed, signs;
static char *progress; /* as it was at the last look */

static char *
submit (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *arguments = g_strdup_printf (
      "('text-to-video', {'prompt': <'a red ball'>, 'width': <32>, 'height': <32>, 'frames': <5>,"
      " 'steps': <30>, 'denoise.checkpoint-interval': <0.0>},"
      " {'seed': <uint64 1>, 'cache': <false>, 'models': <{'main': 'small-a'}>, 'idempotency-key': "
      "<'clip %u'>})",
      ++submitted);
  g_autoptr (GVariant) reply = bus_call (fixture->connection, MANAGER_PATH, MANAGER, "Submit",
                                         g_variant_new_parsed (arguments), &error);
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  char *job;
  g_variant_get (reply, "(o)", &job);
  return job;
}

static char *
digest_of (const char *job)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = bus_call (fixture->connection, job, JOB, "GetResult", NULL, &error);
  ck_assert_msg (result != NULL, "%s", error ? error->message : "");
  g_autoptr (GVariant) files = g_variant_get_child_value (result, 0);
  ck_assert_uint_eq (g_variant_n_children (files), 1);
  g_autoptr (GVariant) file = g_variant_get_child_value (files, 0);
  const char *name;
  ck_assert (g_variant_lookup (file, "name", "&s", &name));
  gsize size;
  g_autofree char *bytes = bus_read_result (fixture->connection, job, name, &size);
  return g_compute_checksum_for_data (G_CHECKSUM_SHA256, (const guchar *)bytes, size);
}

/* TRUE: it is done, and right.  What is not done shows no result. */
static gboolean
look_at (const char *job)
{
  g_autofree char *state = bus_get_string (fixture->connection, job, "State");
  if (g_str_equal (state, "queued") || g_str_equal (state, "running"))
    {
      g_autoptr (GVariant) result
          = bus_call (fixture->connection, job, JOB, "GetResult", NULL, NULL);
      if (result == NULL)
        return FALSE;
      g_free (state);
      state = bus_get_string (fixture->connection, job, "State");
    }
  g_autofree char *text = bus_get_string (fixture->connection, job, "Error");
  ck_assert_msg (g_str_equal (state, "done"), "%s: %s", state, text);
  g_autofree char *sha256 = digest_of (job);
  ck_assert_str_eq (sha256, expected);
  return TRUE;
}

static void
count_finished (const char *job)
{
  g_autoptr (GVariant) notes = bus_get (fixture->connection, job, JOB, "Notes");
  g_autofree char *all = g_variant_print (notes, FALSE);
  resumed += strstr (all, "going on after step") != NULL;
  finished++;
}

/* Each is there once, and no other is. */
static void
look_at_all (void)
{
  for (guint i = 0; i < N_CLIPS; i++)
    if (look_at (clips[i]))
      {
        count_finished (clips[i]);
        g_free (clips[i]);
        clips[i] = submit ();
      }
  g_autoptr (GVariant) jobs = fault_list_jobs (fixture, "@a{sv} {}");
  ck_assert_uint_eq (g_variant_n_children (jobs), submitted);
}

/* Each look is some round trips to the daemon.  Without a sign of progress it would be the test
 * that stands in the way of it, on a slow machine: nothing would get further than to its start. */
static gboolean
have_signs (gpointer wanted)
{
  g_autoptr (GString) now = g_string_new (NULL);
  look_at_all ();
  for (guint i = 0; i < N_CLIPS; i++)
    {
      g_autofree char *stage = bus_get_string (fixture->connection, clips[i], "Stage");
      g_autoptr (GVariant) step = bus_get (fixture->connection, clips[i], JOB, "Step");
      g_string_append_printf (now, "%s %s %u,", clips[i], stage, g_variant_get_uint32 (step));
    }
  if (g_strcmp0 (now->str, progress) != 0)
    signs++;
  g_free (progress);
  progress = g_strdup (now->str);
  return signs > *(const guint *)wanted;
}

/* As bus_look_until(), for what takes a worker's start and some sampling on a slow machine. */
static void
look_until (gboolean (*done) (gpointer data), gpointer data, const char *what)
{
  const gint64 deadline = g_get_monotonic_time () + 10 * BUS_DEADLINE_MS * G_GINT64_CONSTANT (1000);
  while (!done (data))
    ck_assert_msg (g_get_monotonic_time () < deadline, "%s did not come", what);
}

static void
kill_one (gboolean daemon, GRand *random)
{
  g_autofree char *mark = g_strdup (fixture->mark);
  if (!daemon)
    {
      fault_kill_worker (fixture, random);
      return;
    }
  bus_fixture_kill_sorad (fixture);
  bus_fixture_start_sorad (fixture, &set_up);
  fault_assert_ended (fixture, mark);
}

START_TEST (clips_are_the_same_after_many_kills)
{
  const guint kills = fault_number ("SORA_FAULT_CLIP_KILLS", KILLS);
  g_autoptr (GRand) random = fault_random ();
  fixture = bus_fixture_new (&set_up);
  g_autofree char *calm = submit ();
  g_autofree char *state = bus_wait (fixture->connection, calm);
  ck_assert_str_eq (state, "done");
  expected = digest_of (calm);
  for (guint i = 0; i < N_CLIPS; i++)
    clips[i] = submit ();
  /* Of so few it may be that none hit a sampler that had kept anything: then more. */
  for (guint i = 0; i < kills || (resumed == 0 && i < 20 * KILLS); i++)
    {
      guint wanted = signs + (guint)g_rand_int_range (random, 0, MAX_SIGNS);
      look_until (have_signs, &wanted, "progress of a clip");
      gint64 moment = g_get_monotonic_time () + g_rand_int_range (random, 0, MAX_US);
      while (g_get_monotonic_time () < moment) /* the moment is the test: nothing to wait for */
        ;
      kill_one (g_str_equal (victims[_i], "daemon"), random);
    }
  look_until (fault_all_over, fixture, "the end of all clips");
  for (guint i = 0; i < N_CLIPS; i++)
    {
      ck_assert (look_at (clips[i]));
      count_finished (clips[i]);
      g_free (clips[i]);
    }
  fault_assert_nothing_left (fixture);
  fault_assert_no_orphans (fixture);
  ck_assert_uint_eq (finished + 1, submitted);
  ck_assert_uint_gt (resumed, 0);
  g_print ("%u kills of the %s, %u clips, %u of them from a checkpoint: none lost, all the same\n",
           kills, victims[_i], finished, resumed);
  g_free (expected);
  g_free (progress);
  bus_fixture_free (fixture);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("kill-clips");
  TCase *kills = tcase_create ("kill-clips");
  tcase_set_timeout (kills, 7200);
  fault_add_victims (kills, clips_are_the_same_after_many_kills, victims,
                     (int)G_N_ELEMENTS (victims));
  suite_add_tcase (suite, kills);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
