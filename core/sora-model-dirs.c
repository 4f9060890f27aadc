/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Where models are found.
 */
#include "config.h"
#include <string.h>
#include "sora-error.h"
#include "sora-keyfile.h"
#include "sora-model-parts.h"

#define WEIGHTS ".safetensors"

char **
sora_model_default_dirs (gboolean user)
{
  return sora_search_path (user, "SORA_MODEL_PATH", g_get_user_data_dir (), "sorad/models",
                           SORA_MODELS_DIR);
}

/* Is the entry @name of @dir a model: a folder with an index or a weights file, or such a file? */
static gboolean
holds_model (const char *dir, const char *name)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  g_autofree char *index = g_build_filename (path, SORA_MODEL_INDEX, NULL);
  g_autofree char *conf = g_build_filename (path, SORA_MODEL_CONF, NULL);
  if (!sora_name_is_plain_file (name) || name[0] == '.')
    return FALSE;
  return g_str_has_suffix (name, WEIGHTS)
             ? g_file_test (path, G_FILE_TEST_IS_REGULAR)
             : g_file_test (index, G_FILE_TEST_EXISTS) || g_file_test (conf, G_FILE_TEST_EXISTS)
                   || sora_model_holds_weights (path);
}

static char *
id_of (const char *name)
{
  gsize length = strlen (name);
  return g_strndup (name, g_str_has_suffix (name, WEIGHTS) ? length - strlen (WEIGHTS) : length);
}

static void
list_dir (const char *path, GHashTable *seen, GPtrArray *list, GPtrArray *warnings)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autoptr (GError) error = NULL;
      if (!holds_model (path, name) || !g_hash_table_add (seen, id_of (name)))
        continue;
      g_autofree char *folder = g_build_filename (path, name, NULL);
      SoraModel *model = sora_model_open (folder, &error);
      if (model != NULL)
        g_ptr_array_add (list, model);
      else if (warnings != NULL)
        g_ptr_array_add (warnings, g_strdup (error->message));
    }
}

static int
compare_ids (gconstpointer a, gconstpointer b)
{
  return strcmp (sora_model_id (*(SoraModel *const *)a), sora_model_id (*(SoraModel *const *)b));
}

GPtrArray *
sora_model_list (const char *const *dirs, GPtrArray *warnings)
{
  GPtrArray *list = g_ptr_array_new_with_free_func ((GDestroyNotify)sora_model_unref);
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (; *dirs != NULL; dirs++)
    list_dir (*dirs, seen, list, warnings);
  g_ptr_array_sort (list, compare_ids);
  return list;
}

SoraModel *
sora_model_find (const char *const *dirs, const char *name, GError **error)
{
  if (strchr (name, '/') != NULL)
    return sora_model_open (name, error);
  g_autofree char *file = g_strconcat (name, WEIGHTS, NULL);
  for (gsize i = 0; dirs[i] != NULL; i++)
    if (holds_model (dirs[i], name) || holds_model (dirs[i], file))
      {
        g_autofree char *path
            = g_build_filename (dirs[i], holds_model (dirs[i], name) ? name : file, NULL);
        return sora_model_open (path, error);
      }
  g_autoptr (GPtrArray) known = sora_model_list (dirs, NULL);
  GString *ids = g_string_new (NULL);
  for (guint i = 0; i < known->len; i++)
    g_string_append_printf (ids, "%s%s", i > 0 ? ", " : "",
                            sora_model_id (g_ptr_array_index (known, i)));
  sora_error_set (error, SORA_ERROR_NOT_FOUND,
                  "there is no model '%s'; there are: %s (a path has a slash in it)", name,
                  ids->len > 0 ? ids->str : "none");
  g_string_free (ids, TRUE);
  return NULL;
}
