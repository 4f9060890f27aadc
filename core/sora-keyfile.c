/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Key files read strictly, names, and search paths; see sora-keyfile.h.
 */
#include "config.h"
#include <string.h>
#include "sora-keyfile.h"

/* Groups and keys of which there may be one each. */
static gboolean
check_duplicates (const char *text, const char *name, SoraError code, GError **error)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *group = g_strdup ("");
  for (guint i = 0; lines[i] != NULL; i++)
    {
      char *line = g_strstrip (lines[i]);
      char *equals = strchr (line, '=');
      g_autofree char *entry = NULL;
      if (*line == '\0' || *line == '#')
        continue;
      if (*line == '[')
        {
          g_free (group);
          group = g_strdup (line);
          entry = g_strdup (line);
        }
      else if (equals != NULL)
        {
          *equals = '\0';
          entry = g_strdup_printf ("%s\n%s", group, g_strchomp (line));
        }
      else
        continue; /* GKeyFile says what is wrong with it */
      if (!g_hash_table_add (seen, g_steal_pointer (&entry)))
        {
          sora_error_set (error, code, "'%s', line %u: %s %s%s%s stands there twice", name, i + 1,
                          *line == '[' ? "group" : "key", line, *line == '[' ? "" : " of ",
                          *line == '[' ? "" : group);
          return FALSE;
        }
    }
  return TRUE;
}

GKeyFile *
sora_keyfile_parse (const char *text, gsize length, const char *name, SoraError code,
                    GError **error)
{
  g_autoptr (GError) local = NULL;
  if (length > SORA_KEYFILE_MAX_SIZE)
    {
      sora_error_set (error, code, "'%s' is %" G_GSIZE_FORMAT " bytes long, expected at most %u",
                      name, length, SORA_KEYFILE_MAX_SIZE);
      return NULL;
    }
  if (!g_utf8_validate_len (text, length, NULL))
    {
      sora_error_set (error, code, "'%s' is not valid UTF-8", name);
      return NULL;
    }
  g_autofree char *copy = g_strndup (text, length);
  if (!check_duplicates (copy, name, code, error))
    return NULL;
  g_autoptr (GKeyFile) file = g_key_file_new ();
  if (!g_key_file_load_from_data (file, text, length, G_KEY_FILE_NONE, &local))
    {
      sora_error_set (error, code, "'%s': %s", name, local->message);
      return NULL;
    }
  return g_steal_pointer (&file);
}

char *
sora_keyfile_require (GKeyFile *file, const char *group, const char *key, const char *name,
                      SoraError code, GError **error)
{
  g_autoptr (GError) local = NULL;
  g_autofree char *value = g_key_file_get_string (file, group, key, &local);
  /* GLib gives a text and an error for an escape that it does not know. */
  if (local == NULL && *value != '\0')
    return g_steal_pointer (&value);
  if (local == NULL)
    sora_error_set (error, code, "'%s': [%s] %s= is empty", name, group, key);
  else if (g_error_matches (local, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_INVALID_VALUE))
    sora_error_set (error, code, "'%s': [%s] %s=: %s", name, group, key, local->message);
  else
    sora_error_set (error, code, "'%s': [%s] has no %s=", name, group, key);
  return NULL;
}

char *
sora_keyfile_unknown_key (GKeyFile *file, const char *group, const char *const *known)
{
  g_auto (GStrv) keys = g_key_file_get_keys (file, group, NULL, NULL);
  for (char **key = keys; key != NULL && *key != NULL; key++)
    {
      gboolean found = FALSE;
      for (const char *const *k = known; *k != NULL && !found; k++)
        found = g_str_has_suffix (*k, ".") ? g_str_has_prefix (*key, *k) : strcmp (*key, *k) == 0;
      if (!found)
        return g_strdup (*key);
    }
  return NULL;
}

gboolean
sora_name_is_valid (const char *name)
{
  if (!g_ascii_isalnum (*name) || strlen (name) > 64)
    return FALSE;
  for (const char *p = name; *p != '\0'; p++)
    if (!g_ascii_isalnum (*p) && *p != '-' && *p != '_')
      return FALSE;
  return TRUE;
}

gboolean
sora_name_is_plain_file (const char *name)
{
  return *name != '\0' && *name != '.' && strchr (name, '/') == NULL;
}

char **
sora_search_path (gboolean user, const char *variable, const char *user_base, const char *user_part,
                  const char *system_dir)
{
  g_autoptr (GPtrArray) dirs = g_ptr_array_new_with_free_func (g_free);
  const char *value = user ? g_getenv (variable) : NULL;
  g_auto (GStrv) parts = g_strsplit (value != NULL ? value : "", ":", -1);
  for (char **part = parts; *part != NULL; part++)
    if (**part != '\0')
      g_ptr_array_add (dirs, g_strdup (*part));
  if (user)
    g_ptr_array_add (dirs, g_build_filename (user_base, user_part, NULL));
  g_ptr_array_add (dirs, g_strdup (system_dir));
  g_ptr_array_add (dirs, NULL);
  return (char **)g_ptr_array_free (g_steal_pointer (&dirs), FALSE);
}

int
sora_compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}
