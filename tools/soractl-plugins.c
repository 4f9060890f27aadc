/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl plugins: what the search path holds, from the manifests alone.
 */
#include "config.h"
#include "soractl-console.h"
#include "soractl-json.h"
#include "soractl.h"

static json_t *
names_to_json (const char *const *names)
{
  json_t *array = json_array ();
  for (; names != NULL && *names != NULL; names++)
    json_array_append_new (array, json_string (*names));
  return array;
}

static json_t *
plugin_to_json (const SoraPluginInfo *info)
{
  json_t *stages = json_array ();
  for (const SoraStageInfo *const *s = sora_plugin_info_stages (info); s != NULL && *s != NULL; s++)
    json_array_append_new (stages, json_pack ("{s:s, s:s, s:s, s:o, s:o}", "id", (*s)->id, "kind",
                                              (*s)->kind, "summary", (*s)->summary, "inputs",
                                              names_to_json ((*s)->inputs), "outputs",
                                              names_to_json ((*s)->outputs)));
  return json_pack ("{s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "id", sora_plugin_info_id (info), "name",
                    sora_plugin_info_name (info), "version", sora_plugin_info_version (info),
                    "licence", sora_plugin_info_licence (info), "summary",
                    sora_plugin_info_summary (info), "module", sora_plugin_info_module_path (info),
                    "stages", stages);
}

int
soractl_verb_plugins (SoractlGlobal *global, int argc, char **argv)
{
  int code = soractl_parse_options (global, NULL, FALSE, &argc, &argv);
  if (code != SORACTL_OK)
    return code;
  if (argc > 1)
    return soractl_usage_error (
        "plugins", "unexpected word '%s'; 'soractl inspect %s' shows one plugin", argv[1], argv[1]);
  g_autoptr (SoraEnvironment) environment = sora_environment_new (TRUE);
  for (const char *const *w = sora_registry_warnings (environment->registry);
       w != NULL && *w != NULL; w++)
    soractl_console_warning ("%s", *w);
  g_autoptr (GPtrArray) plugins = sora_registry_list (environment->registry);
  if (global->json)
    {
      json_t *root = json_array ();
      for (guint i = 0; i < plugins->len; i++)
        json_array_append_new (root, plugin_to_json (plugins->pdata[i]));
      soractl_json_print (root);
      return SORACTL_OK;
    }
  g_autoptr (SoractlTable) table = soractl_table_new (4, "0000");
  soractl_table_row (table, "PLUGIN", "VERSION", "KIND", "SUMMARY");
  for (guint i = 0; i < plugins->len; i++)
    {
      const SoraPluginInfo *info = plugins->pdata[i];
      const SoraStageInfo *const *stages = sora_plugin_info_stages (info);
      soractl_table_row (table, sora_plugin_info_id (info), sora_plugin_info_version (info),
                         stages != NULL && stages[0] != NULL ? stages[0]->kind : NULL,
                         sora_plugin_info_summary (info));
    }
  soractl_table_print (table, stdout);
  return SORACTL_OK;
}
