/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Checkpoint files.  Form: "SORACKP1", the recipe's key (64 hexadecimal digits), SHA-256 of the
 * blob (64), the blob.
 */
#include "config.h"
#include "sora-checkpoint.h"
#include "sora-error.h"
#include "sora-file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAGIC "SORACKP1"
#define HEADER_SIZE (8 + 64 + 64)
#define MAX_SIZE (G_GUINT64_CONSTANT (64) << 30)

/* Ids of stages come from pipeline files and may be anything but a slash: they are escaped. */
char *
sora_checkpoint_name (guint run, const char *stage)
{
  g_autofree char *safe = g_uri_escape_string (stage, NULL, FALSE);
  return g_strdup_printf ("%u-%s.checkpoint", run, safe);
}

static gboolean
write_all (int fd, const char *name, const char *key, gconstpointer data, gsize size,
           GError **error)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  const guint8 *bytes = data;

  for (gsize done = 0; done < size; done += MIN (size - done, 1u << 30))
    g_checksum_update (sum, bytes + done, (gssize)MIN (size - done, 1u << 30));
  g_autofree char *header = g_strconcat (MAGIC, key, g_checksum_get_string (sum), NULL);
  if (!sora_file_write (fd, name, header, HEADER_SIZE, error)
      || !sora_file_write (fd, name, data, size, error))
    return FALSE;
  if (fsync (fd) == 0)
    return TRUE;
  sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "writing checkpoint '%s'", name);
  return FALSE;
}

gboolean
sora_checkpoint_save (const char *state_dir, guint run, const char *stage, const char *key,
                      gconstpointer data, gsize size, GError **error)
{
  g_autofree char *name = sora_checkpoint_name (run, stage);
  g_autofree char *temporary = g_strconcat (".", name, ".part", NULL);
  int dirfd = open (state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (dirfd < 0)
    {
      sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "the state folder '%s'", state_dir);
      return FALSE;
    }
  /* One job has one state folder, and a stage one thread: nobody else writes to this name. */
  int fd = openat (dirfd, temporary, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
  gboolean ok = fd >= 0;
  if (!ok)
    sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "creating checkpoint '%s'", name);
  else
    {
      ok = write_all (fd, name, key, data, size, error);
      close (fd);
      if (ok && (renameat (dirfd, temporary, dirfd, name) != 0 || !sora_file_sync_dir (dirfd)))
        {
          ok = FALSE;
          sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "saving checkpoint '%s'", name);
        }
      if (!ok)
        unlinkat (dirfd, temporary, 0);
    }
  close (dirfd);
  return ok;
}

GBytes *
sora_checkpoint_load (const char *state_dir, guint run, const char *stage, const char *key,
                      char **why)
{
  g_autofree char *name = sora_checkpoint_name (run, stage);
  g_autofree char *path = g_build_filename (state_dir, name, NULL);
  g_autoptr (GError) error = NULL;

  *why = NULL;
  if (access (path, F_OK) != 0 && errno == ENOENT)
    return NULL;
  g_autoptr (GBytes) bytes = sora_file_load (path, MAX_SIZE, SORA_ERROR_FAILED, &error);
  if (bytes == NULL)
    {
      *why = g_strdup (error->message);
      return NULL;
    }
  gsize size;
  const char *data = g_bytes_get_data (bytes, &size);
  if (size < HEADER_SIZE || memcmp (data, MAGIC, 8) != 0)
    {
      *why = g_strdup ("it is damaged");
      return NULL;
    }
  if (strlen (key) != 64 || memcmp (data + 8, key, 64) != 0)
    {
      *why = g_strdup (
          "it is of another recipe (request, model, plugin, host version or instruction set)");
      return NULL;
    }
  g_autoptr (GBytes) blob = g_bytes_new_from_bytes (bytes, HEADER_SIZE, size - HEADER_SIZE);
  g_autofree char *digest = g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, blob);
  if (memcmp (data + 8 + 64, digest, 64) != 0)
    {
      *why = g_strdup ("it is damaged");
      return NULL;
    }
  return g_steal_pointer (&blob);
}

void
sora_checkpoint_remove (const char *state_dir, guint run, const char *stage)
{
  g_autofree char *name = sora_checkpoint_name (run, stage);
  g_autofree char *path = g_build_filename (state_dir, name, NULL);
  unlink (path);
}
