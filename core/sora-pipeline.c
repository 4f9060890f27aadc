/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Pipelines: the object that a pipeline file becomes, and where such files are found.
 */
#include "config.h"
#include <string.h>
#include "sora-file.h"
#include "sora-keyfile.h"
#include "sora-pipeline-private.h"

#define SUFFIX ".pipeline"

static void
input_free (gpointer data)
{
  SoraPipelineInput *input = data;
  g_free (input->port);
  g_free (input->source_stage);
  g_free (input->source_port);
  g_free (input);
}

static void
stage_free (gpointer data)
{
  SoraPipelineStage *stage = data;
  g_free (stage->id);
  g_free (stage->plugin);
  g_hash_table_unref (stage->models);
  g_ptr_array_unref (stage->inputs);
  g_hash_table_unref (stage->params);
  g_free (stage);
}

static void
target_free (gpointer data)
{
  SoraPipelineTarget *target = data;
  g_free (target->stage);
  g_free (target->param);
  g_free (target);
}

static void
param_free (gpointer data)
{
  SoraPipelineParam *param = data;
  g_free (param->name);
  g_free (param->default_text);
  g_ptr_array_unref (param->targets);
  g_free (param);
}

static GHashTable *
text_table_new (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
}

SoraPipeline *
sora_pipeline_new (void)
{
  SoraPipeline *pipeline = g_new0 (SoraPipeline, 1);
  pipeline->refs = 1;
  pipeline->stages = g_ptr_array_new_with_free_func (stage_free);
  pipeline->params = g_ptr_array_new_with_free_func (param_free);
  pipeline->roles = text_table_new ();
  return pipeline;
}

SoraPipelineStage *
sora_pipeline_stage_new (const char *id)
{
  SoraPipelineStage *stage = g_new0 (SoraPipelineStage, 1);
  stage->id = g_strdup (id);
  stage->models = text_table_new ();
  stage->inputs = g_ptr_array_new_with_free_func (input_free);
  stage->params = text_table_new ();
  return stage;
}

SoraPipelineParam *
sora_pipeline_param_new (const char *name)
{
  SoraPipelineParam *param = g_new0 (SoraPipelineParam, 1);
  param->name = g_strdup (name);
  param->targets = g_ptr_array_new_with_free_func (target_free);
  return param;
}

SoraPipelineStage *
sora_pipeline_find_stage (SoraPipeline *pipeline, const char *id)
{
  for (guint i = 0; i < pipeline->stages->len; i++)
    if (strcmp (((SoraPipelineStage *)g_ptr_array_index (pipeline->stages, i))->id, id) == 0)
      return g_ptr_array_index (pipeline->stages, i);
  return NULL;
}

SoraPipelineParam *
sora_pipeline_find_param (SoraPipeline *pipeline, const char *name)
{
  for (guint i = 0; i < pipeline->params->len; i++)
    if (strcmp (((SoraPipelineParam *)g_ptr_array_index (pipeline->params, i))->name, name) == 0)
      return g_ptr_array_index (pipeline->params, i);
  return NULL;
}

gboolean
sora_plugin_name_is_valid (const char *name)
{
  g_auto (GStrv) parts = g_strsplit (name, "/", 3);
  guint n = g_strv_length (parts);
  return (n == 1 || n == 2) && sora_name_is_valid (parts[0])
         && (n == 1 || sora_name_is_valid (parts[1]));
}

void
sora_pipeline_unref (SoraPipeline *pipeline)
{
  if (pipeline == NULL || !g_atomic_int_dec_and_test (&pipeline->refs))
    return;
  g_ptr_array_unref (pipeline->stages);
  g_ptr_array_unref (pipeline->params);
  g_hash_table_unref (pipeline->roles);
  g_free (pipeline->id);
  g_free (pipeline->display);
  g_free (pipeline->summary);
  g_free (pipeline->path);
  g_free (pipeline->text);
  g_free (pipeline);
}

const char *
sora_pipeline_id (SoraPipeline *pipeline)
{
  return pipeline->id;
}

const char *
sora_pipeline_name (SoraPipeline *pipeline)
{
  return pipeline->display;
}

const char *
sora_pipeline_summary (SoraPipeline *pipeline)
{
  return pipeline->summary;
}

const char *
sora_pipeline_path (SoraPipeline *pipeline)
{
  return pipeline->path;
}

GPtrArray *
sora_pipeline_stages (SoraPipeline *pipeline)
{
  return pipeline->stages;
}

GPtrArray *
sora_pipeline_params (SoraPipeline *pipeline)
{
  return pipeline->params;
}

GHashTable *
sora_pipeline_roles (SoraPipeline *pipeline)
{
  return pipeline->roles;
}

const char *
sora_pipeline_text (SoraPipeline *pipeline)
{
  return pipeline->text;
}

SoraPipeline *
sora_pipeline_load (const char *path, GError **error)
{
  gsize length;
  g_autoptr (GBytes) bytes
      = sora_file_load (path, SORA_KEYFILE_MAX_SIZE, SORA_ERROR_INVALID_PIPELINE, error);
  if (bytes == NULL)
    return NULL;
  const char *text = g_bytes_get_data (bytes, &length);
  SoraPipeline *pipeline = sora_pipeline_parse (text, length, path, error);
  if (pipeline != NULL)
    pipeline->path = g_strdup (path);
  return pipeline;
}

char **
sora_pipeline_default_dirs (gboolean user)
{
  return sora_search_path (user, "SORA_PIPELINE_PATH", g_get_user_data_dir (), "sorad/pipelines",
                           SORA_PIPELINES_DIR);
}

/* In a search path a file is found by its name, so the name has to be the id. */
static SoraPipeline *
load_from_dir (const char *dir, const char *base, GError **error)
{
  g_autofree char *path = g_build_filename (dir, base, NULL);
  g_autoptr (SoraPipeline) pipeline = sora_pipeline_load (path, error);
  if (pipeline == NULL)
    return NULL;
  g_autofree char *expected = g_strconcat (pipeline->id, SUFFIX, NULL);
  if (strcmp (expected, base) != 0)
    {
      sora_error_set (error, SORA_ERROR_INVALID_PIPELINE,
                      "pipeline '%s' has Id=%s: expected the file's name, or a file named '%s'",
                      path, pipeline->id, expected);
      return NULL;
    }
  return g_steal_pointer (&pipeline);
}

static int
compare_ids (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(SoraPipeline *const *)a)->id, (*(SoraPipeline *const *)b)->id);
}

static void
list_dir (const char *path, GHashTable *seen, GPtrArray *list, GPtrArray *warnings)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autoptr (GError) error = NULL;
      if (!g_str_has_suffix (name, SUFFIX) || !sora_name_is_plain_file (name)
          || !g_hash_table_add (seen, g_strdup (name)))
        continue;
      SoraPipeline *pipeline = load_from_dir (path, name, &error);
      if (pipeline == NULL)
        {
          if (warnings != NULL)
            g_ptr_array_add (warnings, g_strdup (error->message));
          continue;
        }
      g_ptr_array_add (list, pipeline);
    }
}

GPtrArray *
sora_pipeline_list (const char *const *dirs, GPtrArray *warnings)
{
  GPtrArray *list = g_ptr_array_new_with_free_func ((GDestroyNotify)sora_pipeline_unref);
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (; *dirs != NULL; dirs++)
    list_dir (*dirs, seen, list, warnings);
  g_ptr_array_sort (list, compare_ids);
  return list;
}

SoraPipeline *
sora_pipeline_find (const char *const *dirs, const char *name, GError **error)
{
  if (strchr (name, '/') != NULL)
    return sora_pipeline_load (name, error);
  g_autofree char *base = g_strconcat (name, SUFFIX, NULL);
  for (gsize i = 0; dirs[i] != NULL && sora_name_is_valid (name); i++)
    {
      g_autofree char *path = g_build_filename (dirs[i], base, NULL);
      if (g_file_test (path, G_FILE_TEST_EXISTS))
        return load_from_dir (dirs[i], base, error);
    }
  g_autoptr (GPtrArray) known = sora_pipeline_list (dirs, NULL);
  GString *ids = g_string_new (NULL);
  for (guint i = 0; i < known->len; i++)
    g_string_append_printf (ids, "%s%s", i > 0 ? ", " : "",
                            ((SoraPipeline *)g_ptr_array_index (known, i))->id);
  sora_error_set (error, SORA_ERROR_NOT_FOUND,
                  "there is no pipeline '%s'; there are: %s (a path has a slash in it)", name,
                  ids->len > 0 ? ids->str : "none");
  g_string_free (ids, TRUE);
  return NULL;
}
