/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tensors of one stage from and to safetensors files.
 *
 * Attributes of ports travel in the files' metadata, as "attr.TENSOR.NAME" with a type letter:
 * "i:512", "f:16", "s:off".
 */
#include "config.h"
#include "soractl-stage.h"
#include "sora-error.h"
#include "sora-safetensors.h"
#include <string.h>

static GVariant *
attr_parse (const char *text)
{
  if (g_str_has_prefix (text, "i:"))
    return g_variant_ref_sink (g_variant_new_int64 (g_ascii_strtoll (text + 2, NULL, 10)));
  if (g_str_has_prefix (text, "f:"))
    return g_variant_ref_sink (g_variant_new_double (g_ascii_strtod (text + 2, NULL)));
  if (g_str_has_prefix (text, "s:"))
    return g_variant_ref_sink (g_variant_new_string (text + 2));
  return NULL;
}

static char *
attr_print (GVariant *value)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_INT64))
    return g_strdup_printf ("i:%" G_GINT64_FORMAT, g_variant_get_int64 (value));
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_DOUBLE))
    {
      char number[G_ASCII_DTOSTR_BUF_SIZE];
      return g_strdup_printf ("f:%s",
                              g_ascii_dtostr (number, sizeof number, g_variant_get_double (value)));
    }
  return g_strdup_printf ("s:%s", g_variant_get_string (value, NULL));
}

static GHashTable *
port_attrs (SoractlStageInputs *inputs, const char *port)
{
  GHashTable *attrs = g_hash_table_lookup (inputs->attrs, port);
  if (attrs == NULL)
    {
      attrs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                     (GDestroyNotify)g_variant_unref);
      g_hash_table_insert (inputs->attrs, g_strdup (port), attrs);
    }
  return attrs;
}

/* The attributes that a stage of ours wrote into the file; the keys are not listed, so ask for
 * those that exist. */
static void
read_attrs (SoractlStageInputs *inputs, SoraSafetensors *file, const char *port, const char *tensor)
{
  g_autofree char *list_key = g_strdup_printf ("attrs.%s", tensor);
  const char *list = sora_safetensors_metadata (file, list_key);
  g_auto (GStrv) names = g_strsplit (list != NULL ? list : "", ",", -1);
  for (char **name = names; *name != NULL; name++)
    {
      g_autofree char *key = g_strdup_printf ("attr.%s.%s", tensor, *name);
      const char *text = sora_safetensors_metadata (file, key);
      GVariant *value = text != NULL ? attr_parse (text) : NULL;
      if (value != NULL)
        g_hash_table_replace (port_attrs (inputs, port), g_strdup (*name), value);
    }
}

gboolean
soractl_stage_add_input (SoractlStageInputs *inputs, const char *option, GError **error)
{
  const char *equals = strchr (option, '=');
  if (equals == NULL || equals == option)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "option --input takes PORT=FILE[:TENSOR], not '%s'", option);
      return FALSE;
    }
  g_autofree char *port = g_strndup (option, (gsize)(equals - option));
  g_autofree char *path = g_strdup (equals + 1);
  const char *tensor = NULL;
  char *colon = strrchr (path, ':');
  if (colon != NULL && !g_file_test (path, G_FILE_TEST_EXISTS))
    {
      *colon = '\0';
      tensor = colon + 1;
    }
  g_autoptr (SoraSafetensors) file = sora_safetensors_open (path, error);
  if (file == NULL)
    return FALSE;
  const char *const *names = sora_safetensors_names (file);
  if (tensor == NULL && g_strv_contains (names, port))
    tensor = port;
  if (tensor == NULL && names[0] != NULL && names[1] == NULL)
    tensor = names[0];
  if (tensor == NULL)
    {
      g_autofree char *all = g_strjoinv (", ", (char **)names);
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "'%s' has no tensor '%s' for that port; it has: %s; say %s=%s:TENSOR", path,
                   port, all, port, path);
      return FALSE;
    }
  SoraTensor *loaded = sora_safetensors_load (file, tensor, error);
  if (loaded == NULL)
    return FALSE;
  read_attrs (inputs, file, port, tensor);
  g_hash_table_replace (inputs->tensors, g_steal_pointer (&port), loaded);
  return TRUE;
}

gboolean
soractl_stage_add_attr (SoractlStageInputs *inputs, const char *option, GError **error)
{
  const char *dot = strchr (option, '.'), *equals = dot != NULL ? strchr (dot, '=') : NULL;
  if (equals == NULL || dot == option || equals == dot + 1)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "option --attr takes PORT.NAME=VALUE, not '%s'", option);
      return FALSE;
    }
  g_autofree char *port = g_strndup (option, (gsize)(dot - option));
  char *end;
  GVariant *value = g_variant_new_int64 (g_ascii_strtoll (equals + 1, &end, 10));
  if (*end != '\0' || end == equals + 1)
    {
      g_variant_unref (value);
      double number = g_ascii_strtod (equals + 1, &end);
      value = *end == '\0' && end != equals + 1 ? g_variant_new_double (number)
                                                : g_variant_new_string (equals + 1);
    }
  g_hash_table_replace (port_attrs (inputs, port), g_strndup (dot + 1, (gsize)(equals - dot - 1)),
                        g_variant_ref_sink (value));
  return TRUE;
}

gboolean
soractl_stage_write_outputs (SoraRunner *runner, SoraPlan *plan, const char *only, const char *path,
                             GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new (),
                        tensors
                        = g_ptr_array_new_with_free_func ((GDestroyNotify)sora_tensor_unref);
  g_autoptr (GHashTable) metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  SoraPlanStage *stage = g_ptr_array_index (sora_plan_stages (plan), 0);
  for (guint i = 0; i < stage->outputs->len; i++)
    {
      const SoraPlanOutput *output = stage->outputs->pdata[i];
      if (output->spec == NULL || (only != NULL && !g_str_equal (only, output->port)))
        continue;
      SoraTensor *tensor = sora_runner_get_output (runner, output->port);
      if (tensor == NULL)
        continue;
      g_ptr_array_add (names, (gpointer)output->port);
      g_ptr_array_add (tensors, tensor);
      g_autoptr (GString) list = g_string_new (NULL);
      GHashTableIter iter;
      gpointer key, value;
      if (output->spec->attrs != NULL)
        {
          g_hash_table_iter_init (&iter, output->spec->attrs);
          while (g_hash_table_iter_next (&iter, &key, &value))
            {
              g_string_append_printf (list, "%s%s", list->len > 0 ? "," : "", (char *)key);
              g_hash_table_insert (metadata,
                                   g_strdup_printf ("attr.%s.%s", output->port, (char *)key),
                                   attr_print (value));
            }
        }
      if (list->len > 0)
        g_hash_table_insert (metadata, g_strdup_printf ("attrs.%s", output->port),
                             g_strdup (list->str));
    }
  if (names->len == 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "stage '%s' gave nothing on output '%s'", stage->plugin,
                   only != NULL ? only : "(any)");
      return FALSE;
    }
  return sora_safetensors_write (path, (const char *const *)names->pdata,
                                 (SoraTensor *const *)tensors->pdata, names->len, metadata, error);
}
