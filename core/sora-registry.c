/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The registry of plugins: manifests are read at once, modules when they are first needed.  A
 * module that was opened stays open for ever (threads that its libraries started outlive any use of
 * it), and one that was refused stays refused with the same words.
 */
#include "config.h"
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>
#include "sora-keyfile.h"
#include "sora-manifest.h"
#include "sora-module.h"
#include "sora-registry.h"
#include "sora-remote-private.h"

struct SoraRegistry
{
  int refs;             /* atomic */
  GHashTable *plugins;  /* id -> SoraPluginInfo */
  GHashTable *left_out; /* id (the file's name) -> why */
  GPtrArray *warnings;  /* NULL-terminated */
  GMutex lock;          /* loading */
  const SoraRemote *remote; /* NULL: all are loaded here */
};

static void
read_manifest (SoraRegistry *registry, const char *dir, const char *base)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (dir, base, NULL);
  g_autofree char *id = g_strndup (base, strlen (base) - strlen (".plugin"));
  /* A folder earlier in the path has it; a broken one there is not replaced in silence by another.
   */
  if (g_hash_table_contains (registry->plugins, id)
      || g_hash_table_contains (registry->left_out, id))
    return;
  SoraPluginInfo *info = sora_manifest_load (path, registry->warnings, &error);
  if (info != NULL)
    {
      g_hash_table_insert (registry->plugins, info->id, info);
      return;
    }
  g_ptr_array_add (registry->warnings, g_strdup (error->message));
  g_hash_table_replace (registry->left_out, g_steal_pointer (&id), g_strdup (error->message));
}

static void
read_dir (SoraRegistry *registry, const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *name;
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_suffix (name, ".plugin") && sora_name_is_plain_file (name))
      g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, sora_compare_names); /* warnings in the same order each time */
  for (guint i = 0; i < names->len; i++)
    read_manifest (registry, path, g_ptr_array_index (names, i));
}

SoraRegistry *
sora_registry_new (const char *const *dirs)
{
  SoraRegistry *registry = g_new0 (SoraRegistry, 1);
  registry->refs = 1;
  registry->plugins
      = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify)sora_manifest_free);
  registry->left_out = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  registry->warnings = g_ptr_array_new_with_free_func (g_free);
  g_mutex_init (&registry->lock);
  for (; *dirs != NULL; dirs++)
    read_dir (registry, *dirs);
  g_ptr_array_add (registry->warnings, NULL);
  return registry;
}

SoraRegistry *
sora_registry_ref (SoraRegistry *registry)
{
  g_atomic_int_inc (&registry->refs);
  return registry;
}

void
sora_registry_unref (SoraRegistry *registry)
{
  if (registry == NULL || !g_atomic_int_dec_and_test (&registry->refs))
    return;
  g_hash_table_unref (registry->plugins);
  g_hash_table_unref (registry->left_out);
  g_ptr_array_unref (registry->warnings);
  g_mutex_clear (&registry->lock);
  g_free (registry);
}

char **
sora_registry_default_dirs (gboolean user)
{
  g_autofree char *base = g_build_filename (g_get_home_dir (), ".local", "lib", NULL);
  return sora_search_path (user, "SORA_PLUGIN_PATH", base, "sora-1/plugins", SORA_PLUGINS_DIR);
}

const char *const *
sora_registry_warnings (SoraRegistry *registry)
{
  return (const char *const *)registry->warnings->pdata;
}

static int
compare_ids (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(SoraPluginInfo *const *)a)->id, (*(SoraPluginInfo *const *)b)->id);
}

GPtrArray *
sora_registry_list (SoraRegistry *registry)
{
  GPtrArray *list = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer info;
  g_hash_table_iter_init (&iter, registry->plugins);
  while (g_hash_table_iter_next (&iter, NULL, &info))
    g_ptr_array_add (list, info);
  g_ptr_array_sort (list, compare_ids);
  return list;
}

const SoraPluginInfo *
sora_registry_find (SoraRegistry *registry, const char *plugin_id)
{
  return g_hash_table_lookup (registry->plugins, plugin_id);
}

/* The symbol's own size in the file tells, before the first byte is read, whether there are as many
 * as its struct_size is going to say. */
static const SoraPlugin *
find_descriptor (void *module, const char *path, GError **error)
{
  const SoraPlugin *plugin = dlsym (module, SORA_PLUGIN_SYMBOL);
  Dl_info place;
  const ElfW (Sym) *symbol = NULL;
  if (plugin == NULL)
    {
      sora_error_set (error, SORA_ERROR_INVALID_PLUGIN,
                      "'%s' has no symbol '" SORA_PLUGIN_SYMBOL
                      "': it is no plugin, or does not export it",
                      path);
      return NULL;
    }
  if (dladdr1 (plugin, &place, (void **)&symbol, RTLD_DL_SYMENT) == 0 || symbol == NULL)
    return plugin; /* without the entry there is only the descriptor's own word */
  if (ELF64_ST_TYPE (symbol->st_info) == STT_FUNC)
    {
      sora_error_set (error, SORA_ERROR_INVALID_PLUGIN,
                      "'%s': '" SORA_PLUGIN_SYMBOL "' is a function, expected a SoraPlugin", path);
      return NULL;
    }
  if (symbol->st_size < offsetof (SoraPlugin, id)
      || (symbol->st_size < sizeof (SoraPlugin) && plugin->magic == SORA_PLUGIN_MAGIC
          && plugin->struct_size > symbol->st_size))
    {
      sora_error_set (error, SORA_ERROR_INVALID_PLUGIN,
                      "'%s': '" SORA_PLUGIN_SYMBOL "' is %" G_GUINT64_FORMAT
                      " bytes long, shorter than a SoraPlugin",
                      path, (guint64)symbol->st_size);
      return NULL;
    }
  return plugin;
}

static const SoraPlugin *
load_module (const SoraPluginInfo *info, GError **error)
{
  const char *path = info->module_path;
  g_autofree char *absolute = g_canonicalize_filename (path, NULL);
  if (!g_file_test (absolute, G_FILE_TEST_IS_REGULAR))
    {
      sora_error_set (error, SORA_ERROR_INVALID_PLUGIN,
                      "'%s' names the module '%s', which is not there or is no regular file",
                      info->manifest_path, path);
      return NULL;
    }
  sora_module_note (absolute);
  void *module = dlopen (absolute, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (module == NULL)
    {
      const char *why = dlerror ();
      sora_error_set (error, SORA_ERROR_INVALID_PLUGIN, "cannot load '%s': %s", path,
                      why != NULL ? why : "the loader does not say why");
      return NULL;
    }
  const SoraPlugin *plugin = find_descriptor (module, path, error);
  if (plugin == NULL || !sora_plugin_descriptor_check (plugin, path, error)
      || !sora_manifest_matches (info, plugin, error))
    return NULL;
  return plugin;
}

void
sora_registry_set_remote (SoraRegistry *registry, const SoraRemote *remote)
{
  registry->remote = remote;
}

static const SoraPlugin *
load_locked (SoraPluginInfo *info, const SoraRemote *remote, GError **error)
{
  if (info->loaded == NULL && info->load_error == NULL)
    {
      info->third_party
          = remote != NULL && !sora_plugin_info_is_trusted (info, remote->trusted_dirs);
      if (info->third_party && !remote->inside)
        info->remote = remote;
      info->loaded = info->remote != NULL
                         ? sora_remote_describe (remote, info, &info->level, &info->load_error)
                         : load_module (info, &info->load_error);
    }
  if (info->loaded == NULL)
    g_propagate_error (error, g_error_copy (info->load_error));
  return info->loaded;
}

static void
not_found (SoraRegistry *registry, const char *plugin_id, GError **error)
{
  const char *why = g_hash_table_lookup (registry->left_out, plugin_id);
  g_autoptr (GPtrArray) known = sora_registry_list (registry);
  GString *ids = g_string_new (NULL);
  for (guint i = 0; i < known->len; i++)
    g_string_append_printf (ids, "%s%s", i > 0 ? ", " : "",
                            ((SoraPluginInfo *)g_ptr_array_index (known, i))->id);
  if (why != NULL)
    sora_error_set (error, SORA_ERROR_INVALID_PLUGIN, "plugin '%s' cannot be used: %s", plugin_id,
                    why);
  else
    sora_error_set (error, SORA_ERROR_NOT_FOUND, "there is no plugin '%s'; there are: %s",
                    plugin_id, ids->len > 0 ? ids->str : "none");
  g_string_free (ids, TRUE);
}

const SoraPlugin *
sora_registry_load (SoraRegistry *registry, const char *plugin_id, GError **error)
{
  SoraPluginInfo *info = g_hash_table_lookup (registry->plugins, plugin_id);
  if (info == NULL)
    {
      not_found (registry, plugin_id, error);
      return NULL;
    }
  g_mutex_lock (&registry->lock);
  const SoraPlugin *plugin = load_locked (info, registry->remote, error);
  g_mutex_unlock (&registry->lock);
  return plugin;
}

static const SoraStageClass *
find_stage (const SoraPlugin *plugin, const char *id)
{
  for (gsize i = 0; plugin->stages[i] != NULL; i++)
    if (strcmp (plugin->stages[i]->id, id) == 0)
      return plugin->stages[i];
  return NULL;
}

const SoraStageClass *
sora_registry_stage (SoraRegistry *registry, const char *name, const SoraPlugin **plugin,
                     GError **error)
{
  const char *slash = strchr (name, '/');
  g_autofree char *id = slash != NULL ? g_strndup (name, (gsize)(slash - name)) : g_strdup (name);
  const SoraPlugin *loaded = sora_registry_load (registry, id, error);
  if (loaded == NULL)
    return NULL;
  const SoraStageClass *stage = find_stage (loaded, slash != NULL ? slash + 1 : id);
  if (stage == NULL && slash == NULL && loaded->stages[1] == NULL)
    stage = loaded->stages[0];
  if (stage == NULL)
    {
      GString *ids = g_string_new (NULL);
      for (gsize i = 0; loaded->stages[i] != NULL; i++)
        g_string_append_printf (ids, "%s%s/%s", i > 0 ? ", " : "", id, loaded->stages[i]->id);
      sora_error_set (error, SORA_ERROR_NOT_FOUND, "plugin '%s' has no stage '%s'; it has: %s", id,
                      slash != NULL ? slash + 1 : id, ids->str);
      g_string_free (ids, TRUE);
      return NULL;
    }
  if (plugin != NULL)
    *plugin = loaded;
  return stage;
}
