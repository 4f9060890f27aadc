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

/* -- Digests of models' files */

#define DIGEST_PLACE "sorad-users/%u/digests"

static GHashTable *
read_folder (const char *path)
{
  GHashTable *all = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autoptr (GDir) folder = g_dir_open (path, 0, NULL);
  const char *name;
  while (folder && (name = g_dir_read_name (folder)))
    {
      g_autofree char *file = g_build_filename (path, name, NULL);
      char *text = NULL;
      ck_assert (g_file_get_contents (file, &text, NULL, NULL));
      g_hash_table_insert (all, g_strdup (name), text);
    }
  return all;
}

static GHashTable *
users_digests (guint uid)
{
  g_autofree char *name = g_strdup_printf ("cache/" DIGEST_PLACE, uid);
  g_autofree char *path = path_in (name, NULL);
  return read_folder (path);
}

static void
assert_same_digests (GHashTable *a, GHashTable *b)
{
  GHashTableIter iter;
  gpointer name, digest;
  ck_assert_uint_eq (g_hash_table_size (a), g_hash_table_size (b));
  g_hash_table_iter_init (&iter, a);
  while (g_hash_table_iter_next (&iter, &name, &digest))
    ck_assert_str_eq (digest, g_hash_table_lookup (b, name) ?: "none");
}

/* What a stage of the caller's worker could have left there. */
static void
falsify (guint uid)
{
  g_autofree char *name = g_strdup_printf ("cache/" DIGEST_PLACE, uid);
  g_autofree char *path = path_in (name, NULL), *false_one = g_strnfill (64, '0');
  g_autoptr (GHashTable) all = users_digests (uid);
  GHashTableIter iter;
  gpointer file;
  g_hash_table_iter_init (&iter, all);
  while (g_hash_table_iter_next (&iter, &file, NULL))
    {
      g_autofree char *target = g_build_filename (path, file, NULL);
      ck_assert (g_file_set_contents (target, false_one, 64, NULL));
    }
}

/* The model as the clip names it, "small-a@" and 16 digits. */
static char *
named_model (BusFixture *fixture)
{
  gsize size;
  const char *taken;
  g_autofree char *clip = make_clip (fixture, "a red ball", 1, FALSE, &size, &taken);
  for (gsize i = 0; i + 24 <= size; i++)
    if (memcmp (clip + i, "small-a@", 8) == 0)
      return g_strndup (clip + i, 24);
  ck_abort_msg ("the clip names no model");
  return NULL;
}

/* A warm worker knows the digest of its model without asking anybody. */
static void
start_again (BusFixture **fixture)
{
  bus_fixture_free (*fixture);
  *fixture = start (TRUE, NULL);
}

static char *
daemons_digest (BusFixture *fixture)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *id = g_dbus_escape_object_path ("small-a");
  g_autofree char *path = g_strconcat (MANAGER_PATH "/models/", id, NULL);
  g_autoptr (GVariant) reply = bus_call (fixture->connection, path, "org.sorad.Sora1.Model",
                                         "GetDigest", NULL, &error);
  char *digest;
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  g_variant_get (reply, "(s)", &digest);
  return digest;
}

/* A false digest in one user's folder is that user's alone: neither another's clips nor the
 * daemon's answers know of it, and what the daemon has made goes before it. */
START_TEST (digests_of_one_user_are_nobody_elses)
{
  BusFixture *fixture = start (TRUE, NULL);
  g_autofree char *right = named_model (fixture);
  g_autoptr (GHashTable) own = users_digests (geteuid ());
  ck_assert_uint_ge (g_hash_table_size (own), G_N_ELEMENTS (files) - 1);
  g_autofree char *common = path_in ("cache/sorad", "digests");
  ck_assert (!g_file_test (common, G_FILE_TEST_EXISTS));

  falsify (geteuid ());
  start_again (&fixture);
  g_autofree char *wrong = named_model (fixture);
  ck_assert_str_ne (wrong, right);
  if (geteuid () == 0)
    {
      g_free (strangers_notes (fixture));
      g_autoptr (GHashTable) strangers = users_digests (65534);
      assert_same_digests (strangers, own);
    }
  else
    g_print ("not as root: what another user's worker keeps is not seen\n");

  g_autofree char *believed = path_in ("cache", "sorad-digests");
  g_autoptr (GHashTable) none = read_folder (believed);
  ck_assert_uint_eq (g_hash_table_size (none), 0);
  g_autofree char *digest = daemons_digest (fixture);
  ck_assert_msg (strncmp (digest, right + 8, 16) == 0, "%s, %s", digest, right);
  g_autoptr (GHashTable) made = read_folder (believed);
  assert_same_digests (made, own);
  struct stat st;
  ck_assert_int_eq (stat (believed, &st), 0);
  ck_assert_uint_eq (st.st_mode & 07777, 0700);
  start_again (&fixture);
  g_autofree char *mended = named_model (fixture);
  ck_assert_str_eq (mended, right);
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
  tcase_add_test (tests, digests_of_one_user_are_nobody_elses);
  tcase_add_test (tests, clear_a_sessions);
  suite_add_tcase (suite, tests);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
