/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Pipeline files: the design's own example, and everything that a hand can get wrong in one.
 */
#include "config.h"
#include <string.h>
#include "sora-pipeline.h"
#include "sora-test-util.h"

#define HEAD "[Pipeline]\nId=test\nFormat=1\n"

static const char example[]
    = "[Pipeline]\nId=text-to-video\nFormat=1\nName=Text to video\nSummary=A clip\n"
      "[Models]\nmain=text_encoder,transformer,vae\nextra=vae\n"
      "[Parameters]\nprompt=text.prompt\nsteps=denoise.steps;decode.steps\n"
      "[Defaults]\nsteps=20\n"
      "[Stage text]\nPlugin=text-umt5\nModel=main\n"
      "[Stage denoise]\nPlugin=dit-wan/small\nModel=main\nModel.lora=extra\n"
      "Input.text=text:embedding\nParam.sampler=unipc\n"
      "[Stage decode]\nPlugin=vae-wan\nModel=main\nInput.latents=denoise:latents\n";

START_TEST (the_example_is_read)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraPipeline) pipeline
      = sora_pipeline_parse (example, strlen (example), "example", &error);
  sora_assert_no_error (error);
  ck_assert_str_eq (sora_pipeline_id (pipeline), "text-to-video");
  ck_assert_str_eq (sora_pipeline_name (pipeline), "Text to video");
  ck_assert_str_eq (sora_pipeline_summary (pipeline), "A clip");
  ck_assert_ptr_null (sora_pipeline_path (pipeline));
  ck_assert_str_eq (sora_pipeline_text (pipeline), example);
  ck_assert_str_eq (g_hash_table_lookup (sora_pipeline_roles (pipeline), "main"),
                    "text_encoder,transformer,vae");

  GPtrArray *stages = sora_pipeline_stages (pipeline);
  ck_assert_uint_eq (stages->len, 3);
  SoraPipelineStage *denoise = g_ptr_array_index (stages, 1);
  ck_assert_str_eq (denoise->id, "denoise");
  ck_assert_str_eq (denoise->plugin, "dit-wan/small");
  ck_assert_str_eq (g_hash_table_lookup (denoise->models, ""), "main");
  ck_assert_str_eq (g_hash_table_lookup (denoise->models, "lora"), "extra");
  ck_assert_str_eq (g_hash_table_lookup (denoise->params, "sampler"), "unipc");
  SoraPipelineInput *input = g_ptr_array_index (denoise->inputs, 0);
  ck_assert_str_eq (input->port, "text");
  ck_assert_str_eq (input->source_stage, "text");
  ck_assert_str_eq (input->source_port, "embedding");

  GPtrArray *params = sora_pipeline_params (pipeline);
  ck_assert_uint_eq (params->len, 2);
  SoraPipelineParam *steps = g_ptr_array_index (params, 1);
  ck_assert_str_eq (steps->name, "steps");
  ck_assert_str_eq (steps->default_text, "20");
  ck_assert_uint_eq (steps->targets->len, 2);
  SoraPipelineTarget *target = g_ptr_array_index (steps->targets, 1);
  ck_assert_str_eq (target->stage, "decode");
  ck_assert_str_eq (target->param, "steps");
  ck_assert_ptr_null (((SoraPipelineParam *)g_ptr_array_index (params, 0))->default_text);
}
END_TEST

#define A "[Stage a]\nPlugin=p\n"
#define B "[Stage b]\nPlugin=q\n"

static const struct
{
  const char *text, *words;
} faults[] = {
  { "", "it has no [Pipeline] group" },
  { "rubbish", "pipeline" },
  { "[Pipeline]\nId=\xff\n", "not valid UTF-8" },
  { "[Pipeline]\nId=test\n", "[Pipeline] has no Format=" },
  { "[Pipeline]\nId=test\nFormat=2\n", "it has Format=2, this program reads Format=1" },
  { "[Pipeline]\nId=test\nFormat=one\n", "it has Format=one" },
  { "[Pipeline]\nFormat=1\n" A, "[Pipeline] has no Id=" },
  { "[Pipeline]\nFormat=1\nId=a b\n" A, "Id=a b is not a name" },
  { "[Pipeline]\nFormat=1\nId=x\nName=\n" A, "[Pipeline] Name= is empty" },
  { "[Pipeline]\nFormat=1\nId=x\nName=\\q\n" A, "[Pipeline] Name=" },
  { HEAD "Author=me\n" A,
    "[Pipeline] has an unknown key 'Author'; known are: Id, Format, Name, Summary" },
  { HEAD, "it has no stages" },
  { HEAD A "[Stage a]\nPlugin=q\n", "line 6: group [Stage a] stands there twice" },
  { HEAD A "Plugin=q\n", "key Plugin of [Stage a] stands there twice" },
  { HEAD A "Plugin =q\n", "key Plugin of [Stage a] stands there twice" },
  { HEAD A "[Stages b]\nPlugin=q\n", "unknown group [Stages b]" },
  { HEAD "[Stage ]\nPlugin=q\n", "is not a name" },
  { HEAD "[Stage a.b]\nPlugin=q\n", "'a.b' is not a name" },
  { HEAD "[Stage a]\nModel=main\n", "[Stage a] has no Plugin=" },
  { HEAD "[Stage a]\nPlugin=\n", "[Stage a] Plugin= is empty" },
  { HEAD "[Stage a]\nPlugin=../evil\n", "Plugin=../evil is not like 'plugin' or 'plugin/class'" },
  { HEAD "[Stage a]\nPlugin=a/b/c\n", "Plugin=a/b/c is not like" },
  { HEAD A "Imput.x=b:y\n",
    "[Stage a] has an unknown key 'Imput.x'; known are: Plugin, Model, Model...., Input...." },
  { HEAD A "Input.x=b:y\n", "[Stage a] Input.x=b:y: there is no stage 'b'" },
  { HEAD A "Input.x=a:y\n", "a stage cannot feed itself" },
  { HEAD A B "Input.x=a\n", "[Stage b] Input.x=a is not like 'stage:port'" },
  { HEAD A B "Input.x=a:y:z\n", "Input.x=a:y:z is not like 'stage:port'" },
  { HEAD A B "Input.x=\n", "[Stage b] Input.x= is empty" },
  { HEAD A B "Input.=a:y\n", "[Stage b] Input.= does not name a port" },
  { HEAD A B "Input.x=a:y\nInput.x=a:z\n", "key Input.x of [Stage b] stands there twice" },
  { HEAD A "Model=main\n", "[Stage a] Model=main names a role that is not in [Models]" },
  { HEAD "[Models]\nmain=vae\n" A, "no stage uses the role 'main'" },
  { HEAD "[Models]\nmain=\n" A "Model=main\n", "[Models] main= is empty" },
  { HEAD "[Models]\nmain=vae,\n" A "Model=main\n", "[Models] main=vae, is not like" },
  { HEAD "[Models]\na b=vae\n" A "Model=a b\n", "'a b' is not a name for a role" },
  { HEAD "[Models]\nmain=vae\n" A "Model.=main\n", "[Stage a] Model.= does not name a model slot" },
  { HEAD A "Param.=1\n", "[Stage a] Param.= does not name a parameter" },
  { HEAD A "Param.x=\\q\n", "[Stage a] Param.x=" },
  { HEAD A "[Parameters]\nsteps=\n", "[Parameters] steps= names no stage's parameter" },
  { HEAD A "[Parameters]\nsteps=a\n", "[Parameters] steps=a is not like 'stage.parameter'" },
  { HEAD A "[Parameters]\nsteps=a.\n", "steps=a. is not like" },
  { HEAD A "[Parameters]\nsteps=b.steps\n", "steps=b.steps: there is no stage 'b'" },
  { HEAD A "[Parameters]\nsteps=a.s;a.s\n",
    "steps=a.s is already set by another parameter, or twice" },
  { HEAD A "[Parameters]\nx=a.s\ny=a.s\n", "y=a.s is already set by another parameter" },
  { HEAD A "Param.s=1\n[Parameters]\nx=a.s\n", "x=a.s is also set by Param.s of [Stage a]" },
  { HEAD A "[Parameters]\na.b=a.s\n", "'a.b' is not a name" },
  { HEAD A "[Defaults]\nsteps=1\n",
    "[Defaults] steps= is for a parameter that is not in [Parameters]" },
  { HEAD A "[Parameters]\nx=a.s\n[Defaults]\nx=\\q\n", "[Defaults] x=" },
};

START_TEST (faults_are_told)
{
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (
      sora_pipeline_parse (faults[_i].text, strlen (faults[_i].text), "faulty", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_PIPELINE, "'faulty'");
  ck_assert_ptr_null (
      sora_pipeline_parse (faults[_i].text, strlen (faults[_i].text), "pipeline", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_PIPELINE, faults[_i].words);
}
END_TEST

START_TEST (sizes_are_limited)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) text = g_string_new (HEAD);
  for (int i = 0; i < 257; i++)
    g_string_append_printf (text, "[Stage s%d]\nPlugin=p\n", i);
  ck_assert_ptr_null (sora_pipeline_parse (text->str, text->len, "large", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_PIPELINE, "it has more than 256 stages");
  g_autofree char *comment = g_strnfill ((1u << 20) + 1, '#');
  ck_assert_ptr_null (sora_pipeline_parse (comment, strlen (comment), "large", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_PIPELINE,
                     "1048577 bytes long, expected at most 1048576");
  ck_assert_ptr_null (sora_pipeline_parse ("[Pipeline]\0", 11, "nul", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_PIPELINE, "not valid UTF-8");
}
END_TEST

START_TEST (pipelines_are_found_in_folders)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *first = sora_test_dir ();
  g_autofree char *second = sora_test_dir ();
  g_autofree char *path = sora_test_write (first, "test.pipeline", HEAD A, -1);
  sora_test_text (second, "test.pipeline", HEAD "Name=Hidden by the first\n" A);
  sora_test_text (first, "edited.pipeline", "x"); /* and so is this, though it is broken */
  sora_test_text (second, "edited.pipeline", "[Pipeline]\nId=edited\nFormat=1\n" A);
  sora_test_text (second, "alpha.pipeline", "[Pipeline]\nId=alpha\nFormat=1\n" A);
  sora_test_text (second, "wrong.pipeline", HEAD A);
  sora_test_text (second, "broken.pipeline", "x");
  sora_test_text (second, "readme.txt", "x");
  const char *dirs[] = { first, "/no/such/folder", second, NULL };
  g_autoptr (GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) list = sora_pipeline_list (dirs, warnings);
  ck_assert_uint_eq (list->len, 2);
  ck_assert_str_eq (sora_pipeline_id (g_ptr_array_index (list, 0)), "alpha");
  ck_assert_str_eq (sora_pipeline_name (g_ptr_array_index (list, 1)), "test");
  ck_assert_uint_eq (warnings->len, 3);

  g_autoptr (SoraPipeline) found = sora_pipeline_find (dirs, "test", &error);
  ck_assert_str_eq (sora_pipeline_path (found), path);
  g_autoptr (SoraPipeline) by_path = sora_pipeline_find (dirs, path, &error);
  ck_assert_str_eq (sora_pipeline_id (by_path), "test");
  ck_assert_ptr_null (sora_pipeline_find (dirs, "edited", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_PIPELINE, "edited.pipeline");
  ck_assert_ptr_null (sora_pipeline_find (dirs, "wrong", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_PIPELINE, "has Id=test: expected the file's name");
  ck_assert_ptr_null (sora_pipeline_find (dirs, "nothing", &error));
  sora_assert_error (error, SORA_ERROR_NOT_FOUND,
                     "there is no pipeline 'nothing'; there are: alpha, test");
  ck_assert_ptr_null (sora_pipeline_find (dirs, "..", &error));
  sora_assert_error (error, SORA_ERROR_NOT_FOUND, "there is no pipeline '..'");
  ck_assert_ptr_null (sora_pipeline_load (first, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_PIPELINE, "is a folder");
  ck_assert_ptr_null (sora_pipeline_load ("/no/such/file", &error));
  sora_assert_error (error, SORA_ERROR_NOT_FOUND, "cannot open '/no/such/file'");
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("pipeline");
  TCase *tcase = sora_test_case (suite, "pipeline");
  tcase_add_test (tcase, the_example_is_read);
  tcase_add_loop_test (tcase, faults_are_told, 0, G_N_ELEMENTS (faults));
  tcase_add_test (tcase, sizes_are_limited);
  tcase_add_test (tcase, pipelines_are_found_in_folders);
  return sora_test_main (suite);
}
