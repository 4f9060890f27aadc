/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reads sorad.conf.  A misspelt key is refused: a limit that was meant and does not hold is worse
 * than no start.
 */
#include "config.h"
#include "sorad-config.h"

#include <string.h>

#include "core/sora-cache.h"
#include "core/sora-error.h"
#include "sorad-cgroup.h"

typedef enum
{
  KEY_UINT,
  KEY_UINT64,
  KEY_BOOL,
  KEY_STRING,
  KEY_LIST
} KeyType;

typedef struct
{
  const char *group, *key;
  KeyType type;
  gsize offset;
  guint64 min, max;
} Key;

#define KEY(group, key, type, field, min, max)                                                     \
  {                                                                                                \
    group, key, type, G_STRUCT_OFFSET (SoradConfig, field), min, max                               \
  }
static const Key keys[] = {
  KEY ("Daemon", "StateFolder", KEY_STRING, state_dir, 0, 0),
  KEY ("Daemon", "PluginFolders", KEY_LIST, plugin_dirs, 0, 0),
  KEY ("Daemon", "PipelineFolders", KEY_LIST, pipeline_dirs, 0, 0),
  KEY ("Daemon", "ModelFolders", KEY_LIST, model_dirs, 0, 0),
  KEY ("Daemon", "DefaultModel", KEY_STRING, default_model, 0, 0),
  KEY ("Daemon", "IdleExitSeconds", KEY_UINT, idle_exit_seconds, 0, 86400),
  KEY ("Access", "AdminGroup", KEY_STRING, admin_group, 0, 0),
  KEY ("Limits", "QueuedJobs", KEY_UINT, max_queued, 1, 100000),
  KEY ("Limits", "KeptJobs", KEY_UINT, max_kept, 1, 100000),
  KEY ("Limits", "StoredBytes", KEY_UINT64, max_stored_bytes, 1, G_MAXINT64),
  KEY ("Limits", "RequestBytes", KEY_UINT64, max_request_bytes, 1024, 8 * 1024 * 1024),
  KEY ("Limits", "InputBytes", KEY_UINT64, max_input_bytes, 0, 256 * 1024 * 1024),
  KEY ("Limits", "KeepDays", KEY_UINT, keep_days, 0, 36500),
  KEY ("Limits", "FreeBytes", KEY_UINT64, free_bytes, 0, G_MAXINT64),
  KEY ("Limits", "Calls", KEY_UINT, max_calls, 4, 100000),
  KEY ("Limits", "CacheBytes", KEY_UINT64, max_cache_bytes, 0, G_MAXINT64),
  KEY ("Worker", "Program", KEY_STRING, worker, 0, 0),
  KEY ("Worker", "IdleSeconds", KEY_UINT, idle_seconds, 0, 86400),
  KEY ("Worker", "HeartbeatSeconds", KEY_UINT, heartbeat_seconds, 2, 3600),
  KEY ("Worker", "StallSeconds", KEY_UINT, stall_seconds, 0, 7 * 86400),
  KEY ("Worker", "CancelGraceMilliseconds", KEY_UINT, cancel_grace_ms, 10, 60000),
  KEY ("Worker", "Sandbox", KEY_STRING, sandbox, 0, 0),
  KEY ("Worker", "PackedFolder", KEY_STRING, packed_dir, 0, 0),
  KEY ("Worker", "ReadableFolders", KEY_LIST, readable, 0, 0),
  KEY ("Worker", "Nice", KEY_UINT, nice, 0, 19),
  KEY ("Worker", "Idle", KEY_BOOL, idle, 0, 0),
  KEY ("Worker", "Attempts", KEY_UINT, max_crashes, 1, 100),
  KEY ("Worker", "TrustedPluginFolders", KEY_LIST, trusted, 0, 0),
  KEY ("Worker", "ThirdPartySandbox", KEY_STRING, third_party, 0, 0),
  KEY ("Worker", "ThirdPartyAnswerSeconds", KEY_UINT, answer_seconds, 1, 3600),
  KEY ("Worker", "ThirdPartyStallSeconds", KEY_UINT, stage_stall_seconds, 0, 7 * 86400),
  KEY ("Worker", "ControlGroup", KEY_STRING, cgroup, 0, 0),
  KEY ("Worker", "TasksMax", KEY_UINT, tasks_max, 16, 4194304),
  KEY ("Worker", "MemoryMax", KEY_UINT64, memory_max, 0, G_MAXINT64),
};

static gboolean
read_number (GKeyFile *file, const Key *key, guint64 *value, GError **error)
{
  g_autoptr (GError) local = NULL;
  *value = g_key_file_get_uint64 (file, key->group, key->key, &local);
  if (!local && *value >= key->min && *value <= key->max)
    return TRUE;
  g_autofree char *text = g_key_file_get_value (file, key->group, key->key, NULL);
  g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
               "[%s] %s=%s: expected a whole number from %" G_GUINT64_FORMAT
               " to %" G_GUINT64_FORMAT,
               key->group, key->key, text, key->min, key->max);
  return FALSE;
}

static gboolean
read_boolean (GKeyFile *file, const Key *key, gboolean *value, GError **error)
{
  g_autoptr (GError) local = NULL;
  *value = g_key_file_get_boolean (file, key->group, key->key, &local);
  if (!local)
    return TRUE;
  g_autofree char *text = g_key_file_get_value (file, key->group, key->key, NULL);
  g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST, "[%s] %s=%s: expected true or false",
               key->group, key->key, text);
  return FALSE;
}

static gboolean
read_key (SoradConfig *config, GKeyFile *file, const Key *key, GError **error)
{
  gpointer field = G_STRUCT_MEMBER_P (config, key->offset);
  guint64 number;
  switch (key->type)
    {
    case KEY_UINT:
      if (!read_number (file, key, &number, error))
        return FALSE;
      *(guint *)field = (guint)number;
      return TRUE;
    case KEY_UINT64:
      return read_number (file, key, field, error);
    case KEY_BOOL:
      return read_boolean (file, key, field, error);
    case KEY_STRING:
      g_free (*(char **)field);
      *(char **)field = g_key_file_get_string (file, key->group, key->key, error);
      return *(char **)field != NULL;
    case KEY_LIST:
      g_strfreev (*(char ***)field);
      *(char ***)field = g_key_file_get_string_list (file, key->group, key->key, NULL, error);
      if (*(char ***)field && !**(char ***)field)
        g_clear_pointer ((char ***)field, g_strfreev);
      else
        return *(char ***)field != NULL;
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "[%s] %s: the list is empty; for the installed folders leave the setting out, "
                   "for none name an empty folder",
                   key->group, key->key);
      return FALSE;
    }
  return FALSE;
}

static const Key *
find_key (const char *group, const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    if (g_str_equal (keys[i].group, group) && g_str_equal (keys[i].key, name))
      return &keys[i];
  return NULL;
}

static gboolean
check_values (const SoradConfig *config, GError **error)
{
  static const char *const levels[] = { "auto", "full", "filtered", "basic", NULL };
  static const char *const third_party[]
      = { "full", "filtered", "basic", "none", "refuse", NULL };
  if (!g_strv_contains (levels, config->sandbox))
    g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                 "[Worker] Sandbox=%s: expected auto, full, filtered or basic", config->sandbox);
  else if (!g_strv_contains (third_party, config->third_party))
    g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                 "[Worker] ThirdPartySandbox=%s: expected full, filtered, basic, none or refuse",
                 config->third_party);
  else if (!g_str_equal (config->cgroup, "auto") && !g_str_equal (config->cgroup, "none")
           && !g_path_is_absolute (config->cgroup))
    g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                 "[Worker] ControlGroup=%s: expected auto, none or a folder of the tree of cgroup "
                 "v2, beginning with '/'",
                 config->cgroup);
  else
    return TRUE;
  return FALSE;
}

static gboolean
read_file (SoradConfig *config, GKeyFile *file, GError **error)
{
  g_auto (GStrv) groups = g_key_file_get_groups (file, NULL);
  for (gsize g = 0; groups[g]; g++)
    {
      g_auto (GStrv) names = g_key_file_get_keys (file, groups[g], NULL, error);
      if (!names)
        return FALSE;
      for (gsize n = 0; names[n]; n++)
        {
          const Key *key = find_key (groups[g], names[n]);
          if (!key)
            {
              g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                           "[%s] %s: there is no such setting (see sorad(8))", groups[g], names[n]);
              return FALSE;
            }
          if (!read_key (config, file, key, error))
            return FALSE;
        }
    }
  return TRUE;
}

/* Who gets what nobody else wants may wait long for a word or a step. */
static void
be_patient (SoradConfig *config)
{
  guint *const seconds[] = { &config->heartbeat_seconds, &config->stall_seconds,
                             &config->answer_seconds, &config->stage_stall_seconds };
  for (gsize i = 0; config->idle && i < G_N_ELEMENTS (seconds); i++)
    *seconds[i] *= SORAD_IDLE_PATIENCE;
}

/* Of the service: the folder that systemd made for it, which no prefix of an installation moves. */
static const char *
service_state_dir (void)
{
  const char *given = g_getenv ("STATE_DIRECTORY");
  return given && g_path_is_absolute (given) && !strchr (given, ':') ? given : SORAD_STATEDIR;
}

SoradConfig *
sorad_config_load (gboolean session, const char *file, GError **error)
{
  g_autoptr (SoradConfig) config = g_new0 (SoradConfig, 1);
  config->session = session;
  config->state_dir = session ? g_build_filename (g_get_user_state_dir (), "sorad", NULL)
                              : g_strdup (service_state_dir ());
  config->worker = g_strdup (SORAD_WORKER);
  config->max_queued = 100;
  config->max_kept = 200;
  config->max_stored_bytes = G_GUINT64_CONSTANT (10) << 30;
  config->max_request_bytes = 1 << 20;
  config->max_input_bytes = 64 << 20;
  config->max_calls = 256;
  config->max_cache_bytes = 256 << 20;
  config->free_bytes = G_GUINT64_CONSTANT (1) << 30;
  config->idle_seconds = 300;
  config->heartbeat_seconds = 10;
  config->stall_seconds = 3600;
  config->cancel_grace_ms = 1000;
  config->sandbox = g_strdup ("auto");
  config->users_dir
      = session ? NULL : g_build_filename (g_get_user_cache_dir (), "sorad-users", NULL);
  config->digest_dir
      = session ? NULL : g_build_filename (g_get_user_cache_dir (), "sorad-digests", NULL);
  config->packed_dir = session ? NULL : sora_packed_system_dir ();
  config->nice = 10;
  config->max_crashes = 3;
  config->third_party = g_strdup ("filtered");
  config->answer_seconds = 5;
  config->cgroup = g_strdup ("auto");
  config->tasks_max = 1024;
  config->stage_stall_seconds = 600;

  g_autofree char *path = g_strdup (file);
  if (!path && !session)
    path = g_build_filename (SORAD_SYSCONFDIR, "sorad", "sorad.conf", NULL);
  else if (!path)
    path = g_build_filename (g_get_user_config_dir (), "sorad", "sorad.conf", NULL);
  g_autoptr (GKeyFile) key_file = g_key_file_new ();
  g_autoptr (GError) local = NULL;
  if (!g_key_file_load_from_file (key_file, path, G_KEY_FILE_NONE, &local))
    {
      if (!file && g_error_matches (local, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        return g_steal_pointer (&config);
      g_propagate_prefixed_error (error, g_steal_pointer (&local), "%s: ", path);
      return NULL;
    }
  if (!read_file (config, key_file, error) || !check_values (config, error))
    {
      g_prefix_error (error, "%s: ", path);
      return NULL;
    }
  be_patient (config);
  return g_steal_pointer (&config);
}

char *
sorad_config_user_dir (const SoradConfig *config, guint32 uid)
{
  return config->users_dir ? g_strdup_printf ("%s/%" G_GUINT32_FORMAT, config->users_dir, uid)
                           : NULL;
}

char *
sorad_config_cache_dir (const SoradConfig *config, guint32 uid)
{
  g_autofree char *user_dir = sorad_config_user_dir (config, uid);
  return user_dir ? g_build_filename (user_dir, SORAD_CACHE_STAGES, NULL)
                  : sora_cache_default_dir ();
}

void
sorad_config_free (SoradConfig *config)
{
  if (!config)
    return;
  g_strfreev (config->plugin_dirs);
  g_strfreev (config->pipeline_dirs);
  g_strfreev (config->model_dirs);
  g_free (config->default_model);
  g_free (config->state_dir);
  g_free (config->worker);
  g_free (config->admin_group);
  g_free (config->sandbox);
  g_free (config->users_dir);
  g_free (config->digest_dir);
  g_free (config->packed_dir);
  g_strfreev (config->readable);
  g_strfreev (config->trusted);
  g_free (config->third_party);
  g_free (config->cgroup);
  g_free (config->limits);
  sorad_cgroups_free (config->cgroups);
  g_free (config);
}
