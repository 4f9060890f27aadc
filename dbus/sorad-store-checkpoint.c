/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Checkpoints of jobs that run: `checkpoints/ID/NAME`, one a stage, each replaced whole.  What is in
 * them is the worker's affair; that they are whole is told by the digest that they came with.
 */
#include "config.h"
#include "sorad-store-checkpoint.h"
#include "sorad-store-private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILES 64 /* of one job */
#define INCOMING ".incoming"

struct SoradCheckpoint
{
  SoradStore *store;
  char *name;
  int dir_fd, fd;
};

static gboolean
fail_errno (GError **error, const char *what, const char *name)
{
  g_set_error (error, SORA_ERROR,
               sora_error_is_full (errno) ? SORA_ERROR_NO_SPACE : SORA_ERROR_FAILED,
               "cannot %s '%s': %s", what, name, g_strerror (errno));
  return FALSE;
}

static int
open_folder (SoradStore *store, const char *id)
{
  return openat (store->checkpoints_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *)a, *(char *const *)b);
}

static GPtrArray *
list_names (int dir_fd)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  int fd = openat (dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *stream = fd >= 0 ? fdopendir (fd) : NULL;
  struct dirent *entry;
  while (stream && (entry = readdir (stream)))
    if (entry->d_name[0] != '.')
      g_ptr_array_add (names, g_strdup (entry->d_name));
  if (stream)
    closedir (stream);
  else if (fd >= 0)
    close (fd);
  g_ptr_array_sort (names, compare_names);
  return names;
}

SoradCheckpoint *
sorad_checkpoint_begin (SoradStore *store, const char *id, const char *name, GError **error)
{
  SoradCheckpoint *checkpoint = g_new0 (SoradCheckpoint, 1);
  checkpoint->store = store;
  checkpoint->name = g_strdup (name);
  checkpoint->fd = checkpoint->dir_fd = -1;
  if (mkdirat (store->checkpoints_fd, id, 0700) == 0 ? fsync (store->checkpoints_fd) != 0
                                                     : errno != EEXIST)
    fail_errno (error, "make", id);
  else if ((checkpoint->dir_fd = open_folder (store, id)) < 0)
    fail_errno (error, "open", id);
  else
    {
      g_autoptr (GPtrArray) names = list_names (checkpoint->dir_fd);
      if (names->len >= MAX_FILES && !g_ptr_array_find_with_equal_func (names, name, g_str_equal, NULL))
        g_set_error (error, SORA_ERROR, SORA_ERROR_NO_SPACE, "the job has %d already", MAX_FILES);
      else if ((checkpoint->fd
                = openat (checkpoint->dir_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600))
               < 0)
        fail_errno (error, "make", name);
    }
  if (checkpoint->fd >= 0)
    return checkpoint;
  sorad_checkpoint_free (checkpoint);
  return NULL;
}

gboolean
sorad_checkpoint_write (SoradCheckpoint *checkpoint, gconstpointer data, gsize size, GError **error)
{
  const guint8 *bytes = data;
  while (size > 0)
    {
      ssize_t n = write (checkpoint->fd, bytes, size);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return fail_errno (error, "write", checkpoint->name);
      bytes += n;
      size -= (gsize)n;
    }
  return TRUE;
}

/* The one before stays until the new one has its name: a link gives no name that is taken, so it is
 * a link and a rename. */
gboolean
sorad_checkpoint_end (SoradCheckpoint *checkpoint, GError **error)
{
  g_autofree char *nameless = g_strdup_printf ("/proc/self/fd/%d", checkpoint->fd);
  if (unlinkat (checkpoint->dir_fd, INCOMING, 0) != 0 && errno != ENOENT)
    return fail_errno (error, "remove", INCOMING);
  if (fsync (checkpoint->fd) != 0
      || linkat (AT_FDCWD, nameless, checkpoint->dir_fd, INCOMING, AT_SYMLINK_FOLLOW) != 0
      || renameat (checkpoint->dir_fd, INCOMING, checkpoint->dir_fd, checkpoint->name) != 0
      || fsync (checkpoint->dir_fd) != 0)
    return fail_errno (error, "keep", checkpoint->name);
  return TRUE;
}

void
sorad_checkpoint_free (SoradCheckpoint *checkpoint)
{
  if (!checkpoint)
    return;
  if (checkpoint->fd >= 0)
    close (checkpoint->fd);
  if (checkpoint->dir_fd >= 0)
    close (checkpoint->dir_fd);
  g_free (checkpoint->name);
  g_free (checkpoint);
}

gboolean
sorad_checkpoint_foreach (SoradStore *store, const char *id, SoradCheckpointFunc function,
                          gpointer data)
{
  int dir_fd = open_folder (store, id);
  gboolean ok = TRUE;
  if (dir_fd < 0)
    return TRUE; /* most jobs have none */
  g_autoptr (GPtrArray) names = list_names (dir_fd);
  for (guint i = 0; ok && i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      struct stat st;
      int fd = openat (dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
      if (fd >= 0 && fstat (fd, &st) == 0 && S_ISREG (st.st_mode))
        ok = function (name, fd, (guint64)st.st_size, data);
      if (fd >= 0)
        close (fd);
    }
  close (dir_fd);
  return ok;
}
