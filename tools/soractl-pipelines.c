/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl pipelines: the pipeline files of the search path.
 */
#include "config.h"
#include "soractl-console.h"
#include "soractl-json.h"
#include "soractl.h"

int
soractl_verb_pipelines (SoractlGlobal *global, int argc, char **argv)
{
  int code = soractl_parse_options (global, NULL, FALSE, &argc, &argv);
  if (code != SORACTL_OK)
    return code;
  if (argc > 1)
    return soractl_usage_error ("pipelines",
                                "unexpected word '%s'; 'soractl inspect %s' shows one pipeline",
                                argv[1], argv[1]);
  g_autoptr (SoraEnvironment) environment = sora_environment_new (TRUE);
  g_autoptr (GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) pipelines
      = sora_pipeline_list ((const char *const *)environment->pipeline_dirs, warnings);
  for (guint i = 0; i < warnings->len; i++)
    soractl_console_warning ("%s", (char *)warnings->pdata[i]);
  json_t *root = json_array ();
  g_autoptr (SoractlTable) table = soractl_table_new (3, "000");
  soractl_table_row (table, "PIPELINE", "STAGES", "SUMMARY");
  for (guint i = 0; i < pipelines->len; i++)
    {
      SoraPipeline *pipeline = pipelines->pdata[i];
      GPtrArray *stages = sora_pipeline_stages (pipeline);
      g_autoptr (GString) names = g_string_new (NULL);
      json_t *list = json_array ();
      for (guint k = 0; k < stages->len; k++)
        {
          SoraPipelineStage *stage = stages->pdata[k];
          g_string_append_printf (names, "%s%s", k > 0 ? " " : "", stage->id);
          json_array_append_new (
              list, json_pack ("{s:s, s:s}", "id", stage->id, "plugin", stage->plugin));
        }
      soractl_table_row (table, sora_pipeline_id (pipeline), names->str,
                         sora_pipeline_summary (pipeline));
      json_array_append_new (root, json_pack ("{s:s, s:s*, s:s*, s:s*, s:o}", "id",
                                              sora_pipeline_id (pipeline), "name",
                                              sora_pipeline_name (pipeline), "summary",
                                              sora_pipeline_summary (pipeline), "path",
                                              sora_pipeline_path (pipeline), "stages", list));
    }
  if (global->json)
    {
      soractl_json_print (root);
    }
  else
    {
      json_decref (root);
      soractl_table_print (table, stdout);
    }
  return SORACTL_OK;
}
