/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What stages gave, behind a service: a second job with the same prompt takes the embedding that
 * the first one's worker kept, or the latents where it asks for the same ones, another worker's job
 * too, and the clips are the same to the byte; a service for all users keeps each user's apart.
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus-fixture.h"
#include "dbus/sora-bus-error.h"

#define MODEL ABS_SRCDIR "/tests/golden/models/small-a"
#define TEXT_TAKEN "stage 'text': it is taken from the cache"
#define LATENTS_TAKEN "stage 'denoise': it is taken from the cache"

static const char *const files[]
    = { "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/spiece.model",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
        "transformer/diffusion_pytorch_model-00002-of-00002.safetensors",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors" };

static char *dir;   /* models/small-a, and cache */
static char *level; /* of the last job's worker */

static char *
path_in (const char *first, const char *second)
{
  return g_build_filename (dir, first, second, NULL);
}

/* Files that were made just now may still change: they count two seconds later. */
static gboolean
is_settled (gpointer data)
{
  const struct stat *last = data;
  const gint64 ns = g_get_real_time () * 1000;
  return ns - ((gint64)last->st_ctim.tv_sec * 1000000000 + last->st_ctim.tv_nsec) > 2500000000;
}

static gboolean
on_tick (gpointer unused)
{
  return G_SOURCE_CONTINUE; /* wakes bus_wait_until */
}

static void
setup (void)
{
  g_autoptr (GError) error = NULL;
  struct stat last = { 0 };
  dir = g_dir_make_tmp ("sora-embedding-XXXXXX", NULL);
  ck_assert_ptr_nonnull (dir);
  for (gsize i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *from = g_build_filename (MODEL, files[i], NULL);
      g_autofree char *to = path_in ("models/small-a", files[i]);
      g_autofree char *folder = g_path_get_dirname (to), *bytes = NULL;
      gsize size;
      ck_assert_int_eq (g_mkdir_with_parents (folder, 0755), 0);
      ck_assert_msg (g_file_get_contents (from, &bytes, &size, &error)
                         && g_file_set_contents (to, bytes, (gssize)size, &error),
                     "%s", error ? error->message : "");
      ck_assert_int_eq (stat (to, &last), 0);
    }
  const guint tick = g_timeout_add (100, on_tick, NULL);
  bus_wait_until (is_settled, &last, "the age of the model's files");
  g_source_remove (tick);
}

static void
teardown (void)
{
  bus_remove_tree (dir);
  g_free (dir);
  g_clear_pointer (&level, g_free);
}

static BusFixture *
start (gboolean system, const char *settings)
{
  g_autofree char *models = path_in ("models", NULL), *cache = path_in ("cache", NULL);
  g_autofree char *home = g_strconcat ("XDG_CACHE_HOME=", cache, NULL);
  const char *const environment[] = { home, "SORA_CACHE_MAX=", NULL };
  return bus_fixture_new (&(BusSetup){ .plugin_dir = ABS_BUILDDIR "/stage/plugins",
                                       .pipeline_dir = ABS_SRCDIR "/pipelines",
                                       .model_dir = models,
                                       .settings = settings,
                                       .environment = environment,
                                       .system = system });
}

/* A clip of that prompt and seed, with the cache or without; what was taken is told. */
static char *
make_clip (BusFixture *fixture, const char *prompt, guint64 seed, gboolean cache, gsize *size,
           const char **taken)
{
  GDBusConnection *bus = fixture->connection;
  static const char *const counts[] = { "width", "height", "frames", "steps" };
  static const gint64 values[] = { 32, 32, 5, 1 };
  g_autoptr (GError) error = NULL;
  GVariantDict parameters;
  g_variant_dict_init (&parameters, NULL);
  g_variant_dict_insert (&parameters, "prompt", "s", prompt);
  g_variant_dict_insert (&parameters, "layout", "s", "sheet");
  for (gsize i = 0; i < G_N_ELEMENTS (counts); i++)
    g_variant_dict_insert (&parameters, counts[i], "x", values[i]);
  GVariantDict options;
  g_variant_dict_init (&options, NULL);
  g_variant_dict_insert (&options, "seed", "t", seed);
  if (!cache)
    g_variant_dict_insert (&options, "cache", "b", FALSE);
  g_autoptr (GVariant) reply
      = bus_call (bus, MANAGER_PATH, MANAGER, "Submit",
                  g_variant_new ("(s@a{sv}@a{sv})", "text-to-frames",
                                 g_variant_dict_end (&parameters), g_variant_dict_end (&options)),
                  &error);
  const char *job;
  ck_assert_msg (reply != NULL, "Submit: %s", error ? error->message : "");
  g_variant_get (reply, "(&o)", &job);
  /* Longer than the fixture waits: with sanitizers a clip takes its time. */
  g_autoptr (GVariant) end
      = g_dbus_connection_call_sync (bus, SORA_BUS_NAME, job, JOB, "Wait", NULL, NULL,
                                     G_DBUS_CALL_FLAGS_NONE, 4 * BUS_DEADLINE_MS, NULL, &error);
  ck_assert_msg (end != NULL, "Wait: %s", error ? error->message : "");
  const char *state;
  g_variant_get (end, "(&s)", &state);
  g_autofree char *why = bus_get_string (bus, job, "Error");
  ck_assert_msg (g_str_equal (state, "done"), "%s: %s", state, why);
  g_free (level);
  level = bus_get_string (bus, job, "SandboxLevel");
  g_autoptr (GVariant) notes = bus_get (bus, job, JOB, "Notes");
  g_autofree const char **said = g_variant_get_strv (notes, NULL);
  *taken = g_strv_contains (said, TEXT_TAKEN)      ? "embedding"
           : g_strv_contains (said, LATENTS_TAKEN) ? "latents"
                                                   : "nothing";
  return bus_read_result (bus, job, NULL, size);
}

START_TEST (second_job_takes_what_the_first_gave)
{
  static const struct
  {
    const char *prompt;
    guint64 seed;
    gboolean cache;
    const char *taken;
    int same; /* the clip whose bytes it has */
  } jobs[] = {
    { "a red ball", 1, TRUE, "nothing", 0 },  { "a red ball", 1, TRUE, "latents", 0 },
    { "a blue ball", 1, TRUE, "nothing", 2 }, { "a red ball", 2, TRUE, "embedding", 3 },
    { "a red ball", 1, FALSE, "nothing", 0 }, { "a red ball", 1, TRUE, "latents", 0 },
    { "a red ball", 2, TRUE, "latents", 3 },
  };
  gsize sizes[G_N_ELEMENTS (jobs)];
  char *clips[G_N_ELEMENTS (jobs)];
  BusFixture *fixture = start (FALSE, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (jobs); i++)
    {
      const char *taken;
      if (i == 5) /* another daemon, another worker, the same user */
        {
          bus_fixture_free (fixture);
          fixture = start (FALSE, NULL);
        }
      clips[i]
          = make_clip (fixture, jobs[i].prompt, jobs[i].seed, jobs[i].cache, &sizes[i], &taken);
      ck_assert_msg (g_str_equal (taken, jobs[i].taken), "job %d took %s, expected %s", (int)i,
                     taken, jobs[i].taken);
      ck_assert_uint_eq (sizes[i], sizes[jobs[i].same]);
      ck_assert_mem_eq (clips[i], clips[jobs[i].same], sizes[i]);
      for (gsize k = 0; k < i; k++)
        ck_assert_msg (jobs[k].same == jobs[i].same || sizes[k] != sizes[i]
                           || memcmp (clips[k], clips[i], sizes[i]) != 0,
                       "jobs %d and %d give the same clip", (int)k, (int)i);
    }
  bus_fixture_free (fixture);
  for (gsize i = 0; i < G_N_ELEMENTS (jobs); i++)
    g_free (clips[i]);
}
END_TEST

static void
expect_taken (BusFixture *fixture, const char *expected)
{
  gsize size;
  const char *taken;
  g_free (make_clip (fixture, "a red ball", 1, TRUE, &size, &taken));
  ck_assert_str_eq (taken, expected);
}

/* Of the user @uid, whose folder nobody else may look into. */
static void
assert_folder (guint uid, gboolean is_there)
{
  g_autofree char *name = g_strdup_printf ("cache/sorad-users/%u/stages", uid);
  g_autofree char *path = path_in (name, NULL), *parent = g_path_get_dirname (path);
  struct stat st;
  ck_assert_int_eq (stat (path, &st) == 0, is_there);
  if (!is_there)
    return;
  ck_assert_uint_eq (st.st_mode & 07777, 0700);
  ck_assert_int_eq (stat (parent, &st), 0);
  ck_assert_uint_eq (st.st_mode & 07777, 0700);
}

/* What the same clip's job notes when another user asks for it. */
static char *
strangers_notes (BusFixture *fixture)
{
  g_autoptr (GError) error = NULL;
  char *said = NULL;
  g_autoptr (GSubprocess) stranger = g_subprocess_new (
      G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error, ABS_BUILDDIR "/tests/bus/stranger", fixture->address,
      "clip", "a red ball", NULL);
  ck_assert_msg (stranger != NULL, "%s", error ? error->message : "");
  ck_assert (g_subprocess_communicate_utf8 (stranger, NULL, NULL, &said, NULL, NULL));
  ck_assert (g_subprocess_get_successful (stranger));
  ck_assert_msg (g_str_has_prefix (said, "('done'"), "%s", said);
  return said;
}

static void
expect_stranger (BusFixture *fixture, gboolean taken)
{
  g_autofree char *said = strangers_notes (fixture);
  ck_assert_msg ((strstr (said, LATENTS_TAKEN) != NULL) == taken
                     && strstr (said, TEXT_TAKEN) == NULL,
                 "%s", said);
}

/* Whoever asks could else learn what others asked for, and a worker could give others what it
 * likes. */
START_TEST (service_of_all_keeps_each_users_apart)
{
  g_autoptr (GError) error = NULL;
  BusFixture *fixture = start (TRUE, NULL);
  expect_taken (fixture, "nothing");
  /* Where a worker can read all that sorad can, nothing is kept. */
  const gboolean apart = !g_str_equal (level, "basic");
  expect_taken (fixture, apart ? "latents" : "nothing");
  if (apart)
    assert_folder (geteuid (), TRUE);
  if (geteuid () == 0)
    {
      assert_folder (65534, FALSE);
      expect_stranger (fixture, FALSE);
      expect_stranger (fixture, apart);
      expect_taken (fixture, apart ? "latents" : "nothing");
    }
  else
    g_print ("not as root: what another user's jobs take is not seen\n");

  /* The caller's, and nobody else's. */
  g_autoptr (GVariant) reply
      = bus_call (fixture->connection, MANAGER_PATH, MANAGER, "ClearCache", NULL, &error);
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  expect_taken (fixture, "nothing");
  if (geteuid () == 0)
    expect_stranger (fixture, apart);
  bus_fixture_free (fixture);

  fixture = start (TRUE, NULL);
  expect_taken (fixture, apart ? "latents" : "nothing");
  bus_fixture_free (fixture);
  fixture = start (TRUE, "[Worker]\nSandbox=basic\n");
  expect_taken (fixture, "nothing");
  bus_fixture_free (fixture);
  fixture = start (TRUE, "[Limits]\nCacheBytes=0\n");
  expect_taken (fixture, "nothing");
  bus_fixture_free (fixture);
}
END_TEST

START_TEST (clear_a_sessions)
{
  g_autoptr (GError) error = NULL;
  BusFixture *fixture = start (FALSE, NULL);
  expect_taken (fixture, "nothing");
  expect_taken (fixture, "latents");
  g_autoptr (GVariant) reply
      = bus_call (fixture->connection, MANAGER_PATH, MANAGER, "ClearCache", NULL, &error);
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  expect_taken (fixture, "nothing");
  bus_fixture_free (fixture);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("embedding");
  TCase *tests = tcase_create ("embedding");
  tcase_set_timeout (tests, 240);
  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, second_job_takes_what_the_first_gave);
  tcase_add_test (tests, service_of_all_keeps_each_users_apart);
  tcase_add_test (tests, clear_a_sessions);
  suite_add_tcase (suite, tests);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
