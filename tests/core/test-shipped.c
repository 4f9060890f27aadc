/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What this tree ships, as users get it: every plugin's manifest is whole and true and its module
 * loads, and every pipeline names plugins, stage classes, ports and parameters that there are.
 */
#include "config.h"
#include <string.h>
#include "sora-model.h"
#include "sora-pipeline.h"
#include "sora-registry.h"
#include "sora-test-util.h"

static SoraRegistry *
shipped (void)
{
  g_autofree char *dir
      = g_build_filename (g_getenv ("SORA_TEST_BUILDDIR"), "stage", "plugins", NULL);
  const char *dirs[] = { dir, NULL };
  return sora_registry_new (dirs);
}

START_TEST (every_plugin_loads)
{
  g_autoptr (SoraRegistry) registry = shipped ();
  const char *const *warnings = sora_registry_warnings (registry);
  ck_assert_msg (warnings[0] == NULL, "%s", warnings[0]);
  g_autoptr (GPtrArray) list = sora_registry_list (registry);
  ck_assert_uint_ge (list->len, 6);
  for (guint i = 0; i < list->len; i++)
    {
      g_autoptr (GError) error = NULL;
      const SoraPlugin *plugin = sora_registry_load (
          registry, sora_plugin_info_id (g_ptr_array_index (list, i)), &error);
      sora_assert_no_error (error);
      ck_assert_uint_eq (plugin->abi_major, SORA_ABI_MAJOR);
    }
}
END_TEST

static const SoraPort *
find_port (const SoraPort *const *ports, const char *name)
{
  for (gsize i = 0; ports != NULL && ports[i] != NULL; i++)
    if (strcmp (ports[i]->name, name) == 0)
      return ports[i];
  return NULL;
}

static gboolean
has_param (const SoraStageClass *stage, const char *name)
{
  for (gsize i = 0; stage->params != NULL && stage->params[i] != NULL; i++)
    if (strcmp (stage->params[i]->name, name) == 0)
      return TRUE;
  return FALSE;
}

/* Of a pipeline's stage: its class, which must load. */
static const SoraStageClass *
class_of (SoraRegistry *registry, SoraPipeline *pipeline, const char *id)
{
  GPtrArray *stages = sora_pipeline_stages (pipeline);
  g_autoptr (GError) error = NULL;
  for (guint i = 0; i < stages->len; i++)
    {
      SoraPipelineStage *stage = g_ptr_array_index (stages, i);
      if (strcmp (stage->id, id) != 0)
        continue;
      const SoraStageClass *found = sora_registry_stage (registry, stage->plugin, NULL, &error);
      sora_assert_no_error (error);
      return found;
    }
  ck_abort_msg ("no stage '%s'", id);
}

static void
check_pipeline (SoraRegistry *registry, SoraPipeline *pipeline)
{
  const char *id = sora_pipeline_id (pipeline);
  GPtrArray *stages = sora_pipeline_stages (pipeline);
  GPtrArray *params = sora_pipeline_params (pipeline);
  for (guint i = 0; i < stages->len; i++)
    {
      SoraPipelineStage *stage = g_ptr_array_index (stages, i);
      const SoraStageClass *class = class_of (registry, pipeline, stage->id);
      for (guint j = 0; j < stage->inputs->len; j++)
        {
          SoraPipelineInput *input = g_ptr_array_index (stage->inputs, j);
          const SoraPort *to = find_port (class->inputs, input->port);
          const SoraPort *from = find_port (
              class_of (registry, pipeline, input->source_stage)->outputs, input->source_port);
          ck_assert_msg (to != NULL && from != NULL, "%s: %s:%s has no such port", id, stage->id,
                         input->port);
          ck_assert_str_eq (to->semantic, from->semantic);
        }
    }
  for (guint i = 0; i < params->len; i++)
    {
      SoraPipelineParam *param = g_ptr_array_index (params, i);
      for (guint j = 0; j < param->targets->len; j++)
        {
          SoraPipelineTarget *target = g_ptr_array_index (param->targets, j);
          ck_assert_msg (has_param (class_of (registry, pipeline, target->stage), target->param),
                         "%s: stage '%s' has no parameter '%s'", id, target->stage, target->param);
        }
    }
}

START_TEST (every_pipeline_names_what_there_is)
{
  g_autofree char *dir = g_build_filename (g_getenv ("SORA_TEST_SRCDIR"), "pipelines", NULL);
  const char *dirs[] = { dir, NULL };
  g_autoptr (SoraRegistry) registry = shipped ();
  g_autoptr (GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) list = sora_pipeline_list (dirs, warnings);
  ck_assert_msg (warnings->len == 0, "%s", (char *)g_ptr_array_index (warnings, 0));
  ck_assert_uint_ge (list->len, 2);
  for (guint i = 0; i < list->len; i++)
    check_pipeline (registry, g_ptr_array_index (list, i));
}
END_TEST

START_TEST (the_embedded_model_is_whole)
{
  static const struct
  {
    const char *component, *class_name;
    gboolean weights;
  } parts[] = { { "scheduler", "UniPCMultistepScheduler", FALSE },
                { "text_encoder", "UMT5EncoderModel", TRUE },
                { "tokenizer", NULL, FALSE },
                { "transformer", "WanTransformer3DModel", TRUE },
                { "transformer_turbo", "WanTransformer3DModel", TRUE },
                { "scheduler_turbo", "WanStepDistillScheduler", FALSE },
                { "vae", "AutoencoderKLWan", TRUE } };
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = g_build_filename (g_getenv ("SORA_TEST_SRCDIR"), "models", NULL);
  const char *dirs[] = { dir, NULL };
  g_autoptr (SoraModel) model = sora_model_find (dirs, "sora-shapes-1", &error);
  sora_assert_no_error (error);
  ck_assert_str_eq (sora_model_family (model), "WanPipeline");
  for (gsize i = 0; i < G_N_ELEMENTS (parts); i++)
    {
      uint64_t bytes, parameters;
      ck_assert_msg (sora_model_has_component (model, parts[i].component), "no '%s'", parts[i].component);
      if (parts[i].class_name != NULL)
        ck_assert_str_eq (sora_model_component_class (model, parts[i].component), parts[i].class_name);
      ck_assert (sora_model_size (model, parts[i].component, &bytes, &parameters, &error));
      ck_assert_int_eq (bytes > 0, parts[i].weights);
    }
  uint64_t bytes, parameters;
  ck_assert (sora_model_size (model, NULL, &bytes, &parameters, &error));
  ck_assert_uint_le (bytes, 40000000);
  ck_assert_ptr_nonnull (sora_model_digest (model, &error));
  ck_assert (sora_model_unchanged (model, &error));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("shipped");
  TCase *tcase = sora_test_case (suite, "shipped");
  tcase_add_test (tcase, every_plugin_loads);
  tcase_add_test (tcase, every_pipeline_names_what_there_is);
  tcase_add_test (tcase, the_embedded_model_is_whole);
  return sora_test_main (suite);
}
