/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Plugin manifests: what a plugin is, read without loading its code, and held to what the code says
 * when it is.
 */
#include "config.h"
#include <string.h>
#include "sora-file.h"
#include "sora-manifest.h"

#define CODE SORA_ERROR_INVALID_PLUGIN
#define STAGE_PREFIX "Stage "

static void
stage_free (gpointer data)
{
  SoraStageInfo *stage = data;
  if (stage == NULL)
    return;
  g_free ((char *)stage->id);
  g_free ((char *)stage->kind);
  g_free ((char *)stage->summary);
  g_strfreev ((char **)stage->inputs);
  g_strfreev ((char **)stage->outputs);
  g_free (stage);
}

void
sora_manifest_free (SoraPluginInfo *info)
{
  if (info == NULL)
    return;
  g_free (info->id);
  g_free (info->name);
  g_free (info->version);
  g_free (info->licence);
  g_free (info->summary);
  g_free (info->manifest_path);
  g_free (info->module_path);
  g_free (info->level);
  g_clear_pointer (&info->stages, g_ptr_array_unref);
  g_clear_error (&info->load_error);
  g_free (info);
}

/* A list of port names; a key that is not there is an empty list. */
static gboolean
read_ports (GKeyFile *file, const char *group, const char *key, const char *path,
            const char *const **ports, GError **error)
{
  g_auto (GStrv) list = g_key_file_get_string_list (file, group, key, NULL, NULL);
  if (list == NULL)
    list = g_new0 (char *, 1);
  for (gsize i = 0; list[i] != NULL; i++)
    if (!sora_name_is_valid (list[i])
        || g_strv_contains ((const char *const *)list + i + 1, list[i]))
      {
        sora_error_set (error, CODE,
                        "'%s': [%s] %s= has '%s', which is not a name or stands there twice", path,
                        group, key, list[i]);
        return FALSE;
      }
  *ports = (const char *const *)g_steal_pointer (&list);
  return TRUE;
}

/* A path need not be UTF-8, but what is told must be. */
G_GNUC_PRINTF (2, 3)
static void
warn (GPtrArray *warnings, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_ptr_array_add (warnings, g_utf8_make_valid (text, -1));
}

static gboolean
read_stage (SoraPluginInfo *info, GKeyFile *file, const char *group, GPtrArray *warnings,
            GError **error)
{
  static const char *const known[] = { "Kind", "Summary", "Inputs", "Outputs", NULL };
  const char *path = info->manifest_path;
  SoraStageInfo *stage = g_new0 (SoraStageInfo, 1);
  g_ptr_array_add (info->stages, stage);
  stage->id = g_strdup (group + strlen (STAGE_PREFIX));
  if (!sora_name_is_valid (stage->id))
    {
      sora_error_set (error, CODE,
                      "'%s': '%s' in [%s] is not a name: expected letters, digits, '-' and '_'",
                      path, stage->id, group);
      return FALSE;
    }
  g_autofree char *unknown = sora_keyfile_unknown_key (file, group, known);
  if (unknown != NULL)
    warn (warnings, "'%s': [%s] has an unknown key '%s'", path, group, unknown);
  stage->kind = sora_keyfile_require (file, group, "Kind", path, CODE, error);
  if (stage->kind == NULL)
    return FALSE;
  stage->summary = sora_keyfile_require (file, group, "Summary", path, CODE, error);
  return stage->summary != NULL && read_ports (file, group, "Inputs", path, &stage->inputs, error)
         && read_ports (file, group, "Outputs", path, &stage->outputs, error);
}

/* "1.0": another major cannot be loaded; a later minor is the module's to tell, by what it needs.
 */
static gboolean
check_abi (GKeyFile *file, const char *path, GError **error)
{
  g_autofree char *abi = sora_keyfile_require (file, "Plugin", "Abi", path, CODE, error);
  if (abi == NULL)
    return FALSE;
  g_auto (GStrv) parts = g_strsplit (abi, ".", -1);
  guint64 major = 0, minor = 0;
  if (g_strv_length (parts) != 2
      || !g_ascii_string_to_unsigned (parts[0], 10, 0, 65535, &major, NULL)
      || !g_ascii_string_to_unsigned (parts[1], 10, 0, 65535, &minor, NULL))
    {
      sora_error_set (error, CODE, "'%s': Abi=%s is not like %u.%u", path, abi, SORA_ABI_MAJOR,
                      SORA_ABI_MINOR);
      return FALSE;
    }
  if (major != SORA_ABI_MAJOR)
    {
      sora_error_set (error, CODE,
                      "'%s': it was built for plugin ABI %s, this program has %u.%u: rebuild it",
                      path, abi, SORA_ABI_MAJOR, SORA_ABI_MINOR);
      return FALSE;
    }
  return TRUE;
}

static gboolean
read_plugin (SoraPluginInfo *info, GKeyFile *file, GError **error)
{
  const char *path = info->manifest_path;
  struct
  {
    const char *key;
    char **value;
  } const words[] = { { "Id", &info->id },
                      { "Name", &info->name },
                      { "Version", &info->version },
                      { "Licence", &info->licence },
                      { "Summary", &info->summary } };
  if (!g_key_file_has_group (file, "Plugin"))
    {
      sora_error_set (error, CODE, "'%s' has no [Plugin] group: it is no plugin manifest", path);
      return FALSE;
    }
  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    {
      *words[i].value = sora_keyfile_require (file, "Plugin", words[i].key, path, CODE, error);
      if (*words[i].value == NULL)
        return FALSE;
    }
  g_autofree char *base = g_path_get_basename (path);
  g_autofree char *expected = g_strconcat (info->id, ".plugin", NULL);
  if (!sora_name_is_valid (info->id) || strcmp (base, expected) != 0)
    {
      sora_error_set (
          error, CODE,
          "'%s': Id=%s is not the file's name: expected letters, digits, '-' and '_', and "
          "a file '%s'",
          path, info->id, expected);
      return FALSE;
    }
  return check_abi (file, path, error);
}

static gboolean
read_module (SoraPluginInfo *info, GKeyFile *file, GError **error)
{
  g_autofree char *module
      = sora_keyfile_require (file, "Plugin", "Module", info->manifest_path, CODE, error);
  if (module == NULL)
    return FALSE;
  if (!sora_name_is_plain_file (module))
    {
      sora_error_set (
          error, CODE,
          "'%s': Module=%s is not a plain file name: the module stands beside its manifest",
          info->manifest_path, module);
      return FALSE;
    }
  g_autofree char *folder = g_path_get_dirname (info->manifest_path);
  info->module_path = g_build_filename (folder, module, NULL);
  return TRUE;
}

SoraPluginInfo *
sora_manifest_parse (const char *text, gsize length, const char *path, GPtrArray *warnings,
                     GError **error)
{
  static const char *const known[]
      = { "Id", "Name", "Version", "Licence", "Summary", "Module", "Abi", NULL };
  g_autoptr (GKeyFile) file = sora_keyfile_parse (text, length, path, CODE, error);
  if (file == NULL)
    return NULL;
  g_autoptr (SoraPluginInfo) info = g_new0 (SoraPluginInfo, 1);
  info->manifest_path = g_strdup (path);
  info->stages = g_ptr_array_new_with_free_func (stage_free);
  if (!read_plugin (info, file, error) || !read_module (info, file, error))
    return NULL;
  g_autofree char *unknown = sora_keyfile_unknown_key (file, "Plugin", known);
  if (unknown != NULL)
    warn (warnings, "'%s': [Plugin] has an unknown key '%s'", path, unknown);
  g_auto (GStrv) groups = g_key_file_get_groups (file, NULL);
  for (char **group = groups; *group != NULL; group++)
    {
      if (g_str_has_prefix (*group, STAGE_PREFIX))
        {
          if (!read_stage (info, file, *group, warnings, error))
            return NULL;
        }
      else if (strcmp (*group, "Plugin") != 0)
        warn (warnings, "'%s' has an unknown group [%s]", path, *group);
    }
  if (info->stages->len == 0)
    {
      sora_error_set (error, CODE, "'%s' has no [Stage ...] group", path);
      return NULL;
    }
  g_ptr_array_add (info->stages, NULL);
  return g_steal_pointer (&info);
}

SoraPluginInfo *
sora_manifest_load (const char *path, GPtrArray *warnings, GError **error)
{
  g_autoptr (GBytes) bytes = sora_file_load (path, SORA_KEYFILE_MAX_SIZE, CODE, error);
  gsize length;
  if (bytes == NULL)
    return NULL;
  const char *text = g_bytes_get_data (bytes, &length);
  return sora_manifest_parse (text, length, path, warnings, error);
}

static gboolean
differs (const SoraPluginInfo *info, const char *what, const char *said, const char *is,
         GError **error)
{
  if (g_strcmp0 (said, is) == 0)
    return FALSE;
  sora_error_set (error, CODE, "'%s' says that the %s is '%s', but the module says '%s'",
                  info->manifest_path, what, said, is);
  return TRUE;
}

static char *
join_ports (const SoraPort *const *ports)
{
  GString *text = g_string_new (NULL);
  for (gsize i = 0; ports != NULL && ports[i] != NULL; i++)
    g_string_append_printf (text, "%s%s", i > 0 ? ";" : "", ports[i]->name);
  return g_string_free (text, FALSE);
}

static gboolean
stage_differs (const SoraPluginInfo *info, const SoraStageInfo *said, const SoraStageClass *is,
               GError **error)
{
  g_autofree char *inputs_said = g_strjoinv (";", (char **)said->inputs);
  g_autofree char *outputs_said = g_strjoinv (";", (char **)said->outputs);
  g_autofree char *inputs = join_ports (is->inputs);
  g_autofree char *outputs = join_ports (is->outputs);
  g_autofree char *kind_of = g_strdup_printf ("kind of stage '%s'", said->id);
  g_autofree char *inputs_of = g_strdup_printf ("list of inputs of stage '%s'", said->id);
  g_autofree char *outputs_of = g_strdup_printf ("list of outputs of stage '%s'", said->id);
  return differs (info, kind_of, said->kind, is->kind, error)
         || differs (info, inputs_of, inputs_said, inputs, error)
         || differs (info, outputs_of, outputs_said, outputs, error);
}

gboolean
sora_manifest_matches (const SoraPluginInfo *info, const SoraPlugin *plugin, GError **error)
{
  GString *said = g_string_new (NULL), *is = g_string_new (NULL);
  const SoraStageInfo *const *stages = sora_plugin_info_stages (info);
  for (gsize i = 0; stages[i] != NULL; i++)
    g_string_append_printf (said, "%s%s", i > 0 ? ";" : "", stages[i]->id);
  for (gsize i = 0; plugin->stages[i] != NULL; i++)
    g_string_append_printf (is, "%s%s", i > 0 ? ";" : "", plugin->stages[i]->id);
  gboolean bad = differs (info, "id", info->id, plugin->id, error)
                 || differs (info, "version", info->version, plugin->version, error)
                 || differs (info, "licence", info->licence, plugin->licence, error)
                 || differs (info, "list of stages", said->str, is->str, error);
  g_string_free (said, TRUE);
  g_string_free (is, TRUE);
  for (gsize i = 0; !bad && stages[i] != NULL; i++)
    bad = stage_differs (info, stages[i], plugin->stages[i], error);
  return !bad;
}
