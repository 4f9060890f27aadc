/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Starts sora-worker with the daemon's folders and a small environment.
 */
#include "config.h"
#include "sorad-process-launch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/sora-error.h"

/* The worker gets what it needs of the environment, not what happens to be in the daemon's. */
static char **
worker_environment (const SoradConfig *config)
{
  static const char *const names[] = { "PATH",
                                       "HOME",
                                       "USER",
                                       "LANG",
                                       "LC_ALL",
                                       "LC_CTYPE",
                                       "XDG_CACHE_HOME",
                                       "XDG_DATA_HOME",
                                       "LD_LIBRARY_PATH",
                                       NULL };
  static const char *const prefixes[] = { "G_DEBUG", "G_MESSAGES_", "OMP_",  "DNNL_",  "ONEDNN_",
                                          "SORA_",   "ASAN_",       "LSAN_", "UBSAN_", NULL };
  g_auto (GStrv) all = g_get_environ ();
  GPtrArray *kept = g_ptr_array_new ();
  for (gsize i = 0; all[i]; i++)
    {
      g_autofree char *name = g_strndup (all[i], strcspn (all[i], "="));
      gboolean keep = g_strv_contains (names, name);
      for (gsize p = 0; prefixes[p] && !keep; p++)
        keep = g_str_has_prefix (name, prefixes[p]);
      if (keep)
        g_ptr_array_add (kept, g_strdup (all[i]));
    }
  g_ptr_array_add (kept, NULL);
  g_autofree char *most = g_strdup_printf ("%" G_GUINT64_FORMAT, config->max_cache_bytes);
  char **environment = (char **)g_ptr_array_free (kept, FALSE);
  const char *given = g_environ_getenv (environment, "SORA_CACHE_MAX");
  if (!given || !*given)
    environment = g_environ_setenv (environment, "SORA_CACHE_MAX", most, TRUE);
  return environment;
}

static void
add_dirs (GPtrArray *argv, const char *option, char **dirs)
{
  for (; dirs && *dirs; dirs++)
    g_ptr_array_add (argv, g_strdup_printf ("%s=%s", option, *dirs));
}

static GPtrArray *
worker_arguments (const SoradConfig *config, const char *work_dir, gboolean for_jobs,
                  const char *user_dir)
{
  GPtrArray *argv = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (argv, g_strdup (config->worker));
  add_dirs (argv, "--plugin-dir", config->plugin_dirs);
  add_dirs (argv, "--pipeline-dir", config->pipeline_dirs);
  add_dirs (argv, "--model-dir", config->model_dirs);
  add_dirs (argv, "--readable", config->readable);
  if (config->packed_dir)
    g_ptr_array_add (argv, g_strdup_printf ("--packed-dir=%s", config->packed_dir));
  if (config->digest_dir)
    g_ptr_array_add (argv, g_strdup_printf ("--believed-digest-dir=%s", config->digest_dir));
  if (user_dir)
    {
      g_ptr_array_add (argv, g_strdup_printf ("--cache-dir=%s/%s", user_dir, SORAD_CACHE_STAGES));
      g_ptr_array_add (argv, g_strdup_printf ("--digest-dir=%s/%s", user_dir, SORAD_CACHE_DIGESTS));
    }
  add_dirs (argv, "--trusted-plugin-dir", config->trusted);
  g_ptr_array_add (argv, g_strdup_printf ("--third-party=%s", config->third_party));
  g_ptr_array_add (argv, g_strdup_printf ("--answer-seconds=%u", config->answer_seconds));
  g_ptr_array_add (argv, g_strdup_printf ("--stage-stall-seconds=%u", config->stage_stall_seconds));
  g_ptr_array_add (argv, g_strdup_printf ("--sandbox=%s", config->sandbox));
  if (config->default_model)
    g_ptr_array_add (argv, g_strdup_printf ("--default-model=%s", config->default_model));
  g_ptr_array_add (argv, g_strdup_printf ("--tmp-dir=%s", work_dir));
  if (for_jobs)
    g_ptr_array_add (argv, g_strdup_printf ("--nice=%u", config->nice));
  if (for_jobs && config->idle)
    g_ptr_array_add (argv, g_strdup ("--idle"));
  if (config->memory_max)
    g_ptr_array_add (argv, g_strdup_printf ("--memory-max=%" G_GUINT64_FORMAT, config->memory_max));
  g_ptr_array_add (argv, NULL);
  return argv;
}

/* Of descriptors, memory or processes; what GLib has no word for is a pipe that it could not make.
 */
static gboolean
is_shortage (const GError *error)
{
  return error->domain == G_SPAWN_ERROR
         && (error->code == G_SPAWN_ERROR_FORK || error->code == G_SPAWN_ERROR_NOMEM
             || error->code == G_SPAWN_ERROR_MFILE || error->code == G_SPAWN_ERROR_NFILE
             || error->code == G_SPAWN_ERROR_FAILED);
}

/* Before it is the worker: whatever comes of it is in the group then. */
static void
enter_group (gpointer group)
{
  if (write (GPOINTER_TO_INT (group), "0", 1) != 1)
    _exit (EXIT_FAILURE);
}

GSubprocess *
sorad_process_launch (const SoradConfig *config, const char *work_dir, gboolean for_jobs,
                      const char *user_dir, int socket, int group, GError **error)
{
  g_autoptr (GPtrArray) argv = worker_arguments (config, work_dir, for_jobs, user_dir);
  g_auto (GStrv) environment = worker_environment (config);
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
  g_subprocess_launcher_set_environ (launcher, environment);
  g_subprocess_launcher_set_cwd (launcher, "/");
  g_subprocess_launcher_take_fd (launcher, socket, 3);
  if (group >= 0)
    g_subprocess_launcher_set_child_setup (launcher, enter_group, GINT_TO_POINTER (group), NULL);
  g_autoptr (GError) local = NULL;
  GSubprocess *subprocess
      = g_subprocess_launcher_spawnv (launcher, (const char *const *)argv->pdata, &local);
  g_subprocess_launcher_close (launcher);
  if (!subprocess)
    g_set_error (error, SORA_ERROR, is_shortage (local) ? SORA_ERROR_BUSY : SORA_ERROR_FAILED,
                 "cannot start a worker '%s': %s", config->worker, local->message);
  return subprocess;
}
