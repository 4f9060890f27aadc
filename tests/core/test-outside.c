/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Plugins from outside: one frozen at ABI 1.0, and the example of the tutorial, built out of the
 * tree by one line of cc (which tests/core/plugin-howto.sh does before it runs this).
 */
#include "config.h"
#include "runner-test.h"

/* ----------------------------------------------------------------------------------------------
 * frozen 1.0 */

static SoraTensor *
numbers (void)
{
  const int64_t shape[] = { 5, 4 };
  SoraTensor *tensor = sora_tensor_new (SORA_F32, 2, shape, NULL);
  SoraTensorView view = { .struct_size = sizeof view };
  sora_tensor_get_view (tensor, &view);
  for (int i = 0; i < 20; i++)
    ((float *)view.data)[i] = (float)i;
  return tensor;
}

static void
on_preview (gpointer data, SoraTensor *picture)
{
  SoraTensorView view = { .struct_size = sizeof view };
  sora_tensor_get_view (picture, &view);
  for (int i = 0; i < view.ndim; i++)
    g_array_append_val ((GArray *)data, view.shape[i]);
  for (uint64_t i = 0; i < view.nbytes; i++)
    ck_assert_uint_eq (((const guint8 *)view.data)[i], 128);
}

START_TEST (frozen_plugin_runs)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraTensor) tensor = numbers ();
  g_autoptr (GHashTable) inputs = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GHashTable) attrs = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GHashTable) of_in
      = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_variant_unref);
  g_autoptr (SoraRequest) request = sora_request_new ("");

  g_hash_table_insert (of_in, (char *)"number", g_variant_ref_sink (g_variant_new_int64 (7)));
  g_hash_table_insert (of_in, (char *)"rate", g_variant_ref_sink (g_variant_new_double (0.25)));
  g_hash_table_insert (of_in, (char *)"maker", g_variant_ref_sink (g_variant_new_string ("test")));
  g_hash_table_insert (inputs, (char *)"in", tensor);
  g_hash_table_insert (attrs, (char *)"in", of_in);
  request->has_seed = TRUE;
  request->seed = 42;
  request_set (request, "gain", "3.0");
  request_set (request, "bytes", "[byte 97, 98, 99]");
  fixture_add_plugin_from ("frozen-1.0", "frozen");
  fixture_reload ();
  g_autoptr (SoraPlan) plan
      = sora_plan_new_for_stage (fixture.environment, "frozen", request, inputs, attrs, &error);
  ck_assert_msg (plan != NULL, "%s", error != NULL ? error->message : "");
  ck_assert_str_eq (sora_plan_warnings (plan)[0], "stage 'frozen': frozen infer");

  SoraPlanStage *stage = g_ptr_array_index (sora_plan_stages (plan), 0);
  SoraPlanOutput *output = g_ptr_array_index (stage->outputs, 0);
  ck_assert_str_eq (g_variant_get_string (g_hash_table_lookup (output->spec->attrs, "maker"), NULL),
                    "test");
  static const SoraRunnerCallbacks callbacks = { .preview = on_preview };
  g_autoptr (GArray) pictures = g_array_new (FALSE, FALSE, sizeof (gint64));
  g_autoptr (SoraRunner) runner
      = sora_runner_new (plan, fixture.out, fixture.state, &callbacks, pictures);
  sora_runner_want_preview (runner, TRUE);
  ck_assert_msg (sora_runner_run (runner, &error), "%s", error != NULL ? error->message : "");
  g_autoptr (SoraTensor) result = sora_runner_get_output (runner, "out");
  SoraTensorView view = { .struct_size = sizeof view };
  sora_tensor_get_view (result, &view);
  ck_assert_int_eq (view.shape[0], 5);
  for (int i = 0; i < 20; i++)
    ck_assert_float_eq (((float *)view.data)[i], (float)i * 3);
  ck_assert_uint_eq (pictures->len, 3); /* one picture */
  ck_assert_int_eq (g_array_index (pictures, gint64, 0), 2);
  ck_assert_int_eq (g_array_index (pictures, gint64, 1), 2);
  ck_assert_int_eq (g_array_index (pictures, gint64, 2), 3);
  g_autofree char *text = read_result ("frozen.txt");
  ck_assert_str_eq (text, "frozen\n");
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * example */

#define FRAME_BYTES (8 * 8 * 3)

static guint8 *
run_sepia (const char *strength)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraEnvironment) environment = sora_environment_new (TRUE);
  g_autoptr (SoraRequest) request
      = request_new ("[Parameters]\nstrength=tint.strength\n[Stage frames]\nPlugin=stages/frames\n"
                     "[Stage tint]\nPlugin=sepia\nInput.frames=frames:frames\n"
                     "[Stage raw]\nPlugin=stages/raw\nInput.frames=tint:frames\n");
  request_set (request, "strength", strength);
  g_autoptr (SoraPlan) plan = sora_plan_new (environment, request, &error);
  ck_assert_msg (plan != NULL, "%s", error != NULL ? error->message : "");
  g_autoptr (SoraRunner) runner = sora_runner_new (plan, fixture.out, NULL, NULL, NULL);
  sora_runner_set_output_name (runner, "frames", TRUE);
  ck_assert_msg (sora_runner_run (runner, &error), "%s", error != NULL ? error->message : "");
  g_autofree char *path = g_build_filename (fixture.out, "frames.rgb", NULL);
  char *data = NULL;
  gsize size;
  ck_assert (g_file_get_contents (path, &data, &size, NULL));
  ck_assert_uint_eq (size, 5 * FRAME_BYTES);
  return (guint8 *)data;
}

START_TEST (example_runs)
{
  g_autofree guint8 *plain = run_sepia ("0.0");
  g_autofree guint8 *brown = run_sepia ("1.0");
  for (guint i = 0; i < 5 * FRAME_BYTES; i++)
    ck_assert_uint_eq (plain[i], (guint8)(i / FRAME_BYTES * 7 + i % FRAME_BYTES * 13));
  /* The well-known sepia matrix, to two levels. */
  for (guint i = 0; i < 5 * FRAME_BYTES; i += 3)
    {
      double r = plain[i], g = plain[i + 1], b = plain[i + 2];
      ck_assert_double_eq_tol (brown[i], MIN (0.393 * r + 0.769 * g + 0.189 * b, 255), 2);
      ck_assert_double_eq_tol (brown[i + 1], MIN (0.349 * r + 0.686 * g + 0.168 * b, 255), 2);
      ck_assert_double_eq_tol (brown[i + 2], MIN (0.272 * r + 0.534 * g + 0.131 * b, 255), 2);
    }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("outside");
  TCase *tests = tcase_create ("outside");

  tcase_add_checked_fixture (tests, fixture_setup, fixture_teardown);
  tcase_add_test (tests, frozen_plugin_runs);
  if (g_getenv ("SORA_PLUGIN_PATH") != NULL) /* plugin-howto.sh, which has built it */
    tcase_add_test (tests, example_runs);
  suite_add_tcase (suite, tests);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed != 0;
}
