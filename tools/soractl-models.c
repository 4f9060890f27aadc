/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl models: the models of the search path.
 */
#include "config.h"
#include "soractl-console.h"
#include "soractl-json.h"
#include "soractl.h"

int
soractl_verb_models (SoractlGlobal *global, int argc, char **argv)
{
  gboolean digest = FALSE;
  const GOptionEntry entries[] = {
    { "digest", 0, 0, G_OPTION_ARG_NONE, &digest,
      "Show the digests; the first time this reads all weights", NULL },
    G_OPTION_ENTRY_NULL,
  };
  int code = soractl_parse_options (global, entries, FALSE, &argc, &argv);
  if (code != SORACTL_OK)
    return code;
  if (argc > 1)
    return soractl_usage_error (
        "models", "unexpected word '%s'; 'soractl inspect %s' shows one model", argv[1], argv[1]);
  g_autoptr (SoraEnvironment) environment = sora_environment_new (TRUE);
  g_autoptr (GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) models
      = sora_model_list ((const char *const *)environment->model_dirs, warnings);
  for (guint i = 0; i < warnings->len; i++)
    soractl_console_warning ("%s", (char *)warnings->pdata[i]);
  json_t *root = json_array ();
  g_autoptr (SoractlTable) table = soractl_table_new (5, "00110");
  soractl_table_row (table, "MODEL", "FAMILY", "PARAMETERS", "WEIGHTS", digest ? "DIGEST" : "PATH");
  for (guint i = 0; i < models->len; i++)
    {
      SoraModel *model = models->pdata[i];
      g_autoptr (GError) error = NULL;
      guint64 bytes = 0, parameters = 0;
      const char *hex = digest ? sora_model_digest (model, &error) : NULL;
      if ((digest && hex == NULL) || !sora_model_size (model, NULL, &bytes, &parameters, &error))
        {
          code = soractl_report (error);
          continue;
        }
      g_autofree char *size = soractl_format_bytes (bytes);
      g_autofree char *count = g_strdup_printf ("%.2f M", (double)parameters / 1e6);
      soractl_table_row (table, sora_model_id (model), sora_model_family (model), count, size,
                         digest ? hex : sora_model_path (model));
      json_array_append_new (
          root, json_pack ("{s:s, s:s, s:I, s:I, s:s, s:s*}", "id", sora_model_id (model), "family",
                           sora_model_family (model), "parameters", (json_int_t)parameters, "bytes",
                           (json_int_t)bytes, "path", sora_model_path (model), "digest", hex));
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
  return code;
}
