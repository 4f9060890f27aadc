/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target: a pipeline file.  In what is accepted every reference resolves, and its text gives
 * the same again.
 */
#include "config.h"
#include <string.h>
#include "fuzz.h"
#include "sora-keyfile.h"
#include "sora-pipeline.h"

static gboolean
has_stage (SoraPipeline *pipeline, const char *id)
{
  GPtrArray *stages = sora_pipeline_stages (pipeline);
  for (guint i = 0; i < stages->len; i++)
    if (strcmp (((SoraPipelineStage *)g_ptr_array_index (stages, i))->id, id) == 0)
      return TRUE;
  return FALSE;
}

static void
check_stage (SoraPipeline *pipeline, const SoraPipelineStage *stage)
{
  GHashTableIter iter;
  gpointer role;
  MUST (sora_name_is_valid (stage->id) && stage->plugin != NULL);
  g_hash_table_iter_init (&iter, stage->models);
  while (g_hash_table_iter_next (&iter, NULL, &role))
    MUST (g_hash_table_contains (sora_pipeline_roles (pipeline), role));
  for (guint i = 0; i < stage->inputs->len; i++)
    MUST (has_stage (pipeline,
                     ((SoraPipelineInput *)g_ptr_array_index (stage->inputs, i))->source_stage));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraPipeline) pipeline
      = sora_pipeline_parse ((const char *)data, size, "input", &error);
  MUST_TELL (pipeline, error);
  if (pipeline == NULL)
    return 0;
  GPtrArray *stages = sora_pipeline_stages (pipeline);
  GPtrArray *params = sora_pipeline_params (pipeline);
  MUST (stages->len > 0 && sora_name_is_valid (sora_pipeline_id (pipeline)));
  for (guint i = 0; i < stages->len; i++)
    check_stage (pipeline, g_ptr_array_index (stages, i));
  for (guint i = 0; i < params->len; i++)
    {
      SoraPipelineParam *param = g_ptr_array_index (params, i);
      MUST (param->targets->len > 0);
      for (guint j = 0; j < param->targets->len; j++)
        MUST (has_stage (pipeline,
                         ((SoraPipelineTarget *)g_ptr_array_index (param->targets, j))->stage));
    }
  const char *text = sora_pipeline_text (pipeline);
  g_autoptr (SoraPipeline) again = sora_pipeline_parse (text, strlen (text), "again", NULL);
  MUST (again != NULL && sora_pipeline_stages (again)->len == stages->len);
  return 0;
}
