/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The table of jobs in memory, by id and by user, and the folders that stand behind it.
 */
#include "config.h"
#include "sorad-store-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static void
remove_child (int dir, const char *name, int depth)
{
  if (unlinkat (dir, name, 0) == 0 || (errno != EISDIR && errno != EPERM) || depth > 32)
    return;
  int fd = openat (dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *stream = fd >= 0 ? fdopendir (fd) : NULL;
  if (!stream)
    {
      if (fd >= 0)
        close (fd);
      return;
    }
  struct dirent *entry;
  while ((entry = readdir (stream)))
    if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0)
      remove_child (dirfd (stream), entry->d_name, depth + 1);
  closedir (stream);
  unlinkat (dir, name, AT_REMOVEDIR);
}

void
sorad_store_remove_tree (int dir, const char *name)
{
  remove_child (dir, name, 0);
}

/* What a former daemon left: its jobs are gone, so nobody can ask for it. */
static int
fresh_folder (int parent, const char *name, GError **error)
{
  remove_child (parent, name, 0);
  if (mkdirat (parent, name, 0700) != 0 && errno != EEXIST)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "state folder: cannot make '%s': %s", name,
                   g_strerror (errno));
      return -1;
    }
  int fd = openat (parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "state folder: cannot open '%s': %s", name,
                 g_strerror (errno));
  return fd;
}

/* One that is kept from start to start. */
static int
lasting_folder (int parent, const char *name, GError **error)
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

static void
user_free (gpointer data)
{
  GQueue *jobs = data;
  g_queue_free (jobs);
}

SoradStore *
sorad_store_open (const char *state_dir, GError **error)
{
  g_autoptr (SoradStore) store = g_new0 (SoradStore, 1);
  store->root_fd = store->lock_fd = store->staging_fd = store->results_fd = store->work_fd = -1;
  store->models_fd = -1;
  store->jobs
      = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify)sorad_job_unref);
  store->users = g_hash_table_new_full (NULL, NULL, NULL, user_free);
  if (g_mkdir_with_parents (state_dir, 0700) != 0
      || (store->root_fd = open (state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED,
                   "state folder '%s' cannot be made or opened: %s", state_dir, g_strerror (errno));
      return NULL;
    }
  store->root = realpath (state_dir, NULL);
  if (!store->root)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "state folder '%s' cannot be resolved: %s",
                   state_dir, g_strerror (errno));
      return NULL;
    }
  if (!lock_folder (store, state_dir, error))
    return NULL;
  store->staging_fd = fresh_folder (store->root_fd, "staging", error);
  if (store->staging_fd < 0)
    return NULL;
  store->results_fd = fresh_folder (store->root_fd, "results", error);
  if (store->results_fd < 0)
    return NULL;
  store->work_fd = fresh_folder (store->root_fd, "work", error);
  if (store->work_fd < 0)
    return NULL;
  store->models_fd = lasting_folder (store->root_fd, "models", error);
  if (store->models_fd < 0)
    return NULL;
  store->remover = g_thread_pool_new (sorad_store_remover, store, 1, FALSE, error);
  return store->remover ? g_steal_pointer (&store) : NULL;
}

void
sorad_store_close (SoradStore *store)
{
  if (!store)
    return;
  if (store->remover)
    g_thread_pool_free (store->remover, FALSE, TRUE); /* what is to be removed, is */
  g_hash_table_unref (store->users);
  g_hash_table_unref (store->jobs);
  const int fds[] = { store->staging_fd, store->results_fd, store->work_fd,
                      store->models_fd,  store->lock_fd,    store->root_fd };
  for (gsize i = 0; i < G_N_ELEMENTS (fds); i++)
    if (fds[i] >= 0)
      close (fds[i]);
  free (store->root);
  g_free (store);
}

char *
sorad_store_models_dir (SoradStore *store)
{
  return g_build_filename (store->root, "models", NULL);
}

/* -- The table */

static GQueue *
user_jobs (SoradStore *store, guint32 uid)
{
  return g_hash_table_lookup (store->users, GUINT_TO_POINTER (uid));
}

SoradJob *
sorad_store_add (SoradStore *store, SoradSubmission *submission)
{
  SoradJob *job = sorad_job_new (++store->last_number, submission);
  while (g_hash_table_contains (store->jobs, job->id)) /* 50 bits; but never twice */
    {
      job->submission = NULL;
      sorad_job_unref (job);
      job = sorad_job_new (store->last_number, submission);
    }
  g_hash_table_insert (store->jobs, job->id, job);
  GQueue *jobs = user_jobs (store, submission->uid);
  if (!jobs)
    g_hash_table_insert (store->users, GUINT_TO_POINTER (submission->uid), jobs = g_queue_new ());
  g_queue_push_tail (jobs, job);
  return job;
}

SoradJob *
sorad_store_find (SoradStore *store, const char *id)
{
  return g_hash_table_lookup (store->jobs, id);
}

void
sorad_store_remove (SoradStore *store, SoradJob *job)
{
  GQueue *jobs = user_jobs (store, sorad_job_uid (job));
  g_queue_remove (jobs, job);
  if (g_queue_is_empty (jobs))
    g_hash_table_remove (store->users, GUINT_TO_POINTER (sorad_job_uid (job)));
  if (job->files)
    sorad_store_push_removal (store, store->results_fd, job->id);
  g_hash_table_remove (store->jobs, job->id);
}

guint
sorad_store_size (SoradStore *store)
{
  return g_hash_table_size (store->jobs);
}

GPtrArray *
sorad_store_list (SoradStore *store, guint32 uid, guint states)
{
  GPtrArray *list = g_ptr_array_new ();
  GQueue *jobs = user_jobs (store, uid);
  for (GList *l = jobs ? jobs->head : NULL; l; l = l->next)
    if (SORAD_JOB_STATE_BIT (((SoradJob *)l->data)->state) & states)
      g_ptr_array_add (list, l->data);
  return list;
}

guint
sorad_store_count (SoradStore *store, guint32 uid, guint states)
{
  g_autoptr (GPtrArray) list = sorad_store_list (store, uid, states);
  return list->len;
}

guint64
sorad_store_bytes (SoradStore *store, guint32 uid, guint states)
{
  guint64 bytes = 0;
  GQueue *jobs = user_jobs (store, uid);
  for (GList *l = jobs ? jobs->head : NULL; l; l = l->next)
    {
      const SoradJob *job = l->data;
      if (SORAD_JOB_STATE_BIT (job->state) & states)
        bytes += job->stored_bytes + job->submission->bytes;
    }
  return bytes;
}

guint
sorad_store_inputs (SoradStore *store, guint32 uid)
{
  guint inputs = 0;
  GQueue *jobs = user_jobs (store, uid);
  for (GList *l = jobs ? jobs->head : NULL; l; l = l->next)
    {
      const SoradJob *job = l->data;
      if (SORAD_JOB_STATE_BIT (job->state) & SORAD_JOB_ACTIVE)
        inputs += job->submission->inputs->len;
    }
  return inputs;
}

GPtrArray *
sorad_store_all (SoradStore *store)
{
  GPtrArray *list = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer job;
  g_hash_table_iter_init (&iter, store->jobs);
  while (g_hash_table_iter_next (&iter, NULL, &job))
    g_ptr_array_add (list, job);
  return list;
}
