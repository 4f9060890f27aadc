/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Plans: what they resolve, what they tell, and everything that they refuse, each with its own
 * message.
 */
#include "config.h"
#include "runner-test.h"

#define SOURCE "[Stage source]\nPlugin=stages/source\n"
#define SINK(from) "[Stage sink]\nPlugin=stages/sink\nInput.in=" from "\n"
#define OTHER "[Stage other]\nPlugin=stages/other\nParam.word=hello\n"

static const struct
{
  const char *pipeline, *name, *value;
  int code;
  const char *says[3];
} refused[] = {
  /* Graph. */
  { SINK ("sorce:out") SOURCE, NULL, NULL, SORA_ERROR_INVALID_PIPELINE, { "sorce" } },
  { SOURCE SINK ("source:ot"),
    NULL,
    NULL,
    SORA_ERROR_INVALID_PIPELINE,
    { "stage 'sink'", "no output 'ot'", "'out'" } },
  { SOURCE "[Stage sink]\nPlugin=stages/sink\nInput.im=source:out\n",
    NULL,
    NULL,
    SORA_ERROR_INVALID_PIPELINE,
    { "stage 'sink'", "no input 'im'", "'in'" } },
  { "[Stage sink]\nPlugin=stages/sink\n",
    NULL,
    NULL,
    SORA_ERROR_INVALID_PIPELINE,
    { "stage 'sink'", "input 'in' (test.numbers/1) is not connected" } },
  { "[Stage a]\nPlugin=stages/pass\nInput.in=c:out\n[Stage b]\nPlugin=stages/pass\nInput.in=a:out\n"
    "[Stage c]\nPlugin=stages/pass\nInput.in=b:out\n" SINK ("c:out"),
    NULL,
    NULL,
    SORA_ERROR_INVALID_PIPELINE,
    { "circle", "a -> b -> c -> a" } },
  { "[Stage a]\nPlugin=stages/pass\nInput.in=a:out\n",
    NULL,
    NULL,
    SORA_ERROR_INVALID_PIPELINE,
    { "[Stage a]", "feed itself" } },
  { "[Stage x]\nPlugin=absent\n", NULL, NULL, SORA_ERROR_NOT_FOUND, { "stage 'x'", "absent" } },
  { "[Stage x]\nPlugin=stages/absent\n",
    NULL,
    NULL,
    SORA_ERROR_NOT_FOUND,
    { "stage 'x'", "absent" } },
  /* Kinds. */
  { SOURCE OTHER "Input.letters=source:out\n",
    NULL,
    NULL,
    SORA_ERROR_INVALID_PIPELINE,
    { "stage 'other'", "test.letters/1", "'source:out' gives test.numbers/1" } },
  { SOURCE OTHER "Input.float=source:out\n",
    NULL,
    NULL,
    SORA_ERROR_INVALID_PIPELINE,
    { "stage 'other': input 'float'", "dtypes" } },
  { SOURCE OTHER "Input.whole=source:out\n",
    NULL,
    NULL,
    SORA_ERROR_INVALID_PIPELINE,
    { "one whole tensor", "stream" } },
  { SOURCE OTHER "Input.narrow=source:out\n",
    NULL,
    NULL,
    SORA_ERROR_INVALID_PIPELINE,
    { "stage 'other': input 'narrow' has shape [8,4]: axis 1 is 4, expected 3" } },
  { SOURCE OTHER "Input.same=source:out\n",
    NULL,
    NULL,
    SORA_ERROR_INVALID_PIPELINE,
    { "input 'same' has shape [8,4]: K is 4, expected 8" } },
  /* Parameters. */
  { SOURCE,
    "cuont",
    "1",
    SORA_ERROR_INVALID_REQUEST,
    { "pipeline 'test' has no parameter 'cuont'" } },
  { "[Parameters]\ncount=source.count\n" SOURCE,
    "cuont",
    "1",
    SORA_ERROR_INVALID_REQUEST,
    { "did you mean 'count'?" } },
  { SOURCE,
    "source.cuont",
    "1",
    SORA_ERROR_INVALID_REQUEST,
    { "stage 'source'", "did you mean 'count'?" } },
  { SOURCE, "sauce.count", "1", SORA_ERROR_INVALID_REQUEST, { "no stage 'sauce'", "source" } },
  { SOURCE,
    "source.count",
    "0",
    SORA_ERROR_INVALID_REQUEST,
    { "parameter 'source.count'", "0", "1" } },
  { SOURCE,
    "source.count",
    "1000001",
    SORA_ERROR_INVALID_REQUEST,
    { "parameter 'source.count'", "1000001" } },
  { SOURCE, "source.count", "'many'", SORA_ERROR_INVALID_REQUEST, { "parameter 'source.count'" } },
  { "[Parameters]\ncount=source.count\n" SOURCE,
    "count",
    "-1",
    SORA_ERROR_INVALID_REQUEST,
    { "parameter 'count'", "-1" } },
  { "[Parameters]\ncount=source.number\n" SOURCE,
    NULL,
    NULL,
    SORA_ERROR_INVALID_PIPELINE,
    { "parameter 'count'", "no parameter 'number'" } },
  { SOURCE "Param.number=5\n",
    NULL,
    NULL,
    SORA_ERROR_INVALID_PIPELINE,
    { "stage 'source'", "no parameter 'number'" } },
  { SOURCE "Param.count=none\n", NULL, NULL, SORA_ERROR_INVALID_REQUEST, { "Param.count" } },
  { "[Stage other]\nPlugin=stages/other\n",
    NULL,
    NULL,
    SORA_ERROR_INVALID_REQUEST,
    { "parameter 'other.word' is required", "Any word." } },
  { "[Parameters]\nsay=other.word\n[Stage other]\nPlugin=stages/other\n",
    NULL,
    NULL,
    SORA_ERROR_INVALID_REQUEST,
    { "parameter 'say' is required" } },
  /* Infer. */
  { OTHER,
    "other.word",
    "'bad'",
    SORA_ERROR_INVALID_REQUEST,
    { "stage 'other': the word 'bad' is refused, expected a better one" } },
  { "[Stage b]\nPlugin=stages/break\nParam.rule=infer-dtype\n",
    NULL,
    NULL,
    SORA_ERROR_INVALID_PIPELINE,
    { "stage 'b': output 'out' is f32, expected i64" } },
  { "[Stage b]\nPlugin=stages/break\nParam.rule=infer-rank\n",
    NULL,
    NULL,
    SORA_ERROR_INVALID_PIPELINE,
    { "output 'out' has shape [4,4,4], expected 2 axes" } },
  { "[Stage b]\nPlugin=stages/break\nParam.rule=infer-zero\n",
    NULL,
    NULL,
    SORA_ERROR_INVALID_PLUGIN,
    { "[4,0]", "at least 1" } },
  { "[Stage b]\nPlugin=stages/break\nParam.rule=infer-nothing\n" SINK ("b:out"),
    NULL,
    NULL,
    SORA_ERROR_INVALID_PIPELINE,
    { "stage 'b': output 'out' is not given", "stage 'sink'" } },
  { "[Stage b]\nPlugin=stages/break\nParam.rule=short-spec\n",
    NULL,
    NULL,
    SORA_ERROR_INVALID_PLUGIN,
    { "struct_size of 8" } },
  { "[Stage b]\nPlugin=stages/break\nParam.rule=fpu-infer\n",
    NULL,
    NULL,
    SORA_ERROR_INVALID_PLUGIN,
    { "stage 'b'", "floating-point control bits" } },
  { "[Stage b]\nPlugin=stages/break\nParam.rule=pull-in-infer\n",
    NULL,
    NULL,
    SORA_ERROR_INVALID_PLUGIN,
    { "stage 'b'", "pull() in infer" } },
  /* Models. */
  { "[Stage m]\nPlugin=stages/model\n",
    NULL,
    NULL,
    SORA_ERROR_INVALID_PIPELINE,
    { "stage 'm'", "needs a model in 'model'" } },
  { "[Models]\nmain=text_encoder\n[Stage m]\nPlugin=stages/model\nModel=main\n",
    NULL,
    NULL,
    SORA_ERROR_NOT_FOUND,
    { "no model for role 'main'" } },
};

START_TEST (refuses)
{
  g_autofree char *message
      = plan_error (refused[_i].pipeline, refused[_i].name, refused[_i].value, refused[_i].code);
  for (guint i = 0; i < G_N_ELEMENTS (refused[_i].says) && refused[_i].says[i] != NULL; i++)
    assert_error_has (message, refused[_i].says[i]);
}
END_TEST

START_TEST (doubly_fed)
{
  /* A key file cannot say it twice, so the pipeline's parser is where it shows. */
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraRequest) request = request_new (
      SOURCE "[Stage sink]\nPlugin=stages/sink\nInput.in=source:out\nInput.in=source:out\n");
  g_autoptr (SoraPlan) plan = sora_plan_new (fixture.environment, request, &error);
  ck_assert_ptr_null (plan);
  ck_assert (g_error_matches (error, SORA_ERROR, SORA_ERROR_INVALID_PIPELINE));
  assert_error_has (error->message, "Input.in");
}
END_TEST

START_TEST (tells_stages)
{
  g_autoptr (SoraRequest) request = request_new (SINK (
      "pass:out") "[Stage pass]\nPlugin=stages/pass\nInput.in=source:out\nParam.flops=7\n" SOURCE
                  "Param.flops=5\nParam.chunk=3\n");
  g_autoptr (SoraPlan) plan = plan_ok (request);
  GPtrArray *stages = sora_plan_stages (plan);
  ck_assert_uint_eq (sora_plan_n_runs (plan), 1);
  ck_assert_uint_eq (stages->len, 3);
  SoraPlanStage *first = g_ptr_array_index (stages, 0), *last = g_ptr_array_index (stages, 2);
  ck_assert_str_eq (first->stage, "source");
  ck_assert_str_eq (first->plugin, "stages");
  ck_assert_str_eq (first->version, "1.0.0");
  ck_assert_str_eq (last->stage, "sink");
  ck_assert_double_eq (sora_plan_flops (plan), 12);

  SoraPlanOutput *output = g_ptr_array_index (first->outputs, 0);
  ck_assert_str_eq (output->port, "out");
  ck_assert_str_eq (output->connected_to, "pass:in");
  ck_assert (output->stream);
  ck_assert_int_eq (output->spec->shape[0], 8);
  ck_assert_int_eq (output->spec->chunk, 3);
  ck_assert_int_eq (g_variant_get_int64 (g_hash_table_lookup (output->spec->attrs, "fps")), 16);
  SoraPlanOutput *file = g_ptr_array_index (last->outputs, 0);
  ck_assert_str_eq (file->semantic, "sora.file/1");
  ck_assert_ptr_null (file->spec);
  ck_assert_ptr_null (file->connected_to);
  /* Two queues of four tensors of three rows of 32 bytes. */
  ck_assert_uint_eq (sora_plan_peak_bytes (plan), 2 * 4 * 3 * 32);
}
END_TEST

START_TEST (peak_is_of_what_stands_together)
{
  g_autoptr (SoraRequest) request = request_new (
      "[Stage a]\nPlugin=stages/weigh\nParam.weights=1000000\nParam.work=5\n"
      "[Stage b]\nPlugin=stages/weigh\nParam.weights=3000000\nParam.work=7\nInput.in=a:out\n");
  g_autoptr (SoraPlan) plan = plan_ok (request);
  ck_assert_uint_eq (sora_plan_peak_bytes (plan), 3000007);

  /* Two that nobody puts in order may stand side by side. */
  g_autoptr (SoraRequest) apart
      = request_new ("[Stage a]\nPlugin=stages/weigh\nParam.weights=1000000\n"
                     "[Stage b]\nPlugin=stages/weigh\nParam.weights=3000000\n");
  g_autoptr (SoraPlan) side_by_side = plan_ok (apart);
  ck_assert_uint_eq (sora_plan_peak_bytes (side_by_side), 4000000);
}
END_TEST

/* Stages that are joined by streams are one link of the chain, and not one more beside it. */
START_TEST (peak_of_streams_counts_none_twice)
{
  g_autoptr (SoraRequest) request = request_new (
      SOURCE "Param.count=2\n[Stage pass]\nPlugin=stages/pass\nInput.in=source:out\n"
             "[Stage gather]\nPlugin=stages/gather\nInput.in=pass:out\n"
             "[Stage a]\nPlugin=stages/weigh\nParam.weights=1000000\nInput.in=gather:out\n"
             "[Stage b]\nPlugin=stages/weigh\nParam.weights=2000000\nParam.work=7\n"
             "Input.in=a:out\n");
  g_autoptr (SoraPlan) plan = plan_ok (request);
  ck_assert_uint_ge (sora_plan_peak_bytes (plan), 2000007);
  ck_assert_uint_lt (sora_plan_peak_bytes (plan), 2100000);
}
END_TEST

#define CLIP                                                                                       \
  "[Parameters]\nwidth=clip.width\nheight=clip.height\nframes=clip.frames\n"                       \
  "[Stage clip]\nPlugin=stages/clip\n"

static const struct
{
  gint64 width, height, frames; /* 0: 832, 480, 81 */
  guint64 limit;
  const char *says; /* NULL: it fits */
} clips[] = {
  { 0, 0, 0, 832 * 480 * 81, NULL },
  { 0, 0, 0, 832 * 480 * 81 - 1,
    "the job needs 30.8 MiB of memory, and may use 30.8 MiB: 800x448 with 81 frames or 832x480 with "
    "77 frames would fit" },
  { 0, 0, 0, 16000000, "15.3 MiB: 576x320 with 81 frames or 832x480 with 37 frames would fit" },
  { 0, 0, 0, 400000, "390.6 KiB: 64x32 with 81 frames would fit" },
  { 0, 0, 0, 50000, "48.8 KiB: 32x32 with 41 frames would fit" },
  { 0, 0, 0, 1024, "1.0 KiB: 32x32 with 1 frame would fit" },
  { 0, 0, 0, 1023, "1023 bytes: raise the memory limit" },
  /* 16 divides both, 32 does not. */
  { 432, 240, 17, 432 * 240 * 17 - 1, ": 416x224 with 17 frames or 432x240 with 13 frames would fit" },
  { 240, 432, 5, 240 * 432 * 5 - 1, ": 224x400 with 5 frames would fit" },
};

START_TEST (sizes_that_would_fit_are_named)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraRequest) request = request_new (CLIP);
  if (clips[_i].width > 0)
    {
      sora_request_set_param (request, "width", g_variant_new_int64 (clips[_i].width));
      sora_request_set_param (request, "height", g_variant_new_int64 (clips[_i].height));
      sora_request_set_param (request, "frames", g_variant_new_int64 (clips[_i].frames));
    }
  request->memory_limit = clips[_i].limit;
  g_autoptr (SoraPlan) plan = plan_ok (request);
  ck_assert_uint_eq (sora_plan_memory_limit (plan), clips[_i].limit);
  gboolean fits = sora_plan_check_memory (plan, sora_plan_memory_limit (plan), &error);
  ck_assert (fits == (clips[_i].says == NULL));
  if (fits)
    return;
  ck_assert (g_error_matches (error, SORA_ERROR, SORA_ERROR_NO_MEMORY));
  assert_error_has (error->message, clips[_i].says);
  /* And they do. */
  g_autoptr (GArray) sizes = sora_plan_sizes_that_fit (plan, clips[_i].limit);
  for (guint i = 0; i < sizes->len; i++)
    {
      const SoraPlanSize *size = &g_array_index (sizes, SoraPlanSize, i);
      ck_assert_uint_le ((guint64)(size->width * size->height * size->frames), clips[_i].limit);
    }
}
END_TEST

START_TEST (sizes_need_parameters)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraRequest) request
      = request_new ("[Parameters]\nwidth=clip.width\n[Stage clip]\nPlugin=stages/clip\n");
  g_autoptr (SoraPlan) plan = plan_ok (request);
  ck_assert (!sora_plan_check_memory (plan, 16000000, &error));
  assert_error_has (error->message, "and may use 15.3 MiB: raise the memory limit");
}
END_TEST

static gint64
first_extent (SoraPlan *plan)
{
  SoraPlanStage *stage = g_ptr_array_index (sora_plan_stages (plan), 0);
  return ((SoraPlanOutput *)g_ptr_array_index (stage->outputs, 0))->spec->shape[0];
}

START_TEST (peak_does_not_wrap)
{
  g_autoptr (SoraRequest) request = request_new (
      "[Stage a]\nPlugin=stages/weigh\nParam.weights=9223372036854775807\n"
      "Param.work=9223372036854775807\n"
      "[Stage b]\nPlugin=stages/weigh\nParam.weights=3000000\nInput.in=a:out\n");
  g_autoptr (SoraPlan) plan = plan_ok (request);
  ck_assert (sora_plan_peak_bytes (plan) == G_MAXUINT64);
}
END_TEST

/* What is not given joins nothing: the two may run at the same time. */
START_TEST (a_cut_edge_puts_nothing_in_order)
{
  g_autoptr (SoraRequest) request = request_new (
      "[Stage b]\nPlugin=stages/break\nParam.rule=infer-nothing\n"
      "[Stage w]\nPlugin=stages/weigh\nParam.weights=1000\nInput.in=b:whole\n");
  g_autoptr (SoraPlan) plan = plan_ok (request);
  ck_assert_uint_eq (sora_plan_peak_bytes (plan), 1500);
}
END_TEST

START_TEST (nothing_is_freed)
{
  sora_plan_unref (NULL);
  sora_runner_unref (NULL);
  sora_environment_free (NULL);
}
END_TEST

START_TEST (values_in_rising_order)
{
  static const char *const pipelines[]
      = { SOURCE, SOURCE "Param.count=20\n",
          "[Parameters]\nn=source.count\n[Defaults]\nn=30\n" SOURCE };
  static const gint64 expected[] = { 8, 20, 30 };
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (SoraRequest) request = request_new (pipelines[i]);
      g_autoptr (SoraPlan) plan = plan_ok (request);
      ck_assert_int_eq (first_extent (plan), expected[i]);
    }
  g_autoptr (SoraRequest) request = request_new (pipelines[2]);
  request_set (request, "n", "40");
  g_autoptr (SoraPlan) by_public = plan_ok (request);
  ck_assert_int_eq (first_extent (by_public), 40);
  request_set (request, "source.count", "50");
  g_autoptr (SoraPlan) by_stage = plan_ok (request);
  ck_assert_int_eq (first_extent (by_stage), 50);
}
END_TEST

START_TEST (warnings_are_kept)
{
  g_autoptr (SoraRequest) request = request_new (OTHER);
  request_set (request, "other.word", "'warn'");
  g_autoptr (SoraPlan) plan = plan_ok (request);
  const char *const *warnings = sora_plan_warnings (plan);
  ck_assert_ptr_nonnull (warnings[0]);
  ck_assert_str_eq (warnings[0], "stage 'other': the word 'warn' is risky");
  ck_assert_ptr_null (warnings[1]);
}
END_TEST

START_TEST (stage_is_swapped)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraRequest) request = request_new (
      SOURCE
      "[Stage mid]\nPlugin=stages/pass\nInput.in=source:out\nParam.limit=5\n" SINK ("mid:out"));
  g_hash_table_insert (request->stages, g_strdup ("mid"), g_strdup ("stages/gather"));
  g_autoptr (SoraPlan) plan = plan_ok (request);
  SoraPlanStage *stage = g_ptr_array_index (sora_plan_stages (plan), 1);
  ck_assert (!((SoraPlanOutput *)g_ptr_array_index (stage->outputs, 0))->stream);
  /* The pipeline's Param.limit was meant for pass. */
  assert_error_has (sora_plan_warnings (plan)[0], "has no parameter 'limit'");

  g_hash_table_insert (request->stages, g_strdup ("mud"), g_strdup ("stages/gather"));
  ck_assert_ptr_null (sora_plan_new (fixture.environment, request, &error));
  assert_error_has (error->message, "no stage 'mud' to be replaced: did you mean 'mid'?");
}
END_TEST

START_TEST (unwanted_output_of_optional_input)
{
  /* join's b is optional: the stage that gives nothing leaves it unconnected. */
  g_autoptr (SoraRequest) request = request_new (
      SOURCE "[Stage b]\nPlugin=stages/break\nParam.rule=infer-nothing\n"
             "[Stage join]\nPlugin=stages/join\nInput.a=source:out\nInput.b=b:out\n");
  g_autoptr (SoraPlan) plan = plan_ok (request);
  SoraPlanStage *stage = g_ptr_array_index (sora_plan_stages (plan), 1);
  ck_assert_str_eq (stage->stage, "b");
  ck_assert_uint_eq (stage->outputs->len, 0);
}
END_TEST

START_TEST (public_params)
{
  g_autoptr (GError) error = NULL;
  static const char text[]
      = "[Pipeline]\nId=test\nFormat=1\n[Parameters]\nn=source.count\nsay=other.word\n"
        "w=source.width\n[Defaults]\nn=30\n" SOURCE "[Stage other]\nPlugin=stages/other\n";
  g_autoptr (SoraPipeline) pipeline = sora_pipeline_parse (text, strlen (text), "test", &error);
  ck_assert_msg (pipeline != NULL, "%s", error != NULL ? error->message : "");
  g_autoptr (GPtrArray) params
      = sora_pipeline_public_params (fixture.environment, pipeline, &error);
  ck_assert_msg (params != NULL, "%s", error != NULL ? error->message : "");
  ck_assert_uint_eq (params->len, 3);
  SoraPublicParam *n = g_ptr_array_index (params, 0), *say = g_ptr_array_index (params, 1),
                  *w = g_ptr_array_index (params, 2);
  ck_assert_str_eq (n->name, "n");
  ck_assert_str_eq (n->param->name, "count");
  ck_assert_int_eq (g_variant_get_int64 (n->default_value), 30);
  ck_assert_ptr_null (say->default_value);
  ck_assert_int_eq (g_variant_get_int64 (w->default_value), 4);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("plan");
  TCase *tests = tcase_create ("plan");

  tcase_add_checked_fixture (tests, fixture_setup, fixture_teardown);
  tcase_add_loop_test (tests, refuses, 0, G_N_ELEMENTS (refused));
  tcase_add_test (tests, doubly_fed);
  tcase_add_test (tests, tells_stages);
  tcase_add_test (tests, peak_is_of_what_stands_together);
  tcase_add_test (tests, peak_of_streams_counts_none_twice);
  tcase_add_loop_test (tests, sizes_that_would_fit_are_named, 0, G_N_ELEMENTS (clips));
  tcase_add_test (tests, sizes_need_parameters);
  tcase_add_test (tests, peak_does_not_wrap);
  tcase_add_test (tests, a_cut_edge_puts_nothing_in_order);
  tcase_add_test (tests, nothing_is_freed);
  tcase_add_test (tests, values_in_rising_order);
  tcase_add_test (tests, warnings_are_kept);
  tcase_add_test (tests, stage_is_swapped);
  tcase_add_test (tests, unwanted_output_of_optional_input);
  tcase_add_test (tests, public_params);
  suite_add_tcase (suite, tests);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed != 0;
}
