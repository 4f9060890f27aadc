/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The weights that the bench makes up: each stage's infer finds every tensor that it wants, in its
 * shape; the work that it states is what the bench's formulas say; and there are as many parameters
 * as in the published files.
 */
#include "bench-case-private.h"
#include "bench-shapes.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static SoraEnvironment *environment;

static void
set_up (void)
{
  static const char *const plugins[] = { SORA_TEST_PLUGINS, NULL }, *const none[] = { NULL };
  environment = sora_environment_new_for_dirs (plugins, none, none);
}

static void
tear_down (void)
{
  sora_environment_free (environment);
}

static BenchStage *
new_stage (const char *plugin, BenchModel *model)
{
  const BenchSettings settings
      = { .environment = environment, .threads = 1, .repeat = 1, .model = model };
  g_autoptr (GError) error = NULL;
  g_autofree char *precision = NULL;
  BenchStage *stage = bench_case_stage (&settings, plugin, model, &precision, &error);
  ck_assert_msg (stage != NULL, "%s", error != NULL ? error->message : "");
  return stage;
}

static double
infer (BenchStage *stage)
{
  g_autoptr (GError) error = NULL;
  SoraCost cost;
  ck_assert_msg (bench_stage_infer (stage, &cost, &error), "%s",
                 error != NULL ? error->message : "");
  return cost.flops;
}

static void
give_latents (BenchStage *stage, gint64 t, gint64 h, gint64 w)
{
  const gint64 shape[] = { 16, t, h, w };
  bench_stage_input (stage, "latents", bench_tensor_new (4, shape, 1));
}

/* What infer states is an estimate: of a transformer the blocks alone. */
START_TEST (test_dit)
{
  g_autoptr (BenchModel) model = bench_model_new_made (0);
  g_autoptr (BenchStage) stage = new_stage ("dit-wan", model);
  const BenchDit dit = bench_case_dit (model, TRUE);
  const gint64 text[] = { 40, dit.text_dim };
  bench_stage_input (stage, "text", bench_tensor_new (2, text, 1));
  bench_stage_input_attr (stage, "text", "padded_length", 512);
  give_latents (stage, 5, 18, 32);
  ck_assert (bench_stage_set (stage, "steps", "1", NULL)
             && bench_stage_set (stage, "guidance-scale", "1", NULL));
  ck_assert_double_eq_tol (infer (stage) / bench_flops_dit (&dit, 720, 41), 1, 0.005);
}
END_TEST

START_TEST (test_vae)
{
  g_autoptr (BenchModel) model = bench_model_new_made (0);
  g_autoptr (BenchStage) stage = new_stage ("vae-wan", model);
  const BenchVae vae = bench_case_vae (model);
  ck_assert_int_eq (vae.levels, 4);
  give_latents (stage, 5, 18, 32);
  ck_assert (bench_stage_set (stage, "tiling", "none", NULL));
  ck_assert_double_eq_tol (infer (stage) / bench_flops_vae (&vae, 5, 18, 32), 1, 0.005);
}
END_TEST

START_TEST (test_tiny)
{
  static const gint64 widths[4] = { 256, 128, 64, 64 };
  g_autoptr (BenchModel) model = bench_model_new_made (0);
  g_autoptr (BenchStage) stage = new_stage ("vae-tiny", model);
  give_latents (stage, 5, 18, 32);
  ck_assert_double_eq_tol (infer (stage) / bench_flops_tiny (widths, 5, 18, 32), 1, 0.005);
}
END_TEST

START_TEST (test_text)
{
  g_autoptr (BenchModel) model = bench_model_new_made (0);
  g_autoptr (BenchStage) stage = new_stage ("text-umt5", model);
  const BenchText text = bench_case_text (model, TRUE);
  /* Its tokenizer has one word: as many tokens as words, and the end mark; the negative prompt is
   * that alone. */
  ck_assert (bench_stage_set (stage, "prompt", "a a a", NULL));
  ck_assert_double_eq_tol (
      infer (stage) / (bench_flops_text (&text, 4) + bench_flops_text (&text, 1)), 1, 1e-9);
}
END_TEST

static double
count (const char *component)
{
  g_autoptr (GPtrArray) tensors = bench_shapes_new (component, 0);
  double n = 0;
  for (guint i = 0; i < tensors->len; i++)
    {
      const BenchTensor *tensor = tensors->pdata[i];
      n += (double)(tensor->shape[0] * tensor->strides[0]);
    }
  return n;
}

/* Of Wan2.1-T2V-1.3B-Diffusers. */
START_TEST (test_published)
{
  g_autoptr (GPtrArray) transformer = bench_shapes_new ("transformer", 0);
  g_autoptr (GPtrArray) text = bench_shapes_new ("text_encoder", 0);
  ck_assert_uint_eq (transformer->len, 825);
  ck_assert_uint_eq (text->len, 242);
  ck_assert_double_eq (count ("transformer"), 1418996800);
  ck_assert_double_eq (count ("text_encoder"), 5680910336);
}
END_TEST

static double
deviation (const guint16 *data, gsize n)
{
  double sum = 0;
  for (gsize i = 0; i < n; i++)
    {
      const guint32 bits = (guint32)data[i] << 16;
      float value;
      memcpy (&value, &bits, sizeof value);
      sum += (double)value * (double)value;
    }
  return sqrt (sum / (double)n);
}

/* Large tensors are windows on shared memory, small ones are drawn: both hold what they should, to
 * their last value, and the same again when they come back. */
START_TEST (test_values)
{
  g_autoptr (BenchModel) model = bench_model_new_made (2);
  BenchWeights *weights = bench_weights_open (model, "text_encoder", NULL);
  SoraTensorView view = { .struct_size = sizeof view };
  ck_assert_ptr_nonnull (weights);
  ck_assert (!bench_weights_get (weights, "encoder.block.2.layer.0.SelfAttention.q.weight", &view));
  ck_assert (bench_weights_get (weights, "shared.weight", &view));
  ck_assert_uint_eq (view.nbytes, (guint64)256384 * 4096 * 2);
  const guint16 *last = (const guint16 *)view.data + view.nbytes / 2 - 4096;
  ck_assert_double_eq_tol (deviation (last, 4096), 1.0 / 64, 0.002);
  ck_assert (bench_weights_get (weights, "encoder.final_layer_norm.weight", &view));
  ck_assert_double_eq_tol (deviation (view.data, 4096), 1.005, 0.02);
  g_autofree void *before = g_memdup2 (view.data, view.nbytes);
  bench_weights_done (weights, "encoder.final_layer_norm.weight");
  ck_assert (bench_weights_get (weights, "encoder.final_layer_norm.weight", &view));
  ck_assert_int_eq (memcmp (before, view.data, view.nbytes), 0);
  bench_weights_close (weights);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("shapes");
  TCase *tcase = tcase_create ("shapes");
  tcase_add_checked_fixture (tcase, set_up, tear_down);
  tcase_add_test (tcase, test_dit);
  tcase_add_test (tcase, test_vae);
  tcase_add_test (tcase, test_tiny);
  tcase_add_test (tcase, test_text);
  tcase_add_test (tcase, test_published);
  tcase_add_test (tcase, test_values);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
