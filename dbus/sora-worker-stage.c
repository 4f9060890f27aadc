/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * sora-worker --stage: the process of one third-party stage.  It sees the files of its plugin and
 * the models that its stage was given, speaks with the runner on descriptor 3, and is ended by who
 * holds the other end of descriptor 4.
 */
#include "config.h"
#include "sora-worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define STREAM 3
#define CONTROL 4
#define MAX_FILES 256u

static int
give_up (const GError *error)
{
  g_autofree char *text = g_strdup_printf (
      "%s%s\n",
      g_error_matches (error, SORA_ERROR, SORA_ERROR_DENIED) ? SORA_REMOTE_REFUSED
                                                             : "was not started: ",
      error->message);
  (void)!write (CONTROL, text, strlen (text));
  return EXIT_FAILURE;
}

static void
limit_files (void)
{
  struct rlimit limit = { MAX_FILES, MAX_FILES };
  setrlimit (RLIMIT_NOFILE, &limit);
}

/* The plugin's own files: its manifest, its module, and the folder of its name beside them for what
 * else it has.  Not the folder in which other plugins lie. */
static gboolean
grant_plugin (SoraSandbox *sandbox, SoraEnvironment *environment, const char *plugin, GError **error)
{
  const SoraPluginInfo *info = sora_registry_find (environment->registry, plugin);
  if (!info)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_NOT_FOUND, "there is no plugin '%s'", plugin);
      return FALSE;
    }
  g_autofree char *dir = g_path_get_dirname (sora_plugin_info_manifest_path (info));
  g_autofree char *own = g_build_filename (dir, plugin, NULL);
  sora_sandbox_grant (sandbox, sora_plugin_info_manifest_path (info), FALSE);
  sora_sandbox_grant (sandbox, sora_plugin_info_module_path (info), FALSE);
  if (g_file_test (own, G_FILE_TEST_IS_DIR))
    sora_sandbox_grant (sandbox, own, FALSE);
  return TRUE;
}

int
sora_worker_serve_stage (const char *plugin, char **plugin_dirs, char **paths, guint64 memory_max,
                         const char *least)
{
  static const char *const none[] = { NULL };
  g_autoptr (GError) error = NULL;
  SoraSandboxLevel level = SORA_SANDBOX_FILTERED;
  if (fcntl (STREAM, F_SETFD, FD_CLOEXEC) != 0 || fcntl (CONTROL, F_SETFD, FD_CLOEXEC) != 0)
    return EXIT_FAILURE;
  if (!sora_worker_confine (FALSE, CONTROL + 1, memory_max, &error))
    return give_up (error);
  /* "basic" is what the settings ask for where a sandbox is not wanted: then no more than that. */
  sora_sandbox_level_from_name (least, &level);
  g_autoptr (SoraSandbox) sandbox = sora_sandbox_new (
      level, level == SORA_SANDBOX_BASIC ? SORA_SANDBOX_BASIC : SORA_SANDBOX_FULL);
  sandbox->setting = "ThirdPartySandbox";
  sandbox->control_fd = CONTROL;
  sandbox->tmp_dir = g_dir_make_tmp ("sora-stage-XXXXXX", &error);
  if (!sandbox->tmp_dir)
    return give_up (error);
  g_setenv ("TMPDIR", sandbox->tmp_dir, TRUE);
  sora_sandbox_grant (sandbox, sandbox->tmp_dir, TRUE);
  g_autoptr (SoraEnvironment) environment
      = sora_environment_new_for_dirs ((const char *const *)plugin_dirs, none, none);
  sandbox->libraries_only = TRUE;
  if (!grant_plugin (sandbox, environment, plugin, &error))
    return give_up (error);
  for (char **path = paths; path && *path; path++)
    sora_sandbox_grant_folder (sandbox, *path);
  g_auto (GStrv) libraries = g_strsplit (g_getenv ("LD_LIBRARY_PATH") ?: "", ":", -1);
  for (char **dir = libraries; *dir; dir++)
    if (g_path_is_absolute (*dir))
      sora_sandbox_grant (sandbox, *dir, FALSE);
  if (!sora_sandbox_enter (sandbox, STREAM, STREAM, &level, &error))
    return give_up (error);
  limit_files ();
  return sora_stage_serve (environment, STREAM, sora_sandbox_level_name (level));
}
