/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The folders of the store, and how things leave them: by a rename into `trash`, and then for good,
 * in a thread.
 */
#include "config.h"
#include "sorad-store-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* TRUE: it is not there any more. */
static gboolean
remove_child (int dir, const char *name, int depth)
{
  if (unlinkat (dir, name, 0) == 0 || errno == ENOENT)
    return TRUE;
  if ((errno != EISDIR && errno != EPERM) || depth > 32)
    return FALSE;
  int fd = openat (dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *stream = fd >= 0 ? fdopendir (fd) : NULL;
  if (!stream)
    {
      if (fd >= 0)
        close (fd);
      return FALSE;
    }
  struct dirent *entry;
  while ((entry = readdir (stream)))
    if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0)
      remove_child (dirfd (stream), entry->d_name, depth + 1);
  closedir (stream);
  return unlinkat (dir, name, AT_REMOVEDIR) == 0;
}

typedef struct
{
  int dir;
  char *name;
} Removal;

static void
removal_free (Removal *removal)
{
  g_free (removal->name);
  g_free (removal);
}

/* What a disk that fails did not let go is tried again with each later one; the next start has the
 * rest.  One thread at a time, so `undone` needs no lock. */
static void
remover (gpointer data, gpointer user_data)
{
  SoradStore *store = user_data;
  g_queue_push_tail (&store->undone, data);
  for (guint i = store->undone.length; i > 0; i--)
    {
      Removal *removal = g_queue_pop_head (&store->undone);
      if (remove_child (removal->dir, removal->name, 0))
        removal_free (removal);
      else
        g_queue_push_tail (&store->undone, removal);
    }
}

void
sorad_store_discard_later (SoradStore *store, int dir, const char *name)
{
  Removal *removal = g_new0 (Removal, 1);
  removal->dir = dir;
  removal->name = g_strdup (name);
  g_thread_pool_push (store->remover, removal, NULL);
}

void
sorad_store_discard (SoradStore *store, int dir, const char *name)
{
  g_autofree char *trash
      = g_strdup_printf ("%d-%" G_GINT64_FORMAT "-%d", (int)getpid (), g_get_monotonic_time (),
                         g_atomic_int_add (&store->last_trash, 1));
  if (renameat (dir, name, store->trash_fd, trash) == 0)
    sorad_store_discard_later (store, store->trash_fd, trash);
  else if (errno != ENOENT && !remove_child (dir, name, 0)) /* no room for a name in `trash` */
    sorad_store_discard_later (store, dir, name);
}

void
sorad_store_sweep (SoradStore *store, int dir,
                   gboolean (*keep) (SoradStore *store, const char *name))
{
  int fd = openat (dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *stream = fd >= 0 ? fdopendir (fd) : NULL;
  struct dirent *entry;
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  while (stream && (entry = readdir (stream)))
    if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0
        && !(keep && keep (store, entry->d_name)))
      g_ptr_array_add (names, g_strdup (entry->d_name));
  if (stream)
    closedir (stream);
  for (guint i = 0; i < names->len; i++)
    if (dir == store->trash_fd)
      sorad_store_discard_later (store, dir, g_ptr_array_index (names, i));
    else
      sorad_store_discard (store, dir, g_ptr_array_index (names, i));
}

static int
open_folder (int parent, const char *name, GError **error)
{
  int fd = mkdirat (parent, name, 0700) == 0 || errno == EEXIST
               ? openat (parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
               : -1;
  if (fd < 0)
    g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED,
                 "state folder: cannot make or open the folder '%s': %s", name, g_strerror (errno));
  return fd;
}

static gboolean
lock_folder (SoradStore *store, const char *path, GError **error)
{
  store->lock_fd = openat (store->root_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (store->lock_fd >= 0 && flock (store->lock_fd, LOCK_EX | LOCK_NB) == 0)
    return TRUE;
  if (store->lock_fd >= 0 && errno == EWOULDBLOCK)
    g_set_error (error, SORA_ERROR, SORA_ERROR_BUSY,
                 "state folder '%s' is in use by another sorad: stop it, or give --state-dir",
                 path);
  else
    g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "state folder '%s' cannot be locked: %s",
                 path, g_strerror (errno));
  return FALSE;
}

static gboolean
fail_folder (GError **error, const char *state_dir, const char *what)
{
  g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "state folder '%s' cannot be %s: %s",
               state_dir, what, g_strerror (errno));
  return FALSE;
}

gboolean
sorad_store_open_folders (SoradStore *store, const char *state_dir, GError **error)
{
  const struct
  {
    const char *name;
    int *fd;
  } folders[] = { { "staging", &store->staging_fd }, { "results", &store->results_fd },
                  { "work", &store->work_fd },       { "models", &store->models_fd },
                  { "inputs", &store->inputs_fd },   { "checkpoints", &store->checkpoints_fd },
                  { "trash", &store->trash_fd } };
  for (gsize i = 0; i < G_N_ELEMENTS (folders); i++)
    *folders[i].fd = -1;
  store->root_fd = store->lock_fd = -1;
  if (g_mkdir_with_parents (state_dir, 0700) != 0
      || (store->root_fd = open (state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
    return fail_folder (error, state_dir, "made or opened");
  store->root = realpath (state_dir, NULL);
  if (!store->root)
    return fail_folder (error, state_dir, "resolved");
  if (!lock_folder (store, state_dir, error))
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (folders); i++)
    if ((*folders[i].fd = open_folder (store->root_fd, folders[i].name, error)) < 0)
      return FALSE;
  if (fsync (store->root_fd) != 0)
    return fail_folder (error, state_dir, "synced");
  store->remover = g_thread_pool_new (remover, store, 1, FALSE, error);
  if (!store->remover)
    return FALSE;
  sorad_store_sweep (store, store->trash_fd, NULL);
  sorad_store_sweep (store, store->staging_fd, NULL);
  sorad_store_sweep (store, store->work_fd, NULL);
  return TRUE;
}

void
sorad_store_close_folders (SoradStore *store)
{
  if (store->remover)
    g_thread_pool_free (store->remover, FALSE, TRUE); /* what is to be removed, is */
  g_queue_clear_full (&store->undone, (GDestroyNotify)removal_free);
  const int fds[] = { store->staging_fd, store->results_fd, store->work_fd,
                      store->models_fd,  store->inputs_fd,  store->checkpoints_fd,
                      store->trash_fd,   store->lock_fd,    store->root_fd };
  for (gsize i = 0; i < G_N_ELEMENTS (fds); i++)
    if (fds[i] >= 0)
      close (fds[i]);
  free (store->root);
}
