/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What stages gave, kept for later jobs: each part of the recipe makes another entry and nothing
 * else does, who only led to what is there is not run, and what is damaged, somebody's own or
 * changed meanwhile is made anew.
 */
#include "config.h"
#include "runner-test.h"
#include "sora-cache.h"
#include <fcntl.h>
#include <unistd.h>

#define HEAD "[Models]\nmain=text_encoder\n"
#define FIRST "[Stage first]\nPlugin=stages/keep-source\nModel=main\n"
#define SECOND "[Stage second]\nPlugin=stages/keep\nModel=main\nInput.a=first:out\n"
#define THIRD                                                                                      \
  "[Stage third]\nPlugin=stages/keep\nModel=main\nInput.a=second:out\nInput.b=first:out\n"
#define SINK "[Stage sink]\nPlugin=stages/sink\nInput.in=third:out\n"
#define CHAIN HEAD FIRST SECOND THIRD SINK
#define PATIENCE (100 * G_USEC_PER_SEC)
#define ALL "first second third"
#define LAST "third!"

static char *folder;

static void
setup (void)
{
  fixture_setup ();
  folder = g_build_filename (fixture.dir, "cache", NULL);
  fixture_make_model ("small", "text_encoder");
  g_unsetenv ("SORA_CACHE_MAX");
}

static void
teardown (void)
{
  fixture_teardown ();
  g_free (folder);
}

static guint
entries (void)
{
  guint64 bytes;
  return sora_cache_measure (folder, &bytes);
}

/* One job: the stages that ran, and with a mark of exclamation those that were taken from the
 * cache. */
static char *
job (SoraRequest *request, int sum, Record *record)
{
  static const char *const names[] = { "first", "second", "zweite", "third" };
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraRunner) runner = runner_new (request, record);
  g_autofree char *result = g_build_filename (fixture.out, "sum.txt", NULL),
                  *expected = g_strdup_printf ("1 rows, sum %d, fps 0\n", sum);
  GString *said = g_string_new (NULL);

  (void)unlink (result);
  sora_runner_set_cache (runner, folder);
  ck_assert_msg (sora_runner_run (runner, &error), "%s", error != NULL ? error->message : "");
  g_autofree char *text = read_result ("sum.txt");
  ck_assert_str_eq (text, expected);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *made
          = g_strconcat (names[i], ": made", NULL),
          *taken = g_strconcat (names[i], ": it is taken from the cache", NULL),
          *left_out
          = g_strconcat (names[i], ": it is not run: what would come of it is there already", NULL);
      int told = record_has_log (record, made) + record_has_log (record, taken)
                 + record_has_log (record, left_out);
      ck_assert_msg (told == (strstr (request->pipeline_text, names[i]) != NULL),
                     "'%s' says %d things", names[i], told);
      if (record_has_log (record, made))
        g_string_append_printf (said, "%s%s", said->len > 0 ? " " : "", names[i]);
      if (record_has_log (record, taken))
        g_string_append_printf (said, "%s%s!", said->len > 0 ? " " : "", names[i]);
    }
  return g_string_free (said, FALSE);
}

static void
expect (SoraRequest *request, int sum, const char *stages)
{
  g_autoptr (Record) record = record_new ();
  g_autofree char *said = job (request, sum, record);
  ck_assert_str_eq (said, stages);
}

/* Files that were changed just now may change again unseen: nothing is kept of them.  Waits until
 * they are old enough, and all is there. */
static void
keep_all (SoraRequest *request, int sum)
{
  const gint64 deadline = g_get_monotonic_time () + PATIENCE;
  for (g_autofree char *said = NULL; g_strcmp0 (said, LAST) != 0;)
    {
      g_autoptr (Record) record = record_new ();
      ck_assert_msg (g_get_monotonic_time () < deadline, "nothing is kept");
      g_free (said);
      said = job (request, sum, record);
    }
}

static void
keep_chain (void)
{
  g_autoptr (SoraRequest) request = request_new (CHAIN);
  keep_all (request, 4);
  ck_assert_uint_eq (entries (), 3);
}

START_TEST (each_part_of_a_recipe)
{
  static const struct
  {
    const char *pipeline, *name, *value;
    guint64 seed;
    int sum;
    const char *stages; /* that run, or are taken */
  } rows[] = {
    { CHAIN, "first.value", "5", 42, 14, ALL },
    { CHAIN, "second.value", "5", 42, 9, "first! second third" },
    { CHAIN, "third.value", "5", 42, 9, "first! second! third" },
    { CHAIN, "first.value", "0", 43, 4, "first! second third" },
    /* The id, of which random numbers come; and which of the ports it is. */
    { HEAD FIRST
      "[Stage zweite]\nPlugin=stages/keep\nModel=main\nInput.a=first:out\n"
      "[Stage third]\nPlugin=stages/keep\nModel=main\nInput.a=zweite:out\nInput.b=first:out\n" SINK,
      "first.value", "0", 42, 4, "first! zweite third" },
    { HEAD FIRST SECOND
      "[Stage third]\nPlugin=stages/keep\nModel=main\nInput.b=second:out\nInput.a=first:out\n" SINK,
      "first.value", "0", 42, 4, "first! second! third" },
    { HEAD FIRST SECOND "[Stage third]\nPlugin=stages/keep\nModel=main\nInput.a=second:out\n" SINK,
      "first.value", "0", 42, 3, "second! third" },
    /* What is none of them: a stage behind them. */
    { CHAIN, "sink.limit", "1", 42, 4, LAST },
  };
  keep_chain ();
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (SoraRequest) request = request_new (rows[i].pipeline);
      request_set (request, rows[i].name, rows[i].value);
      request->seed = rows[i].seed;
      expect (request, rows[i].sum, rows[i].stages);
      expect (request, rows[i].sum, LAST);
      request->threads = 2;
      expect (request, rows[i].sum, LAST);
    }
}
END_TEST

START_TEST (models_files)
{
  g_autoptr (SoraRequest) request = request_new (CHAIN);
  g_autofree char *config
      = g_build_filename (fixture.dir, "models/small/text_encoder/config.json", NULL);
  keep_chain ();
  ck_assert_int_eq (utimensat (AT_FDCWD, config, NULL, 0), 0);
  expect (request, 4, ALL);
  keep_all (request, 4);
  ck_assert_uint_eq (entries (), 6);
}
END_TEST

/* A folder of its own for the plugin, with so many bytes behind the module that nobody reads. */
static void
copy_plugin (const char *name, gsize more)
{
  g_autofree char *dir = g_build_filename (fixture.dir, name, NULL),
                  *to = g_build_filename (dir, "stages.so", NULL),
                  *manifest = g_build_filename (dir, "stages.plugin", NULL),
                  *from = g_build_filename (fixture.dir, "plugins/stages.so", NULL),
                  *from_manifest = g_build_filename (fixture.dir, "plugins/stages.plugin", NULL),
                  *models = g_build_filename (fixture.dir, "models", NULL), *bytes = NULL,
                  *text = NULL;
  const char *dirs[] = { dir, NULL }, *none[] = { NULL }, *model_dirs[] = { models, NULL };
  gsize size;
  ck_assert (g_file_get_contents (from, &bytes, &size, NULL));
  ck_assert (g_file_get_contents (from_manifest, &text, NULL, NULL));
  g_autofree char *longer = g_malloc0 (size + more);
  memcpy (longer, bytes, size);
  (void)g_mkdir (dir, 0700);
  ck_assert (g_file_set_contents (to, longer, (gssize)(size + more), NULL));
  ck_assert (g_file_set_contents (manifest, text, -1, NULL));
  g_clear_pointer (&fixture.environment, sora_environment_free);
  fixture.environment = sora_environment_new_for_dirs (dirs, none, model_dirs);
}

START_TEST (plugins_module)
{
  g_autoptr (SoraRequest) request = request_new (CHAIN);
  keep_chain ();
  copy_plugin ("same", 0);
  expect (request, 4, LAST);
  copy_plugin ("longer", 1);
  expect (request, 4, ALL);
  expect (request, 4, LAST);
  /* The process has the one that was there: what it gives is not what this file would. */
  copy_plugin ("longer", 0);
  expect (request, 4, ALL);
  copy_plugin ("same", 0);
  expect (request, 4, ALL);
  fixture_reload ();
  expect (request, 4, LAST);
}
END_TEST

/* What comes of what is in no recipe. */
START_TEST (seed_and_info)
{
  g_autoptr (SoraRequest) seeded = request_new (CHAIN), seeded_more = request_new (CHAIN),
                          informed = request_new (CHAIN);
  keep_chain ();
  /* The key of a stage without inputs has no seed, those of its readers have. */
  request_set (seeded, "first.rule", "'seed'");
  expect (seeded, 4 + 2 * 42, ALL);
  expect (seeded, 4 + 2 * 42, LAST);
  request_set (seeded_more, "first.rule", "'seed'");
  request_set (seeded_more, "third.value", "1");
  expect (seeded_more, 5 + 2 * 42, "first second! third");
  seeded->seed = 43;
  expect (seeded, 4 + 2 * 43, ALL);
  /* What a job is told of itself goes into nothing that is kept. */
  request_set (informed, "second.rule", "'info'");
  guint before = entries ();
  expect (informed, 4, "first! second third");
  expect (informed, 4, "first! second third");
  ck_assert_uint_eq (entries (), before);
}
END_TEST

START_TEST (not_wanted)
{
  g_autoptr (SoraRequest) request = request_new (CHAIN);
  keep_chain ();
  request->no_cache = TRUE;
  expect (request, 4, ALL);
  request_set (request, "first.value", "7");
  expect (request, 18, ALL);
  request->no_cache = FALSE;
  g_free (request->metadata);
  request->metadata = g_strdup ("none");
  expect (request, 18, ALL);
  g_free (request->metadata);
  request->metadata = g_strdup ("minimal");
  g_setenv ("SORA_CACHE_MAX", "0", TRUE);
  expect (request, 18, ALL);
  ck_assert_uint_eq (entries (), 3);
  g_unsetenv ("SORA_CACHE_MAX");
  expect (request, 18, ALL);
  expect (request, 18, LAST);
}
END_TEST

/* A byte of each entry is another: a warning, and it is made anew. */
START_TEST (damage)
{
  g_autoptr (SoraRequest) request = request_new (CHAIN);
  g_autoptr (Record) record = record_new ();
  keep_chain ();
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  for (const char *name; (name = g_dir_read_name (dir)) != NULL;)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL), *bytes = NULL;
      gsize size;
      if (!g_str_has_suffix (name, ".checkpoint"))
        continue;
      ck_assert (g_file_get_contents (path, &bytes, &size, NULL));
      bytes[size - 9] ^= 1;
      ck_assert (g_file_set_contents (path, bytes, (gssize)size, NULL));
    }
  g_autofree char *said = job (request, 4, record);
  ck_assert_str_eq (said, ALL);
  ck_assert (record_has_log (
      record, "third: what an earlier job left in the cache is made anew: it is damaged"));
  expect (request, 4, LAST);
  ck_assert_uint_eq (entries (), 3);
}
END_TEST

/* The model's files change while the job runs: what it gives is kept under no name, not even the
 * old one. */
START_TEST (changed_meanwhile)
{
  g_autoptr (SoraRequest) request = request_new (CHAIN);
  g_autoptr (Record) record = record_new ();
  keep_chain ();
  request_set (request, "first.value", "1");
  record->create_at_log
      = g_build_filename (fixture.dir, "models/small/text_encoder/config.json", NULL);
  g_autofree char *said = job (request, 6, record);
  ck_assert_str_eq (said, ALL);
  ck_assert_ptr_null (record->create_at_log);
  ck_assert_uint_eq (entries (), 3);
}
END_TEST

/* Each stage reads the one before it twice: nobody walks all of the 2^30 ways through such a graph.
 */
START_TEST (many_ways)
{
  const gint64 deadline = g_get_monotonic_time () + PATIENCE;
  GString *text = g_string_new (HEAD FIRST);
  for (int i = 0; i < 30; i++)
    {
      g_autofree char *before = i == 0 ? g_strdup ("first") : g_strdup_printf ("s%d", i - 1);
      g_string_append_printf (
          text, "[Stage s%d]\nPlugin=stages/keep\nModel=main\nInput.a=%s:out\nInput.b=%s:out\n", i,
          before, before);
    }
  g_string_append (text, "[Stage sink]\nPlugin=stages/sink\nInput.in=s29:out\n");
  g_autoptr (SoraRequest) request = request_new (text->str);
  g_string_free (text, TRUE);
  for (gboolean taken = FALSE; !taken;)
    {
      g_autoptr (Record) record = record_new ();
      ck_assert_msg (g_get_monotonic_time () < deadline, "nothing is kept");
      g_free (job (request, G_MAXINT32, record));
      taken = record_has_log (record, "s29: it is taken from the cache");
      ck_assert (!taken || !record_has_log (record, "s28: made"));
    }
  ck_assert_uint_eq (entries (), 31);
}
END_TEST

int
main (void)
{
  TCase *tcase = tcase_create ("what stages gave");
  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_set_timeout (tcase, 240);
  tcase_add_test (tcase, each_part_of_a_recipe);
  tcase_add_test (tcase, models_files);
  tcase_add_test (tcase, plugins_module);
  tcase_add_test (tcase, seed_and_info);
  tcase_add_test (tcase, not_wanted);
  tcase_add_test (tcase, damage);
  tcase_add_test (tcase, changed_meanwhile);
  tcase_add_test (tcase, many_ways);
  Suite *suite = suite_create ("runner-cache");
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
