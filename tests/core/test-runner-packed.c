/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Packed weights through the plugin ABI: made once, mapped by later jobs, made anew when anything of
 * theirs has changed; and what a stage may not do with them.
 */
#include "config.h"
#include "runner-test.h"
#include "sora-cache.h"
#include <fcntl.h>
#include <unistd.h>

#define PACK                                                                                       \
  "[Models]\nmain=text_encoder\n[Stage p]\nPlugin=stages/pack\nModel=main\n"                        \
  "[Stage sink]\nPlugin=stages/sink\nInput.in=p:out\n"
#define PATIENCE (20 * G_USEC_PER_SEC)

static char *folder;

static void
setup (void)
{
  fixture_setup ();
  folder = g_build_filename (fixture.dir, "packed", NULL);
  fixture_make_model ("small", "text_encoder");
  g_unsetenv ("SORA_PACKED_MAX");
}

static void
teardown (void)
{
  fixture_teardown ();
  g_free (folder);
}

static SoraRequest *
asking (const char *rule, const char *key)
{
  SoraRequest *request = request_new (PACK);
  g_autofree char *quoted = g_strdup_printf ("'%s'", rule);
  request_set (request, "p.rule", quoted);
  request_set (request, "p.key", key);
  return request;
}

static void
prepare (SoraRunner *runner, SoraPackedUse use)
{
  g_autofree char *sum = g_build_filename (fixture.out, "sum.txt", NULL);
  (void)unlink (sum);
  sora_runner_set_packed (runner, folder, use);
}

/* One job of a process that begins without warm instances: what the stage said.  Its numbers are right. */
static char *
job (const char *rule, const char *key, SoraPackedUse use, const char *note)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraRequest) request = asking (rule, key);
  g_autoptr (Record) record = record_new ();
  g_autoptr (SoraRunner) runner = runner_new (request, record);

  prepare (runner, use);
  sora_runner_set_single (runner, TRUE); /* which waits for what is written */
  ck_assert_msg (sora_runner_run (runner, &error), "%s", error != NULL ? error->message : "");
  g_autofree char *text = read_result ("sum.txt");
  ck_assert_msg (strstr (text, "sum 10,") != NULL, "it is %s", text);
  if (note != NULL)
    {
      gboolean noted = FALSE;
      for (guint i = 0; i < record->logs->len; i++)
        noted |= strstr (g_ptr_array_index (record->logs, i), note) != NULL;
      ck_assert_msg (noted, "no note '%s' among %u", note, record->logs->len);
    }
  return g_strdup (record_has_log (record, "p: mapped") ? "mapped"
                   : record_has_log (record, "p: made") ? "made"
                                                        : "silent");
}

#define KEEP SORA_PACKED_KEEP
static void
expect (const char *key, SoraPackedUse use, const char *expected, const char *note)
{
  g_autofree char *said = job ("none", key, use, note);
  ck_assert_str_eq (said, expected);
}

/* Files that were changed just now may change again unseen: nothing is kept of them.  Waits until they are old
 * enough, and something is. */
static void
keep_one (const char *key)
{
  const gint64 deadline = g_get_monotonic_time () + PATIENCE;
  g_autoptr (GPtrArray) before = sora_packed_list (folder);
  for (guint now = before->len; now == before->len;)
    {
      ck_assert_msg (g_get_monotonic_time () < deadline, "nothing was kept");
      g_free (job ("none", key, KEEP, NULL));
      g_autoptr (GPtrArray) list = sora_packed_list (folder);
      now = list->len;
    }
}

START_TEST (made_once)
{
  expect ("1", KEEP, "made", NULL); /* of a file that is too young */
  keep_one ("1");
  expect ("1", KEEP, "mapped", NULL);
  expect ("1", SORA_PACKED_SHARE, "mapped", NULL);
  expect ("2", KEEP, "made", NULL);
  expect ("2", KEEP, "mapped", NULL);
  expect ("1", KEEP, "mapped", NULL);
  g_autoptr (GPtrArray) list = sora_packed_list (folder);
  ck_assert_uint_eq (list->len, 2);
  ck_assert_str_eq (((SoraPackedFile *)list->pdata[0])->label, "pack: text_encoder of small");
  ck_assert (sora_packed_clear (folder, NULL));
  expect ("1", KEEP, "made", NULL);
}
END_TEST

/* Another file of the component, with the same bytes. */
START_TEST (other_files)
{
  g_autofree char *config
      = g_build_filename (fixture.dir, "models/small/text_encoder/config.json", NULL);
  keep_one ("1");
  ck_assert_int_eq (utimensat (AT_FDCWD, config, NULL, 0), 0);
  expect ("1", KEEP, "made", NULL);
  keep_one ("1");
  expect ("1", KEEP, "mapped", NULL);
}
END_TEST

/* A folder that many share: read, if root wrote it, and never written. */
START_TEST (read_only)
{
  keep_one ("1");
  if (geteuid () == 0)
    expect ("1", SORA_PACKED_READ, "mapped", NULL);
  else
    expect ("1", SORA_PACKED_READ, "made", "packed weights are not used: ");
  expect ("2", SORA_PACKED_READ, "made", NULL);
  expect ("2", SORA_PACKED_READ, "made", NULL);
  g_autoptr (GPtrArray) list = sora_packed_list (folder);
  ck_assert_uint_eq (list->len, 1);
}
END_TEST

START_TEST (warm_instances)
{
  keep_one ("1");
  for (int i = 0; i < 3; i++)
    {
      g_autoptr (SoraRequest) request = asking ("none", "1");
      g_autoptr (Record) record = record_new ();
      g_autoptr (SoraRunner) runner = runner_new (request, record);
      prepare (runner, KEEP);
      ck_assert (sora_runner_run (runner, NULL));
      ck_assert (record_has_log (record, i == 0 ? "p: mapped" : "p: warm"));
    }
}
END_TEST

/* What cannot be kept is told, and the job goes on. */
START_TEST (not_kept)
{
  keep_one ("1");
  g_setenv ("SORA_PACKED_MAX", "100", TRUE);
  expect ("2", KEEP, "made", "packed weights are not kept: 4.0 KiB is more than the 100 bytes");
  g_setenv ("SORA_PACKED_MAX", "a lot", TRUE);
  expect ("2", KEEP, "made", "packed weights are not kept: SORA_PACKED_MAX is 'a lot'");
  g_unsetenv ("SORA_PACKED_MAX");
  ck_assert (sora_packed_clear (folder, NULL));
  ck_assert_int_eq (g_rmdir (folder), 0);
  ck_assert (g_file_set_contents (folder, "", 0, NULL));
  expect ("1", KEEP, "made", "packed weights are not kept: the folder '");
  ck_assert_int_eq (g_unlink (folder), 0);
}
END_TEST

/* Not sealed, or of a run that failed in the end: nobody gets it. */
START_TEST (not_whole)
{
  keep_one ("1");
  g_autofree char *said = job ("unsealed", "2", KEEP, NULL);
  ck_assert_str_eq (said, "made");
  expect ("2", KEEP, "made", NULL);
  g_autoptr (SoraRequest) request = asking ("fail", "3");
  g_autoptr (Record) record = record_new ();
  g_autoptr (SoraRunner) runner = runner_new (request, record);
  prepare (runner, KEEP);
  ck_assert (!sora_runner_run (runner, NULL));
  ck_assert (record_has_log (record, "p: made"));
}
END_TEST

START_TEST (rules)
{
  static const struct
  {
    const char *rule, *said;
    int code;
  } rows[] = {
    { "twice", "packed_seal() for what is sealed", SORA_ERROR_INVALID_PLUGIN },
    { "long-key", "packed_open() with a key of", SORA_ERROR_INVALID_PLUGIN },
    { "absent", "it is told that there is no such component", SORA_ERROR_FAILED },
    { "huge", "no memory for", SORA_ERROR_NO_MEMORY },
  };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (SoraRequest) request = asking (rows[i].rule, "9");
      g_autoptr (SoraRunner) runner = runner_new (request, NULL);
      prepare (runner, KEEP);
      ck_assert (!sora_runner_run (runner, &error));
      ck_assert_msg (g_error_matches (error, SORA_ERROR, rows[i].code), "%s: %d: %s", rows[i].rule,
                     error->code, error->message);
      assert_error_has (error->message, rows[i].said);
    }
}
END_TEST

int
main (void)
{
  TCase *tcase = tcase_create ("packed weights");
  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_set_timeout (tcase, 120);
  tcase_add_test (tcase, made_once);
  tcase_add_test (tcase, other_files);
  tcase_add_test (tcase, read_only);
  tcase_add_test (tcase, warm_instances);
  tcase_add_test (tcase, not_kept);
  tcase_add_test (tcase, not_whole);
  tcase_add_test (tcase, rules);
  Suite *suite = suite_create ("packed weights");
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
