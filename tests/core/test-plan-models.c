/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Models of a plan: roles, components, digests, and what has changed since.
 */
#include "config.h"
#include "runner-test.h"
#include <unistd.h>

#define MODEL "[Models]\nmain=text_encoder\n[Stage m]\nPlugin=stages/model\nModel=main\n"

START_TEST (model_is_read)
{
  g_autoptr (GError) error = NULL;
  fixture_make_model ("small", "text_encoder");
  g_autoptr (SoraRequest) request = sora_request_new ("");
  g_autoptr (SoraPlan) plan
      = sora_plan_new_for_stage (fixture.environment, "stages/model", request, NULL, NULL, &error);
  ck_assert_msg (plan != NULL, "%s", error != NULL ? error->message : "");
  g_autoptr (SoraRunner) runner = sora_runner_new (plan, NULL, NULL, NULL, NULL);
  ck_assert_msg (sora_runner_run (runner, &error), "%s", error != NULL ? error->message : "");
  g_autoptr (SoraTensor) tensor = sora_runner_get_output (runner, "out");
  SoraTensorView view = { .struct_size = sizeof view };
  sora_tensor_get_view (tensor, &view);
  for (int i = 0; i < 6; i++)
    ck_assert_int_eq (((int64_t *)view.data)[i], i + 1);
}
END_TEST

START_TEST (only_model_is_the_default)
{
  fixture_make_model ("small", "text_encoder");
  g_autoptr (SoraRequest) request = request_new (MODEL);
  g_autoptr (SoraPlan) plan = plan_ok (request);
  fixture_make_model ("other", "text_encoder");
  g_autofree char *message = plan_error (MODEL, NULL, NULL, SORA_ERROR_INVALID_REQUEST);
  assert_error_has (message, "role 'main'");
  assert_error_has (message, "'other', 'small'");
  fixture_make_model ("sora-shapes-1", "text_encoder");
  g_autoptr (SoraPlan) embedded = plan_ok (request);
  g_hash_table_insert (request->models, g_strdup ("main"), g_strdup ("other"));
  g_autoptr (SoraPlan) named = plan_ok (request);
}
END_TEST

/* A tiny decoder beside the only model does not make a choice of it. */
START_TEST (part_is_no_default)
{
  const int64_t shape[] = { 1 };
  g_autoptr (SoraTensor) tensor = sora_tensor_new (SORA_U8, 1, shape, NULL);
  g_autofree char *file = g_build_filename (fixture.dir, "models", "a.safetensors", NULL);
  const char *names[] = { "decoder.1.weight" };
  fixture_make_model ("small", "text_encoder");
  ck_assert (sora_safetensors_write (file, names, &tensor, 1, NULL, NULL));
  g_autoptr (SoraRequest) request = request_new (MODEL);
  g_autoptr (SoraPlan) plan = plan_ok (request);
}
END_TEST

START_TEST (component_is_missing)
{
  fixture_make_model ("small", "image_encoder");
  g_autofree char *message
      = plan_error ("[Models]\nmain=image_encoder\n[Stage m]\nPlugin=stages/model\nModel=main\n",
                    NULL, NULL, SORA_ERROR_INVALID_MODEL);
  assert_error_has (message, "model 'small' has no component 'text_encoder'");
  assert_error_has (message, "stage 'm'");
  g_autofree char *role
      = plan_error ("[Models]\nmain=vae\n[Stage m]\nPlugin=stages/model\nModel=main\n", NULL, NULL,
                    SORA_ERROR_INVALID_MODEL);
  assert_error_has (role, "no component 'vae'");
  assert_error_has (role, "role 'main'");
}
END_TEST

START_TEST (unknown_role)
{
  g_autoptr (GError) error = NULL;
  fixture_make_model ("small", "text_encoder");
  g_autoptr (SoraRequest) request = request_new (MODEL);
  g_hash_table_insert (request->models, g_strdup ("mian"), g_strdup ("small"));
  ck_assert_ptr_null (sora_plan_new (fixture.environment, request, &error));
  assert_error_has (error->message, "no model role 'mian': did you mean 'main'?");
}
END_TEST

static void
give (SoraRequest *request, const char *role, const char *model)
{
  g_hash_table_insert (request->models, g_strdup (role), g_strdup (model));
}

/* Not a role of the pipeline, but a slot of the stage's plugin: it is filled by its own name. */
START_TEST (slot_is_given_by_its_name)
{
  g_autoptr (GError) error = NULL;
  fixture_make_model ("small", "text_encoder");
  fixture_make_model ("other", "vae");
  g_autoptr (SoraRequest) request = request_new (MODEL);
  give (request, "main", "small");
  give (request, "extra", "other");
  g_autoptr (SoraPlan) plan = plan_ok (request);
  give (request, "extra", "small");
  ck_assert_ptr_null (sora_plan_new (fixture.environment, request, &error));
  assert_error_has (error->message,
                    "model 'small' has no component 'vae', which stage 'm' (plugin 'stages') asks "
                    "for: give it another as model 'extra'");
  g_clear_error (&error);
  give (request, "extra", "absent");
  ck_assert_ptr_null (sora_plan_new (fixture.environment, request, &error));
  assert_error_has (error->message, "there is no model 'absent'");
  g_clear_error (&error);

  /* What most slots are called is no name of one. */
  g_autoptr (SoraRequest) usual = request_new (MODEL);
  give (usual, "model", "small");
  ck_assert_ptr_null (sora_plan_new (fixture.environment, usual, &error));
  assert_error_has (error->message, "no model role 'model'");
}
END_TEST

/* A role of the pipeline that has the slot's name is the role. */
START_TEST (role_comes_before_slot)
{
  fixture_make_model ("small", "text_encoder");
  fixture_make_model ("other", "text_encoder");
  g_autoptr (SoraRequest) request
      = request_new ("[Models]\nextra=text_encoder\n[Stage m]\nPlugin=stages/model\nModel=extra\n");
  give (request, "extra", "other");
  g_autoptr (SoraPlan) plan = plan_ok (request);
}
END_TEST

/* Before anything begins: the stage opens no weights, and would not find it out. */
START_TEST (changed_model_is_refused)
{
  fixture_make_model ("small", "text_encoder");
  g_autoptr (Record) record = record_new ();
  g_autoptr (SoraRequest) request = request_new (
      "[Models]\nmain=text_encoder\n[Stage keys]\nPlugin=stages/keys\nInput.in=w:out\n"
      "[Stage w]\nPlugin=stages/weigh\nModel=main\n");
  g_autoptr (SoraRunner) runner = runner_new (request, record);
  g_autofree char *path = g_build_filename (fixture.dir, "models", "small", "text_encoder",
                                            "model.safetensors", NULL);
  g_autoptr (GError) error = NULL;
  ck_assert (g_file_set_contents (path, "something else", -1, NULL));
  ck_assert (!sora_runner_run (runner, &error));
  ck_assert (g_error_matches (error, SORA_ERROR, SORA_ERROR_INVALID_MODEL));
  assert_error_has (error->message, "model.safetensors' was changed since the model was opened");
  ck_assert_uint_eq (record->logs->len, 0);
  ck_assert_uint_eq (record->stages->len, 0);
}
END_TEST

#define MODEL_AND_KEYS                                                                             \
  MODEL "[Stage first]\nPlugin=stages/resume\n"                                                    \
        "[Stage keys]\nPlugin=stages/keys\nInput.in=first:out\n"

START_TEST (model_is_named_with_its_digest)
{
  fixture_make_model ("small", "text_encoder");
  g_autofree char *folder = g_build_filename (fixture.dir, "models", "small", NULL);
  g_autoptr (SoraModel) model = sora_model_open (folder, NULL);
  g_autofree char *line
      = g_strdup_printf ("keys: model: small@%.16s", sora_model_digest (model, NULL));
  g_autoptr (Record) record = record_new ();
  g_autoptr (SoraRunner) runner = run_ok (MODEL_AND_KEYS, record);
  ck_assert (record_has_log (record, line));
}
END_TEST

/* A file that no stage reads and that the digest cannot be made of: the work is not lost, and it is
 * told. */
START_TEST (no_digest_is_told)
{
  fixture_make_model ("small", "text_encoder");
  g_autofree char *link
      = g_build_filename (fixture.dir, "models", "small", "text_encoder", "note.txt", NULL);
  ck_assert_int_eq (symlink ("/etc/hostname", link), 0);
  g_autoptr (Record) record = record_new ();
  g_autoptr (SoraRunner) runner = run_ok (MODEL_AND_KEYS, record);
  ck_assert (record_has_log (record, "keys: model: small"));
  gboolean told = FALSE;
  for (guint i = 0; i < record->logs->len; i++)
    told |= strstr (g_ptr_array_index (record->logs, i),
                    "the result does not tell the digest of model 'small': ")
            != NULL;
  ck_assert (told);
}
END_TEST

/* Its config is another one by the time the result is described. */
START_TEST (model_that_changes_meanwhile)
{
  fixture_make_model ("small", "text_encoder");
  g_autoptr (Record) record = record_new ();
  record->create_at_log
      = g_build_filename (fixture.dir, "models", "small", "text_encoder", "config.json", NULL);
  g_autoptr (SoraRequest) request = request_new (MODEL_AND_KEYS);
  g_autofree char *message = run_error (request, record, SORA_ERROR_INVALID_MODEL);
  assert_error_has (message, "stage 'keys': ");
  assert_error_has (message, "config.json' was changed since the model was opened");
}
END_TEST

#define WEIGH                                                                                      \
  "[Models]\nmain=text_encoder\n[Parameters]\nload=w.weights\n[Defaults]\nload=1000\n"              \
  "[Stage w]\nPlugin=stages/weigh\nModel=main\n"

static void
write_defaults (const char *text)
{
  g_autofree char *path
      = g_build_filename (fixture.dir, "models", "small", SORA_MODEL_DEFAULTS, NULL);
  ck_assert (g_file_set_contents (path, text, -1, NULL));
}

static guint64
peak_of (const char *given)
{
  g_autoptr (SoraRequest) request = request_new (WEIGH);
  if (given != NULL)
    request_set (request, "load", given);
  g_autoptr (SoraPlan) plan = plan_ok (request);
  return sora_plan_peak_bytes (plan);
}

START_TEST (model_says_what_suits_it)
{
  fixture_make_model ("small", "text_encoder");
  guint64 plain = peak_of (NULL);
  write_defaults ("{\"load\": 5000, \"not-of-this-pipeline\": \"x\"}");
  ck_assert_uint_eq (peak_of (NULL), plain + 4000); /* above the pipeline's */
  ck_assert_uint_eq (peak_of ("7000"), plain + 6000); /* below the user's */
}
END_TEST

static const struct
{
  const char *text, *parts[2];
} bad_defaults[] = {
  { "{\"load\": 5000", { "sora_defaults.json' is not valid JSON", "line 1" } },
  { "[1]", { "sora_defaults.json' is not a JSON object", "" } },
  { "{\"load\": [1]}", { "'load' has another kind of value", "a number" } },
  { "{\"a b\": 1}", { "'a b' is not a name", "sora_defaults.json" } },
  { "{\"load\": -1}", { "sora_defaults.json of model 'small'", "parameter 'load'" } },
  { "{\"load\": \"many\"}", { "sora_defaults.json of model 'small'", "'many'" } },
};

START_TEST (what_suits_it_is_nonsense)
{
  fixture_make_model ("small", "text_encoder");
  write_defaults (bad_defaults[_i].text);
  g_autofree char *message = plan_error (WEIGH, NULL, NULL, SORA_ERROR_INVALID_MODEL);
  assert_error_has (message, bad_defaults[_i].parts[0]);
  assert_error_has (message, bad_defaults[_i].parts[1]);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("plan-models");
  TCase *tests = tcase_create ("models");

  tcase_add_checked_fixture (tests, fixture_setup, fixture_teardown);
  tcase_add_test (tests, model_is_read);
  tcase_add_test (tests, only_model_is_the_default);
  tcase_add_test (tests, part_is_no_default);
  tcase_add_test (tests, component_is_missing);
  tcase_add_test (tests, unknown_role);
  tcase_add_test (tests, slot_is_given_by_its_name);
  tcase_add_test (tests, role_comes_before_slot);
  tcase_add_test (tests, changed_model_is_refused);
  tcase_add_test (tests, model_is_named_with_its_digest);
  tcase_add_test (tests, no_digest_is_told);
  tcase_add_test (tests, model_that_changes_meanwhile);
  tcase_add_test (tests, model_says_what_suits_it);
  tcase_add_loop_test (tests, what_suits_it_is_nonsense, 0, G_N_ELEMENTS (bad_defaults));
  suite_add_tcase (suite, tests);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed != 0;
}
