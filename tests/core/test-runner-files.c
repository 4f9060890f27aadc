/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Result files, checkpoints, scratch, keys: what a run leaves behind, and what it does not.
 */
#include "config.h"
#include "runner-test.h"
#include <sys/resource.h>

#define FILE_STAGE "[Stage file]\nPlugin=stages/file\n"

static SoraRunner *
run_named (const char *pipeline, const char *prefix, gboolean overwrite, GError **error)
{
  g_autoptr (SoraRequest) request = request_new (pipeline);
  g_autoptr (SoraRunner) runner = runner_new (request, NULL);
  sora_runner_set_output_name (runner, prefix, overwrite);
  return sora_runner_run (runner, error) ? g_steal_pointer (&runner) : NULL;
}

START_TEST (nothing_is_seen_after_a_failure)
{
  g_autoptr (SoraRequest) request
      = request_new (FILE_STAGE "Param.fail=true\nParam.names=a.bin,b.bin\n");
  g_autofree char *message = run_error (request, NULL, SORA_ERROR_FAILED);
  ck_assert_str_eq (message, "stage 'file': after the files");
  ck_assert_uint_eq (count_files (fixture.out), 0);
}
END_TEST

/* The file of one stage is complete, another fails after it. */
START_TEST (all_files_or_none)
{
  g_autoptr (SoraRequest) request = request_new (
      FILE_STAGE "[Stage source]\nPlugin=stages/source\nParam.count=100\n"
                 "[Stage bad]\nPlugin=stages/pass\nInput.in=source:out\nParam.fail-at=100\n");
  g_autofree char *message = run_error (request, NULL, SORA_ERROR_FAILED);
  assert_error_has (message, "stage 'bad'");
  ck_assert_uint_eq (count_files (fixture.out), 0);
}
END_TEST

START_TEST (files_are_named_after_the_prefix)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraRunner) runner = run_named (
      FILE_STAGE "Param.names=clip.mp4,frame-0001.png,frame-0002.png,sheet.png,other.png\n", "ball",
      FALSE, &error);
  ck_assert_msg (runner != NULL, "%s", error != NULL ? error->message : "");
  static const char *const expected[]
      = { "ball.mp4", "ball-0001.png", "ball-0002.png", "ball.png", "ball-other.png" };
  GPtrArray *files = sora_runner_files (runner);
  ck_assert_uint_eq (files->len, G_N_ELEMENTS (expected));
  for (guint i = 0; i < files->len; i++)
    {
      SoraResultFile *file = g_ptr_array_index (files, i);
      ck_assert_str_eq (file->name, expected[i]);
      ck_assert (g_file_test (file->path, G_FILE_TEST_IS_REGULAR));
      ck_assert_uint_eq (file->size, 1000);
    }
  ck_assert_uint_eq (count_files (fixture.out), G_N_ELEMENTS (expected));
}
END_TEST

START_TEST (existing_files_are_kept)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (fixture.out, "ball.bin", NULL);
  ck_assert (g_file_set_contents (path, "mine", -1, NULL));
  ck_assert_ptr_null (run_named (FILE_STAGE, "ball", FALSE, &error));
  ck_assert (g_error_matches (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST));
  assert_error_has (error->message, "ball.bin' exists already");
  g_autofree char *text = read_result ("ball.bin");
  ck_assert_str_eq (text, "mine");

  g_autoptr (SoraRunner) runner = run_named (FILE_STAGE, "ball", TRUE, NULL);
  ck_assert_ptr_nonnull (runner);
  ck_assert_uint_eq (count_files (fixture.out), 1);
  GStatBuf st;
  ck_assert_int_eq (g_stat (path, &st), 0);
  ck_assert_int_eq (st.st_size, 1000);
}
END_TEST

/* The stage's own name for it, "clip.bin", is nobody's concern. */
START_TEST (a_file_of_the_own_name_is_not_in_the_way)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (fixture.out, "clip.bin", NULL);
  ck_assert (g_file_set_contents (path, "mine", -1, NULL));
  g_autoptr (SoraRunner) runner = run_named (FILE_STAGE, "ball", FALSE, &error);
  ck_assert_msg (runner != NULL, "%s", error != NULL ? error->message : "");
  g_autofree char *text = read_result ("clip.bin");
  ck_assert_str_eq (text, "mine");
  ck_assert_uint_eq (count_files (fixture.out), 2);
}
END_TEST

/* A file a frame: more than a process may usually have open (1,024). */
START_TEST (many_files)
{
  g_autoptr (GString) names = g_string_new ("Param.names=");
  struct rlimit limit;
  ck_assert_int_eq (getrlimit (RLIMIT_NOFILE, &limit), 0);
  ck_assert_uint_eq (limit.rlim_cur, limit.rlim_max); /* main() lowered it */
  limit.rlim_cur = 1400;                              /* one a file, not two */
  ck_assert_int_eq (setrlimit (RLIMIT_NOFILE, &limit), 0);
  for (guint i = 0; i < 1200; i++)
    g_string_append_printf (names, "%sframe-%04u.png", i > 0 ? "," : "", i);
  g_autofree char *pipeline = g_strconcat (FILE_STAGE, names->str, "\nParam.size=10\n", NULL);
  g_autoptr (SoraRunner) runner = run_ok (pipeline, NULL);
  ck_assert_uint_eq (count_files (fixture.out), 1200);
}
END_TEST

START_TEST (the_same_name_twice)
{
  g_autoptr (SoraRequest) request
      = request_new (FILE_STAGE "Param.names=a.bin,sum.txt\n"
                                "[Stage source]\nPlugin=stages/source\n"
                                "[Stage sink]\nPlugin=stages/sink\nInput.in=source:out\n");
  g_autofree char *message = run_error (request, NULL, SORA_ERROR_FAILED);
  assert_error_has (message, "'sum.txt' is created twice");
  ck_assert_uint_eq (count_files (fixture.out), 0);
}
END_TEST

/* It appears while the job runs: then nothing of the result is published, not even what was free.
 */
START_TEST (a_name_taken_meanwhile)
{
  g_autoptr (Record) record = record_new ();
  g_autoptr (SoraRequest) request = request_new (FILE_STAGE "Param.names=a.bin,b.bin\n");
  record->create_at_log = g_build_filename (fixture.out, "b.bin", NULL);
  g_autofree char *message = run_error (request, record, SORA_ERROR_INVALID_REQUEST);
  assert_error_has (message, "b.bin' exists already");
  ck_assert_uint_eq (count_files (fixture.out), 1);
  g_autofree char *text = read_result ("b.bin");
  ck_assert_str_eq (text, "mine");
}
END_TEST

START_TEST (names_do_not_lead_out)
{
  static const char *const names[] = { "../a.bin", "/tmp/a.bin", ".hidden", "a/b.bin", "" };
  g_autoptr (SoraRequest) request = request_new (FILE_STAGE);
  GVariant *list = g_variant_new_strv (&names[_i], 1);
  sora_request_set_param (request, "file.names", list);
  g_autofree char *message = run_error (request, NULL, SORA_ERROR_FAILED);
  assert_error_has (message, "no plain file name");
  ck_assert_uint_eq (count_files (fixture.out), 0);
}
END_TEST

START_TEST (no_folder_for_files)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraRequest) request = request_new (FILE_STAGE);
  g_autoptr (SoraPlan) plan = sora_plan_new (fixture.environment, request, NULL);
  g_autoptr (SoraRunner) runner = sora_runner_new (plan, NULL, NULL, NULL, NULL);
  ck_assert (!sora_runner_run (runner, &error));
  ck_assert (g_error_matches (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST));
  ck_assert_str_eq (error->message,
                    "stage 'file': output 'file' is a file, and no folder for results was given");
  g_clear_error (&error);
  g_autoptr (SoraRunner) absent = sora_runner_new (plan, "/nowhere/at/all", NULL, NULL, NULL);
  ck_assert (!sora_runner_run (absent, &error));
  assert_error_has (error->message, "/nowhere/at/all");
}
END_TEST

static void
limit_file_size (guint64 bytes)
{
  struct rlimit limit = { bytes, bytes };
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &limit), 0);
}

START_TEST (no_space_for_the_file)
{
  g_autoptr (SoraRequest) request
      = request_new (FILE_STAGE "Param.names=a.bin,b.bin\nParam.size=300000\n");
  limit_file_size (200000);
  g_autofree char *message = run_error (request, NULL, SORA_ERROR_NO_SPACE);
  assert_error_has (message, "stage 'file': cannot write the file");
  ck_assert_uint_eq (count_files (fixture.out), 0);
}
END_TEST

START_TEST (no_space_for_scratch)
{
  g_autoptr (SoraRequest) request
      = request_new ("[Stage resume]\nPlugin=stages/resume\nParam.scratch=4000000000000000000\n");
  g_autofree char *message = run_error (request, NULL, SORA_ERROR_NO_SPACE);
  assert_error_has (message, "stage 'resume': no scratch file of");
  assert_error_has (message, "state");
  ck_assert_uint_eq (count_files (fixture.state), 0);
}
END_TEST

START_TEST (scratch_leaves_nothing)
{
  g_autoptr (SoraRunner) runner
      = run_ok ("[Stage resume]\nPlugin=stages/resume\nParam.scratch=100000\n", NULL);
  ck_assert_uint_eq (count_files (fixture.state), 0);
}
END_TEST

/* -------------------------------------------------------------------------------------------
 * checkpoints */

#define RESUME "[Stage resume]\nPlugin=stages/resume\nParam.stop=6\n"

static void
stop_once (const char *pipeline, Record *record)
{
  g_autoptr (SoraRequest) request = request_new (pipeline);
  g_autofree char *message = run_error (request, record, SORA_ERROR_FAILED);
  ck_assert_str_eq (message, "stage 'resume': stopped at row 6");
}

START_TEST (checkpoint_is_resumed)
{
  g_autoptr (Record) first = record_new (), second = record_new ();
  stop_once (RESUME, first);
  ck_assert (record_has_log (first, "resume: begins at 0"));
  ck_assert_uint_eq (count_files (fixture.state), 1);
  g_autoptr (SoraRunner) runner = run_ok (RESUME, second);
  ck_assert (record_has_log (second, "resume: begins at 6"));
  ck_assert_uint_eq (count_files (fixture.state), 0);
}
END_TEST

static void
check_mismatch (const char *pipeline, const char *why)
{
  g_autoptr (Record) record = record_new ();
  g_autoptr (SoraRunner) runner = run_ok (pipeline, record);
  g_autofree char *line
      = g_strdup_printf ("resume: the checkpoint is not used, starting from zero: %s", why);
  ck_assert_msg (record_has_log (record, line), "it was not told");
  ck_assert (record_has_log (record, "resume: begins at 0"));
}

START_TEST (checkpoint_of_another_recipe)
{
  stop_once (RESUME, NULL);
  check_mismatch (
      RESUME "Param.salts=1.5\n",
      "it is of another recipe (request, model, plugin, host version or instruction set)");
}
END_TEST

START_TEST (checkpoint_that_is_damaged)
{
  stop_once (RESUME, NULL);
  g_autoptr (GDir) dir = g_dir_open (fixture.state, 0, NULL);
  g_autofree char *path = g_build_filename (fixture.state, g_dir_read_name (dir), NULL);
  g_autofree char *data = NULL;
  gsize size;
  ck_assert (g_file_get_contents (path, &data, &size, NULL));
  data[size - 1] ^= 1;
  ck_assert (g_file_set_contents (path, data, (gssize)size, NULL));
  check_mismatch (RESUME, "it is damaged");
}
END_TEST

START_TEST (no_checkpoint_behind_another_stage)
{
  g_autoptr (Record) record = record_new ();
  g_autoptr (SoraRunner) runner = run_ok ("[Stage first]\nPlugin=stages/weigh\n[Stage "
                                          "resume]\nPlugin=stages/resume\nInput.in=first:out\n",
                                          record);
  ck_assert (record_has_log (record, "resume: no checkpoints here"));
  ck_assert_uint_eq (count_files (fixture.state), 0);
}
END_TEST

/* --------------------------------------------------------------------------------------------
 * keys, info */

static SoraTensor *
run_keys (guint64 seed)
{
  g_autoptr (SoraRequest) request = sora_request_new ("");
  request->has_seed = TRUE;
  request->seed = seed;
  g_autoptr (SoraPlan) plan
      = sora_plan_new_for_stage (fixture.environment, "stages/keys", request, NULL, NULL, NULL);
  g_autoptr (SoraRunner) runner = sora_runner_new (plan, NULL, NULL, NULL, NULL);
  ck_assert (sora_runner_run (runner, NULL));
  return sora_runner_get_output (runner, "out");
}

START_TEST (random_keys)
{
  g_autoptr (SoraTensor) a = run_keys (42), b = run_keys (42), c = run_keys (43);
  SoraTensorView va = { .struct_size = sizeof va }, vb = va, vc = va;
  sora_tensor_get_view (a, &va);
  sora_tensor_get_view (b, &vb);
  sora_tensor_get_view (c, &vc);
  const guint8 *bytes = va.data;
  ck_assert_mem_eq (va.data, vb.data, va.nbytes);
  ck_assert_uint_eq (*(const guint64 *)va.data, 42);
  ck_assert_mem_ne (bytes + 32, (const guint8 *)vc.data + 32, 32);
  ck_assert_mem_ne (bytes + 32, bytes + 64, 32);
  /* For ever: SHA-256 over ("sora-random-1", "42 0", "keys", "noise"), each after its length as
   * eight bytes. */
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  static const char *const parts[] = { "sora-random-1", "42 0", "keys", "noise" };
  guint8 expected[32];
  gsize size = sizeof expected;
  for (guint i = 0; i < 4; i++)
    {
      guint8 length[8] = { (guint8)strlen (parts[i]) };
      g_checksum_update (sum, length, 8);
      g_checksum_update (sum, (const guint8 *)parts[i], -1);
    }
  g_checksum_get_digest (sum, expected, &size);
  ck_assert_mem_eq (bytes + 32, expected, 32);
}
END_TEST

START_TEST (provenance)
{
  g_autoptr (Record) record = record_new ();
  g_autoptr (SoraRequest) request
      = request_new ("[Parameters]\nprompt=other.word\n[Stage keys]\nPlugin=stages/keys\n"
                     "[Stage other]\nPlugin=stages/other\n");
  request_set (request, "prompt", "'a red ball'");
  g_autoptr (SoraRunner) runner = runner_new (request, record);
  sora_runner_set_info (runner, "job", "job-7");
  ck_assert (sora_runner_run (runner, NULL));
  ck_assert (record_has_log (record, "keys: pipeline: test"));
  ck_assert (record_has_log (record, "keys: seed: 42"));
  ck_assert (record_has_log (record, "keys: metadata: minimal"));
  ck_assert (record_has_log (record, "keys: job: job-7"));
  ck_assert (record_has_log (record, "keys: stages: keys=stages 1.0.0, other=stages 1.0.0"));
  ck_assert (!record_has_log (record, "keys: prompt: a red ball"));

  g_autoptr (Record) full = record_new ();
  g_free (request->metadata);
  request->metadata = g_strdup ("full");
  g_autoptr (SoraRunner) second = runner_new (request, full);
  ck_assert (sora_runner_run (second, NULL));
  ck_assert (record_has_log (full, "keys: prompt: a red ball"));

  /* "stage.param" has the last word, also on what the file says. */
  g_autoptr (Record) overridden = record_new ();
  request_set (request, "other.word", "'a blue ball'");
  g_autoptr (SoraRunner) third = runner_new (request, overridden);
  ck_assert (sora_runner_run (third, NULL));
  ck_assert (record_has_log (overridden, "keys: prompt: a blue ball"));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("runner-files");
  TCase *tests = tcase_create ("files");

  tcase_add_checked_fixture (tests, fixture_setup, fixture_teardown);
  tcase_add_test (tests, nothing_is_seen_after_a_failure);
  tcase_add_test (tests, all_files_or_none);
  tcase_add_test (tests, files_are_named_after_the_prefix);
  tcase_add_test (tests, existing_files_are_kept);
  tcase_add_test (tests, a_file_of_the_own_name_is_not_in_the_way);
  tcase_add_test (tests, the_same_name_twice);
  tcase_add_test (tests, a_name_taken_meanwhile);
  tcase_add_loop_test (tests, names_do_not_lead_out, 0, 5);
  tcase_add_test (tests, no_folder_for_files);
  tcase_add_test (tests, no_space_for_the_file);
  tcase_add_test (tests, no_space_for_scratch);
  tcase_add_test (tests, scratch_leaves_nothing);
  tcase_add_test (tests, checkpoint_is_resumed);
  tcase_add_test (tests, checkpoint_of_another_recipe);
  tcase_add_test (tests, checkpoint_that_is_damaged);
  tcase_add_test (tests, no_checkpoint_behind_another_stage);
  tcase_add_test (tests, random_keys);
  tcase_add_test (tests, provenance);
  suite_add_tcase (suite, tests);
  TCase *slow = tcase_create ("many");
  tcase_add_checked_fixture (slow, fixture_setup, fixture_teardown);
  tcase_set_timeout (slow, 120); /* each file is synced */
  tcase_add_test (slow, many_files);
  suite_add_tcase (suite, slow);
  struct rlimit limit;
  if (getrlimit (RLIMIT_NOFILE, &limit) == 0)
    {
      limit.rlim_cur = MIN (limit.rlim_max, 1024);
      setrlimit (RLIMIT_NOFILE, &limit);
    }
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed != 0;
}
