/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What of the file system a worker may see: told to its sandbox before that is entered.
 */
#include "config.h"
#include "sora-worker.h"

#include <errno.h>
#include <glib/gstdio.h>

#include "core/sora-cache.h"
#include "core/sora-model.h"
#include "sora-sandbox.h"

void
sora_worker_grant_work (SoraSandbox *sandbox, SoraEnvironment *environment, char **plugin_dirs,
                        char **readable, const char *tmp_dir)
{
  g_auto (GStrv) libraries = g_strsplit (g_getenv ("LD_LIBRARY_PATH") ?: "", ":", -1);
  for (char **dir = plugin_dirs; *dir; dir++)
    sora_sandbox_grant_folder (sandbox, *dir);
  for (char **dir = environment->pipeline_dirs; *dir; dir++)
    sora_sandbox_grant_folder (sandbox, *dir);
  for (char **dir = environment->model_dirs; *dir; dir++)
    sora_sandbox_grant_folder (sandbox, *dir);
  for (char **dir = readable; dir && *dir; dir++)
    sora_sandbox_grant (sandbox, *dir, FALSE);
  for (char **dir = libraries; *dir; dir++)
    if (g_path_is_absolute (*dir))
      sora_sandbox_grant (sandbox, *dir, FALSE);
  sora_sandbox_grant (sandbox, tmp_dir, TRUE);
}

static gboolean
grant_made (SoraSandbox *sandbox, const char *dir, gboolean writable)
{
  if (g_mkdir_with_parents (dir, 0700) != 0)
    {
      g_message ("nothing is kept for later jobs: the folder '%s': %s", dir, g_strerror (errno));
      return FALSE;
    }
  sora_sandbox_grant (sandbox, dir, writable);
  return TRUE;
}

void
sora_worker_grant_kept (SoraWorker *worker, SoraSandbox *sandbox, const char *cache_dir,
                        const char *digest_dir, const char *believed_dir)
{
  g_autofree char *own = g_build_filename (g_get_user_cache_dir (), "sorad", NULL);
  if (!believed_dir)
    (void)grant_made (sandbox, own, TRUE);
  else
    (void)grant_made (sandbox, believed_dir, FALSE);
  if (cache_dir && grant_made (sandbox, cache_dir, TRUE))
    worker->cache_dir = g_strdup (cache_dir);
  if (digest_dir)
    (void)grant_made (sandbox, digest_dir, TRUE);
  sora_model_set_digest_dirs (digest_dir, believed_dir);
}

void
sora_worker_grant_packed (SoraWorker *worker, SoraSandbox *sandbox, const char *dir)
{
  g_autoptr (GError) error = NULL;
  if (sora_packed_check_system_dir (dir, &error))
    {
      worker->packed_dir = g_strdup (dir);
      sora_sandbox_grant (sandbox, dir, FALSE);
    }
  else if (!g_error_matches (error, SORA_ERROR, SORA_ERROR_NOT_FOUND))
    g_message ("packed weights are not used: %s", error->message);
}
