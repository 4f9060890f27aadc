/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl models: the models of the search path, and the words that change them.
 */
#include "config.h"
#include "soractl-console.h"
#include "soractl-json.h"
#include "soractl-models.h"
#include "soractl.h"

static int
list (SoractlModels *words)
{
  SoractlGlobal *global = words->global;
  SoraEnvironment *environment = words->environment;
  gboolean digest = words->digest;
  int code = SORACTL_OK;
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

int
soractl_verb_models (SoractlGlobal *global, int argc, char **argv)
{
  static const struct
  {
    const char *name;
    int (*run) (SoractlModels *models, char **words);
  } words[] = {
    { "add", soractl_models_add },
    { "remove", soractl_models_remove },
    { "show", soractl_models_show },
    { "verify", soractl_models_verify },
  };
  g_autofree char *name = NULL;
  SoractlModels models = { .global = global };
  const GOptionEntry entries[] = {
    { "digest", 0, 0, G_OPTION_ARG_NONE, &models.digest,
      "list: show the digests; the first time this reads all weights", NULL },
    { "name", 0, 0, G_OPTION_ARG_STRING, &name, "add: call it so, not as its folder or first file",
      "NAME" },
    { "delete-files", 0, 0, G_OPTION_ARG_NONE, &models.delete_files,
      "remove: also delete a model's own files in the models folder", NULL },
    { "system", 0, 0, G_OPTION_ARG_NONE, &global->system,
      "add, remove: with the machine's service, which keeps a copy", NULL },
    G_OPTION_ENTRY_NULL,
  };
  int code = soractl_parse_options (global, entries, FALSE, &argc, &argv);
  if (code != SORACTL_OK)
    return code;
  const char *word = argc > 1 ? argv[1] : "list";
  models.name = name;
  if (name != NULL && !g_str_equal (word, "add"))
    return soractl_usage_error ("models", "--name is for 'add'");
  if (models.delete_files && !g_str_equal (word, "remove"))
    return soractl_usage_error ("models", "--delete-files is for 'remove'");
  g_autoptr (SoraEnvironment) environment = sora_environment_new (TRUE);
  models.environment = environment;
  if (g_str_equal (word, "list") && argc <= 2)
    return list (&models);
  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    if (g_str_equal (word, words[i].name))
      return words[i].run (&models, argv + 2);
  return soractl_usage_error ("models",
                              "unexpected word '%s', expected list, add, show, verify or remove",
                              argc > 2 && g_str_equal (word, "list") ? argv[2] : word);
}
