/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Checkpoints in the worker: files of the job's state folder, which come from the daemon before the
 * job begins and go to it whenever a stage has saved one.  Core decides whether one fits.
 */
#include "config.h"
#include "sora-worker.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *
sora_worker_state_dir (SoraWorker *worker, guint64 job)
{
  return g_strdup_printf ("%s/state-%" G_GUINT64_FORMAT, worker->tmp_dir, job);
}

static gboolean
fail_errno (GError **error, const char *name)
{
  g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "checkpoint '%s': %s", name,
               g_strerror (errno));
  return FALSE;
}

/* One that cannot be put down, for want of room, costs what it would have saved and not the job: a
 * worker that ended of it would be one of the few that the job has. */
static void
drop (SoraWorker *worker, const SoraBlob *blob, int errnum)
{
  g_autofree char *dir = sora_worker_state_dir (worker, blob->job);
  g_autofree char *path = g_build_filename (dir, blob->name, NULL);
  g_autofree char *text
      = g_strdup_printf ("the checkpoint of the attempt before is not taken, it starts over: '%s': %s",
                         blob->name, g_strerror (errnum));
  if (worker->checkpoint_fd >= 0)
    close (worker->checkpoint_fd);
  worker->checkpoint_fd = -1;
  g_unlink (path);
  sora_channel_send (worker->channel, SORA_MESSAGE_LOG, blob->job,
                     g_variant_new ("(iss)", SORA_LOG_WARNING, "", text), NULL);
}

gboolean
sora_worker_begin_checkpoint (SoraWorker *worker, const SoraBlob *blob, GError **error)
{
  g_autofree char *dir = sora_worker_state_dir (worker, blob->job);
  if (*blob->name == '.' || strchr (blob->name, '/'))
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
                   "protocol: checkpoint '%s' has no plain name", blob->name);
      return FALSE;
    }
  g_autofree char *path = g_build_filename (dir, blob->name, NULL);
  if (g_mkdir (dir, 0700) == 0 || errno == EEXIST)
    worker->checkpoint_fd
        = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (worker->checkpoint_fd < 0)
    drop (worker, blob, errno);
  return TRUE;
}

void
sora_worker_write_checkpoint (SoraWorker *worker, gconstpointer data, gsize size)
{
  const guint8 *bytes = data;
  while (size > 0 && worker->checkpoint_fd >= 0)
    {
      ssize_t n = write (worker->checkpoint_fd, bytes, size);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          drop (worker, worker->incoming, errno);
          return;
        }
      bytes += n;
      size -= (gsize)n;
    }
}

gboolean
sora_worker_send_checkpoint (SoraWorker *worker, guint64 job, const char *name, GError **error)
{
  g_autofree char *dir = sora_worker_state_dir (worker, job);
  g_autofree char *path = g_build_filename (dir, name, NULL);
  struct stat st;
  int fd = open (path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 || fstat (fd, &st) != 0)
    {
      fail_errno (error, name);
      if (fd >= 0)
        close (fd);
      return FALSE;
    }
  gboolean ok = sora_channel_send_blob (worker->channel, job, "checkpoint", name, fd, NULL,
                                        (guint64)st.st_size, NULL, &worker->cancelled, error);
  close (fd);
  return ok;
}
