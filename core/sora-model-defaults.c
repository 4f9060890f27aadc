/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What suits a model: the size, length and number of steps that it was trained for, in a file of
 * its folder, since nothing in the Diffusers layout says so.  Names are a pipeline's public ones.
 */
#include "config.h"
#include <string.h>
#include "sora-keyfile.h"
#include "sora-model-private.h"

#define CODE SORA_ERROR_INVALID_MODEL
#define MAX_DEFAULTS 64

static char *
text_of (json_t *value)
{
  char number[G_ASCII_DTOSTR_BUF_SIZE];

  if (json_is_string (value))
    return g_strdup (json_string_value (value));
  if (json_is_boolean (value))
    return g_strdup (json_is_true (value) ? "true" : "false");
  if (json_is_integer (value))
    return g_strdup_printf ("%" JSON_INTEGER_FORMAT, json_integer_value (value));
  if (json_is_real (value))
    return g_strdup (g_ascii_dtostr (number, sizeof number, json_real_value (value)));
  return NULL;
}

static gboolean
take_all (GHashTable *defaults, json_t *root, const char *display, GError **error)
{
  const char *name;
  json_t *value;

  if (json_object_size (root) > MAX_DEFAULTS)
    {
      sora_error_set (error, CODE, "'%s' has %zu members, expected at most %d", display,
                      json_object_size (root), MAX_DEFAULTS);
      return FALSE;
    }
  json_object_foreach (root, name, value)
  {
    char *text = sora_name_is_valid (name) ? text_of (value) : NULL;
    if (text == NULL)
      {
        sora_error_set (error, CODE,
                        "'%s': '%.80s' %s, expected the name of a parameter and a string, a number, "
                        "true or false",
                        display, name,
                        sora_name_is_valid (name) ? "has another kind of value" : "is not a name");
        return FALSE;
      }
    g_hash_table_insert (defaults, g_strdup (name), text);
  }
  return TRUE;
}

GHashTable *
sora_model_parse_defaults (const char *text, gsize length, const char *display, GError **error)
{
  g_autoptr (GHashTable) defaults
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  json_t *root = sora_model_parse_json (text, length, display, error);
  if (root == NULL)
    return NULL;
  gboolean ok = take_all (defaults, root, display, error);
  json_decref (root);
  return ok ? g_steal_pointer (&defaults) : NULL;
}

GHashTable *
sora_model_defaults (SoraModel *model, GError **error)
{
  g_autoptr (GError) local = NULL;
  g_autoptr (GBytes) bytes = sora_model_read_file (model, SORA_MODEL_DEFAULTS, &local);
  if (bytes == NULL && g_error_matches (local, SORA_ERROR, SORA_ERROR_NOT_FOUND))
    return g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  if (bytes == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return NULL;
    }
  gsize length;
  const char *text = g_bytes_get_data (bytes, &length);
  g_autofree char *display = sora_model_display (model, SORA_MODEL_DEFAULTS);
  return sora_model_parse_defaults (text, length, display, error);
}
