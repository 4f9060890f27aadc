/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reading a pipeline file: its form, and that every name in it resolves inside it.  Whether the
 * plugins exist and the ports fit is the plan's to say.
 */
#include "config.h"
#include <string.h>
#include "sora-keyfile.h"
#include "sora-pipeline-private.h"

#define CODE SORA_ERROR_INVALID_PIPELINE
#define STAGE_PREFIX "Stage "
#define MAX_STAGES 256u
#define FORMAT 1

typedef struct
{
  SoraPipeline *pipeline;
  GKeyFile *file;
  const char *name;
} Reader;

/* Always FALSE. */
G_GNUC_PRINTF (3, 4)
static gboolean
refuse (const Reader *reader, GError **error, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *what = g_strdup_vprintf (format, args);
  va_end (args);
  sora_error_set (error, CODE, "pipeline '%s': %s", reader->name, what);
  return FALSE;
}

static gboolean
check_keys (const Reader *reader, const char *group, const char *const *known, GError **error)
{
  g_autofree char *unknown = sora_keyfile_unknown_key (reader->file, group, known);
  if (unknown == NULL)
    return TRUE;
  GString *list = g_string_new (NULL);
  for (gsize i = 0; known[i] != NULL; i++)
    g_string_append_printf (list, "%s%s%s", i > 0 ? ", " : "", known[i],
                            g_str_has_suffix (known[i], ".") ? "..." : "");
  refuse (reader, error, "[%s] has an unknown key '%s'; known are: %s", group, unknown, list->str);
  g_string_free (list, TRUE);
  return FALSE;
}

/* One that may be missing, but not be there and broken. */
static gboolean
read_word (const Reader *reader, const char *key, const char *otherwise, char **word,
           GError **error)
{
  if (g_key_file_has_key (reader->file, "Pipeline", key, NULL))
    *word = sora_keyfile_require (reader->file, "Pipeline", key, reader->name, CODE, error);
  else
    *word = g_strdup (otherwise);
  return *word != NULL;
}

static gboolean
read_head (const Reader *reader, GError **error)
{
  static const char *const known[] = { "Id", "Format", "Name", "Summary", NULL };
  SoraPipeline *pipeline = reader->pipeline;
  guint64 format;
  if (!g_key_file_has_group (reader->file, "Pipeline"))
    return refuse (reader, error, "it has no [Pipeline] group");
  /* The format first: what else a later one means is not ours to judge. */
  g_autofree char *number
      = sora_keyfile_require (reader->file, "Pipeline", "Format", reader->name, CODE, error);
  if (number == NULL)
    return FALSE;
  if (!g_ascii_string_to_unsigned (number, 10, 1, 65535, &format, NULL) || format != FORMAT)
    return refuse (reader, error, "it has Format=%s, this program reads Format=%d", number, FORMAT);
  if (!check_keys (reader, "Pipeline", known, error))
    return FALSE;
  pipeline->id = sora_keyfile_require (reader->file, "Pipeline", "Id", reader->name, CODE, error);
  if (pipeline->id == NULL)
    return FALSE;
  if (!sora_name_is_valid (pipeline->id))
    return refuse (reader, error, "Id=%s is not a name: expected letters, digits, '-' and '_'",
                   pipeline->id);
  return read_word (reader, "Name", pipeline->id, &pipeline->display, error)
         && read_word (reader, "Summary", "", &pipeline->summary, error);
}

static gboolean
read_models (const Reader *reader, GError **error)
{
  g_auto (GStrv) roles = g_key_file_get_keys (reader->file, "Models", NULL, NULL);
  for (char **role = roles; role != NULL && *role != NULL; role++)
    {
      g_autofree char *components
          = sora_keyfile_require (reader->file, "Models", *role, reader->name, CODE, error);
      if (components == NULL)
        return FALSE;
      if (!sora_name_is_valid (*role))
        return refuse (reader, error, "[Models] '%s' is not a name for a role", *role);
      g_auto (GStrv) parts = g_strsplit (components, ",", -1);
      for (char **part = parts; *part != NULL; part++)
        if (!sora_name_is_valid (*part))
          return refuse (reader, error, "[Models] %s=%s is not like 'text_encoder,vae'", *role,
                         components);
      g_hash_table_insert (reader->pipeline->roles, g_strdup (*role),
                           g_steal_pointer (&components));
    }
  return TRUE;
}

/* "text:embedding" */
static gboolean
read_input (const Reader *reader, const char *group, const char *key, SoraPipelineStage *stage,
            GError **error)
{
  g_autofree char *value
      = sora_keyfile_require (reader->file, group, key, reader->name, CODE, error);
  if (value == NULL)
    return FALSE;
  g_auto (GStrv) parts = g_strsplit (value, ":", -1);
  const char *port = key + strlen ("Input.");
  if (!sora_name_is_valid (port))
    return refuse (reader, error, "[%s] %s= does not name a port", group, key);
  if (g_strv_length (parts) != 2 || !sora_name_is_valid (parts[0])
      || !sora_name_is_valid (parts[1]))
    return refuse (reader, error, "[%s] %s=%s is not like 'stage:port'", group, key, value);
  SoraPipelineInput *input = g_new0 (SoraPipelineInput, 1);
  input->port = g_strdup (port);
  input->source_stage = g_strdup (parts[0]);
  input->source_port = g_strdup (parts[1]);
  g_ptr_array_add (stage->inputs, input);
  return TRUE;
}

static gboolean
read_slot (const Reader *reader, const char *group, const char *key, SoraPipelineStage *stage,
           GError **error)
{
  g_autofree char *role
      = sora_keyfile_require (reader->file, group, key, reader->name, CODE, error);
  const char *slot = strcmp (key, "Model") == 0 ? "" : key + strlen ("Model.");
  if (role == NULL)
    return FALSE;
  if (*slot == '\0' && strcmp (key, "Model") != 0)
    return refuse (reader, error, "[%s] %s= does not name a model slot", group, key);
  if (!g_hash_table_contains (reader->pipeline->roles, role))
    return refuse (reader, error, "[%s] %s=%s names a role that is not in [Models]", group, key,
                   role);
  g_hash_table_insert (stage->models, g_strdup (slot), g_steal_pointer (&role));
  return TRUE;
}

static gboolean
read_fixed_param (const Reader *reader, const char *group, const char *key,
                  SoraPipelineStage *stage, GError **error)
{
  const char *name = key + strlen ("Param.");
  g_autoptr (GError) local = NULL;
  g_autofree char *value = g_key_file_get_string (reader->file, group, key, &local);
  if (local != NULL)
    return refuse (reader, error, "[%s] %s=: %s", group, key, local->message);
  if (!sora_name_is_valid (name))
    return refuse (reader, error, "[%s] %s= does not name a parameter", group, key);
  g_hash_table_insert (stage->params, g_strdup (name), g_steal_pointer (&value));
  return TRUE;
}

static gboolean
read_stage (const Reader *reader, const char *group, GError **error)
{
  static const char *const known[] = { "Plugin", "Model", "Model.", "Input.", "Param.", NULL };
  SoraPipelineStage *stage = sora_pipeline_stage_new (group + strlen (STAGE_PREFIX));
  g_ptr_array_add (reader->pipeline->stages, stage);
  if (reader->pipeline->stages->len > MAX_STAGES)
    return refuse (reader, error, "it has more than %u stages", MAX_STAGES);
  if (!sora_name_is_valid (stage->id))
    return refuse (reader, error, "[%s]: '%s' is not a name: expected letters, digits, '-' and '_'",
                   group, stage->id);
  if (!check_keys (reader, group, known, error))
    return FALSE;
  stage->plugin = sora_keyfile_require (reader->file, group, "Plugin", reader->name, CODE, error);
  if (stage->plugin == NULL)
    return FALSE;
  if (!sora_plugin_name_is_valid (stage->plugin))
    return refuse (reader, error, "[%s] Plugin=%s is not like 'plugin' or 'plugin/class'", group,
                   stage->plugin);
  g_auto (GStrv) keys = g_key_file_get_keys (reader->file, group, NULL, NULL);
  for (char **key = keys; *key != NULL; key++)
    {
      gboolean ok = TRUE;
      if (g_str_has_prefix (*key, "Input."))
        ok = read_input (reader, group, *key, stage, error);
      else if (strcmp (*key, "Model") == 0 || g_str_has_prefix (*key, "Model."))
        ok = read_slot (reader, group, *key, stage, error);
      else if (g_str_has_prefix (*key, "Param."))
        ok = read_fixed_param (reader, group, *key, stage, error);
      if (!ok)
        return FALSE;
    }
  return TRUE;
}

/* "denoise.steps" */
static gboolean
read_target (const Reader *reader, SoraPipelineParam *param, const char *text, GHashTable *taken,
             GError **error)
{
  const char *dot = strchr (text, '.');
  g_autofree char *id = dot != NULL ? g_strndup (text, (gsize)(dot - text)) : g_strdup ("");
  if (dot == NULL || !sora_name_is_valid (id) || !sora_name_is_valid (dot + 1))
    return refuse (reader, error, "[Parameters] %s=%s is not like 'stage.parameter'", param->name,
                   text);
  SoraPipelineStage *stage = sora_pipeline_find_stage (reader->pipeline, id);
  if (stage == NULL)
    return refuse (reader, error, "[Parameters] %s=%s: there is no stage '%s'", param->name, text,
                   id);
  if (g_hash_table_contains (stage->params, dot + 1))
    return refuse (reader, error, "[Parameters] %s=%s is also set by Param.%s of [Stage %s]",
                   param->name, text, dot + 1, id);
  if (!g_hash_table_add (taken, g_strdup (text)))
    return refuse (reader, error,
                   "[Parameters] %s=%s is already set by another parameter, or twice", param->name,
                   text);
  SoraPipelineTarget *target = g_new0 (SoraPipelineTarget, 1);
  target->stage = g_steal_pointer (&id);
  target->param = g_strdup (dot + 1);
  g_ptr_array_add (param->targets, target);
  return TRUE;
}

static gboolean
read_params (const Reader *reader, GError **error)
{
  g_auto (GStrv) keys = g_key_file_get_keys (reader->file, "Parameters", NULL, NULL);
  g_autoptr (GHashTable) taken = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (char **key = keys; key != NULL && *key != NULL; key++)
    {
      SoraPipelineParam *param = sora_pipeline_param_new (*key);
      g_ptr_array_add (reader->pipeline->params, param);
      if (!sora_name_is_valid (*key))
        return refuse (reader, error,
                       "[Parameters] '%s' is not a name: expected letters, digits, '-' and '_'",
                       *key);
      g_auto (GStrv) targets
          = g_key_file_get_string_list (reader->file, "Parameters", *key, NULL, NULL);
      if (targets == NULL || targets[0] == NULL)
        return refuse (reader, error, "[Parameters] %s= names no stage's parameter", *key);
      for (char **target = targets; *target != NULL; target++)
        if (!read_target (reader, param, g_strstrip (*target), taken, error))
          return FALSE;
    }
  return TRUE;
}

static gboolean
read_defaults (const Reader *reader, GError **error)
{
  g_auto (GStrv) keys = g_key_file_get_keys (reader->file, "Defaults", NULL, NULL);
  for (char **key = keys; key != NULL && *key != NULL; key++)
    {
      g_autoptr (GError) local = NULL;
      SoraPipelineParam *param = sora_pipeline_find_param (reader->pipeline, *key);
      if (param == NULL)
        return refuse (reader, error,
                       "[Defaults] %s= is for a parameter that is not in [Parameters]", *key);
      param->default_text = g_key_file_get_string (reader->file, "Defaults", *key, &local);
      if (local != NULL)
        return refuse (reader, error, "[Defaults] %s=: %s", *key, local->message);
    }
  return TRUE;
}

static gboolean
check_inputs (const Reader *reader, GError **error)
{
  for (guint i = 0; i < reader->pipeline->stages->len; i++)
    {
      SoraPipelineStage *stage = g_ptr_array_index (reader->pipeline->stages, i);
      for (guint j = 0; j < stage->inputs->len; j++)
        {
          SoraPipelineInput *input = g_ptr_array_index (stage->inputs, j);
          if (sora_pipeline_find_stage (reader->pipeline, input->source_stage) == NULL)
            return refuse (reader, error, "[Stage %s] Input.%s=%s:%s: there is no stage '%s'",
                           stage->id, input->port, input->source_stage, input->source_port,
                           input->source_stage);
          if (strcmp (input->source_stage, stage->id) == 0)
            return refuse (reader, error, "[Stage %s] Input.%s=%s:%s: a stage cannot feed itself",
                           stage->id, input->port, input->source_stage, input->source_port);
        }
    }
  return TRUE;
}

/* A role that nothing uses is a misspelt Model= somewhere. */
static gboolean
check_roles (const Reader *reader, GError **error)
{
  GHashTableIter roles;
  gpointer role;
  g_hash_table_iter_init (&roles, reader->pipeline->roles);
  while (g_hash_table_iter_next (&roles, &role, NULL))
    {
      gboolean used = FALSE;
      for (guint i = 0; i < reader->pipeline->stages->len && !used; i++)
        {
          SoraPipelineStage *stage = g_ptr_array_index (reader->pipeline->stages, i);
          GHashTableIter slots;
          gpointer value;
          g_hash_table_iter_init (&slots, stage->models);
          while (g_hash_table_iter_next (&slots, NULL, &value))
            used |= strcmp (value, role) == 0;
        }
      if (!used)
        return refuse (reader, error, "no stage uses the role '%s' of [Models]",
                       (const char *)role);
    }
  return TRUE;
}

static gboolean
read_groups (const Reader *reader, GError **error)
{
  static const char *const plain[] = { "Pipeline", "Models", "Parameters", "Defaults", NULL };
  g_auto (GStrv) groups = g_key_file_get_groups (reader->file, NULL);
  for (char **group = groups; *group != NULL; group++)
    if (g_str_has_prefix (*group, STAGE_PREFIX))
      {
        if (!read_stage (reader, *group, error))
          return FALSE;
      }
    else if (!g_strv_contains (plain, *group))
      return refuse (reader, error,
                     "it has an unknown group [%s]; known are [Pipeline], [Models], [Parameters], "
                     "[Defaults] and "
                     "[Stage ID]",
                     *group);
  if (reader->pipeline->stages->len == 0)
    return refuse (reader, error, "it has no stages: expected at least one [Stage ID] group");
  return TRUE;
}

SoraPipeline *
sora_pipeline_parse (const char *text, gsize length, const char *display_name, GError **error)
{
  g_autoptr (GKeyFile) file = sora_keyfile_parse (text, length, display_name, CODE, error);
  if (file == NULL)
    return NULL;
  g_autoptr (SoraPipeline) pipeline = sora_pipeline_new ();
  Reader reader = { pipeline, file, display_name };
  pipeline->text = g_strndup (text, length);
  if (!read_head (&reader, error) || !read_models (&reader, error) || !read_groups (&reader, error)
      || !read_params (&reader, error) || !read_defaults (&reader, error)
      || !check_inputs (&reader, error) || !check_roles (&reader, error))
    return NULL;
  return g_steal_pointer (&pipeline);
}
