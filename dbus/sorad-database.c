/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The writer: takes all writes that wait into one transaction.  If that fails, each is tried alone,
 * so that one that cannot be made does not take the others with it.
 */
#include "config.h"
#include "sorad-database.h"

#include <errno.h>
#include <string.h>

#include "core/sora-error.h"
#include "sorad-database-schema.h"

#define MAX_GROUP 256
#define RETRY_SECONDS 1

typedef struct
{
  gboolean lasting;
  SoradWrite write; /* NULL: the end, or a flush */
  SoradWritten written;
  gpointer data;
  GDestroyNotify free_data;
  GError *error;
} Op;

struct SoradDatabase
{
  sqlite3 *handle; /* of the writer's thread, once it runs */
  GThread *thread;
  GAsyncQueue *todo;

  GMutex lock; /* all below */
  GCond told;
  GQueue done;    /* of Op, for the main loop */
  guint source;   /* that will take them */
  guint flushing; /* how many wait in flush: lasting writes give up */
  guint flushed;
  gboolean ending;
};

static void
op_free (Op *op)
{
  if (op->free_data)
    op->free_data (op->data);
  g_clear_error (&op->error);
  g_free (op);
}

gboolean
sorad_database_check (sqlite3 *handle, int code, GError **error)
{
  const int system_errnum = errno;
  if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE)
    return TRUE;
  /* SQLite has a word for a write that fails with ENOSPC alone: a quota that is used up, and any
   * other call that finds no room, is a disk error to it, of which the system knows more.
   * sqlite3_system_errno() does not tell of a COMMIT. */
  const int kind = code & 0xff;
  const int errnum = kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN ? system_errnum : 0;
  g_set_error (error, SORA_ERROR,
               kind == SQLITE_FULL || sora_error_is_full (errnum) ? SORA_ERROR_NO_SPACE
                                                                  : SORA_ERROR_FAILED,
               "state folder: '%s': %s%s%s", SORAD_DATABASE_FILE, sqlite3_errmsg (handle),
               errnum ? ": " : "", errnum ? g_strerror (errnum) : "");
  return FALSE;
}

static gboolean
execute (sqlite3 *handle, const char *sql, GError **error)
{
  return sorad_database_check (handle, sqlite3_exec (handle, sql, NULL, NULL, NULL), error);
}

/* -- Telling; main loop */

static gboolean
on_done (gpointer data)
{
  SoradDatabase *database = data;
  GQueue done;
  g_mutex_lock (&database->lock);
  done = database->done;
  g_queue_init (&database->done);
  database->source = 0;
  g_mutex_unlock (&database->lock);
  Op *op;
  while ((op = g_queue_pop_head (&done)))
    {
      if (op->written)
        op->written (op->error, op->data);
      op_free (op);
    }
  return G_SOURCE_REMOVE;
}

static void
tell (SoradDatabase *database, GQueue *ops)
{
  g_mutex_lock (&database->lock);
  Op *op;
  while ((op = g_queue_pop_head (ops)))
    g_queue_push_tail (&database->done, op);
  if (!database->source && !g_queue_is_empty (&database->done))
    database->source = g_idle_add_full (G_PRIORITY_DEFAULT, on_done, database, NULL);
  g_mutex_unlock (&database->lock);
}

/* -- Writing; the thread */

static gboolean
write_together (sqlite3 *handle, GQueue *ops, GError **error)
{
  gboolean ok = execute (handle, "BEGIN IMMEDIATE", error);
  for (GList *l = ops->head; ok && l; l = l->next)
    ok = ((Op *)l->data)->write (handle, ((Op *)l->data)->data, error);
  if (ok && execute (handle, "COMMIT", error))
    return TRUE;
  if (!sqlite3_get_autocommit (handle))
    sqlite3_exec (handle, "ROLLBACK", NULL, NULL, NULL);
  return FALSE;
}

static void
write_alone (sqlite3 *handle, GQueue *ops)
{
  for (GList *l = ops->head; l; l = l->next)
    {
      Op *op = l->data;
      GQueue one = G_QUEUE_INIT;
      g_queue_push_tail (&one, op);
      g_clear_error (&op->error);
      write_together (handle, &one, &op->error);
      g_queue_clear (&one);
    }
}

/* What failed and is to last stays in @ops, in its order. */
static void
keep_lasting (SoradDatabase *database, GQueue *ops)
{
  GQueue kept = G_QUEUE_INIT, over = G_QUEUE_INIT;
  g_mutex_lock (&database->lock);
  gboolean gives_up = database->flushing > 0 || database->ending;
  g_mutex_unlock (&database->lock);
  Op *op;
  while ((op = g_queue_pop_head (ops)))
    {
      gboolean stays = op->error && op->lasting && !gives_up;
      if (op->error && op->lasting)
        g_warning ("%s; %s", op->error->message, stays ? "trying again" : "given up");
      g_queue_push_tail (stays ? &kept : &over, op);
    }
  tell (database, &over);
  *ops = kept;
}

static void
write_group (SoradDatabase *database, GQueue *ops)
{
  g_autoptr (GError) error = NULL;
  if (g_queue_is_empty (ops))
    return;
  if (write_together (database->handle, ops, &error))
    {
      for (GList *l = ops->head; l; l = l->next)
        g_clear_error (&((Op *)l->data)->error);
      tell (database, ops);
      return;
    }
  write_alone (database->handle, ops);
  keep_lasting (database, ops);
}

/* The next one that is not written yet; NULL when a try of what failed is due. */
static Op *
next_op (SoradDatabase *database, gboolean has_some)
{
  if (!has_some)
    return g_async_queue_pop (database->todo);
  return g_async_queue_timeout_pop (database->todo, RETRY_SECONDS * G_USEC_PER_SEC);
}

static gpointer
writer (gpointer data)
{
  SoradDatabase *database = data;
  GQueue ops = G_QUEUE_INIT; /* from the last round: what failed */
  for (gboolean ending = FALSE; !ending;)
    {
      Op *op = next_op (database, !g_queue_is_empty (&ops));
      Op *mark = NULL;
      while (op && !mark)
        {
          if (op->write)
            g_queue_push_tail (&ops, op);
          else
            mark = op;
          op = mark || ops.length >= MAX_GROUP ? NULL : g_async_queue_try_pop (database->todo);
        }
      write_group (database, &ops);
      if (!mark)
        continue;
      op_free (mark);
      g_mutex_lock (&database->lock);
      database->flushed++;
      ending = database->ending;
      g_cond_broadcast (&database->told);
      g_mutex_unlock (&database->lock);
    }
  return NULL;
}

/* -- Life */

static gboolean
prepare (SoradDatabase *database, const char *path, GError **error)
{
  int code = sqlite3_open_v2 (path, &database->handle,
                              SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
                                  | SQLITE_OPEN_EXRESCODE,
                              NULL);
  if (!sorad_database_check (database->handle, code, error)
      || !execute (database->handle,
                   "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                   "PRAGMA wal_autocheckpoint=250;" /* the log stays at a megabyte */
                   "PRAGMA cache_size=-2048; PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF",
                   error))
    return FALSE;
  return sorad_schema_upgrade (database->handle, path, sorad_schema_version (), error);
}

SoradDatabase *
sorad_database_open (const char *folder, GError **error)
{
  SoradDatabase *database = g_new0 (SoradDatabase, 1);
  g_autofree char *path = g_build_filename (folder, SORAD_DATABASE_FILE, NULL);
  g_mutex_init (&database->lock);
  g_cond_init (&database->told);
  g_queue_init (&database->done);
  database->todo = g_async_queue_new ();
  if (!prepare (database, path, error))
    {
      g_prefix_error (error, "the table of jobs in '%s' cannot be used: ", folder);
      sorad_database_close (database);
      return NULL;
    }
  return database;
}

sqlite3 *
sorad_database_handle (SoradDatabase *database)
{
  return database->thread ? NULL : database->handle;
}

void
sorad_database_push (SoradDatabase *database, gboolean lasting, SoradWrite write,
                     SoradWritten written, gpointer data, GDestroyNotify free_data)
{
  Op *op = g_new0 (Op, 1);
  op->lasting = lasting;
  op->write = write;
  op->written = written;
  op->data = data;
  op->free_data = free_data;
  if (!database->thread)
    database->thread = g_thread_new ("database", writer, database);
  g_async_queue_push (database->todo, op);
}

static void
wait_for_mark (SoradDatabase *database)
{
  g_mutex_lock (&database->lock);
  database->flushing++;
  guint target = database->flushed + database->flushing;
  g_mutex_unlock (&database->lock);
  sorad_database_push (database, FALSE, NULL, NULL, NULL, NULL);
  g_mutex_lock (&database->lock);
  while ((gint)(database->flushed - target) < 0)
    g_cond_wait (&database->told, &database->lock);
  database->flushing--;
  g_mutex_unlock (&database->lock);
}

void
sorad_database_flush (SoradDatabase *database)
{
  gboolean more = TRUE;
  while (more)
    { /* what is told may push */
      wait_for_mark (database);
      g_mutex_lock (&database->lock);
      g_clear_handle_id (&database->source, g_source_remove);
      more = !g_queue_is_empty (&database->done);
      g_mutex_unlock (&database->lock);
      on_done (database);
    }
}

void
sorad_database_close (SoradDatabase *database)
{
  if (!database)
    return;
  if (database->thread)
    {
      g_mutex_lock (&database->lock);
      database->ending = TRUE;
      g_mutex_unlock (&database->lock);
      sorad_database_push (database, FALSE, NULL, NULL, NULL, NULL);
      g_thread_join (database->thread);
    }
  g_clear_handle_id (&database->source, g_source_remove);
  g_queue_clear_full (&database->done, (GDestroyNotify)op_free);
  g_async_queue_unref (database->todo);
  sqlite3_close (database->handle);
  g_mutex_clear (&database->lock);
  g_cond_clear (&database->told);
  g_free (database);
}
