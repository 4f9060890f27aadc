/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The schema, as the list of steps that led to it.  A step that was released never changes: a new
 * one is added.  The version is the number of steps taken, in SQLite's user_version.
 */
#include "config.h"
#include "sorad-database-schema.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/sora-error.h"
#include "sorad-database.h"

static const char *const steps[] = {
  /* 1: jobs and their attempts.  `revision` counts the writes of a row: a late one never covers a
   * newer.  Blobs are serialized GVariants, of the types that sorad-store-rows.c says. */
  "CREATE TABLE jobs ("
  " id TEXT PRIMARY KEY NOT NULL, number INTEGER NOT NULL UNIQUE, uid INTEGER NOT NULL,"
  " revision INTEGER NOT NULL,"
  " state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'awaiting-approval', 'done',"
  "  'failed', 'cancelled', 'revoked')),"
  " paused INTEGER NOT NULL, priority INTEGER NOT NULL, kept INTEGER NOT NULL,"
  " attempts INTEGER NOT NULL, crashes INTEGER NOT NULL,"
  " submitted INTEGER NOT NULL, started INTEGER NOT NULL, finished INTEGER NOT NULL,"
  " pipeline TEXT NOT NULL, name TEXT, key TEXT, digest TEXT NOT NULL,"
  " request BLOB NOT NULL, inputs BLOB NOT NULL, bytes INTEGER NOT NULL,"
  " error_name TEXT, error TEXT, warnings BLOB, notes BLOB, sandbox TEXT NOT NULL,"
  " files BLOB, details BLOB, stored_bytes INTEGER NOT NULL) STRICT;"
  "CREATE UNIQUE INDEX jobs_by_key ON jobs (uid, key) WHERE key IS NOT NULL;"
  "CREATE TABLE attempts ("
  " job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, number INTEGER NOT NULL,"
  " started INTEGER NOT NULL, ended INTEGER, outcome TEXT,"
  " PRIMARY KEY (job, number)) STRICT, WITHOUT ROWID;",
  /* 2: stages that are a third party's, a{ss}. */
  "ALTER TABLE jobs ADD COLUMN third_party BLOB;",
  /* 3: what each user has used, as sorad-share.h has it, in times of the wall clock. */
  "CREATE TABLE shares ("
  " uid INTEGER PRIMARY KEY NOT NULL, revision INTEGER NOT NULL,"
  " used INTEGER NOT NULL CHECK (used >= 0), halved INTEGER NOT NULL, stopped INTEGER NOT NULL,"
  " turn INTEGER NOT NULL) STRICT;",
};

guint
sorad_schema_version (void)
{
  return G_N_ELEMENTS (steps);
}

static gboolean
read_version (sqlite3 *handle, guint *version, GError **error)
{
  sqlite3_stmt *statement = NULL;
  int code = sqlite3_prepare_v2 (handle, "PRAGMA user_version", -1, &statement, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_step (statement);
  if (code == SQLITE_ROW)
    *version = (guint)sqlite3_column_int (statement, 0);
  sqlite3_finalize (statement);
  return sorad_database_check (handle, code, error);
}

/* A whole copy, made by SQLite itself, so that what is in the WAL comes along; it gets its name
 * when it is durable. */
static gboolean
keep_copy (sqlite3 *handle, const char *path, guint version, GError **error)
{
  g_autofree char *copy = g_strdup_printf ("%s.v%u", path, version);
  g_autofree char *part = g_strconcat (copy, ".part", NULL);
  g_autofree char *folder = g_path_get_dirname (path);
  unlink (part);
  char *sql = sqlite3_mprintf ("VACUUM INTO %Q", part);
  int code = sqlite3_exec (handle, sql, NULL, NULL, NULL);
  sqlite3_free (sql);
  if (!sorad_database_check (handle, code, error))
    return FALSE;
  int fd = open (part, O_RDONLY | O_CLOEXEC), dir = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  gboolean ok = fd >= 0 && dir >= 0 && fsync (fd) == 0 && rename (part, copy) == 0 && fsync (dir) == 0;
  if (!ok)
    g_set_error (error, SORA_ERROR,
                 sora_error_is_full (errno) ? SORA_ERROR_NO_SPACE : SORA_ERROR_FAILED,
                 "the copy '%s' cannot be kept: %s", copy, g_strerror (errno));
  if (fd >= 0)
    close (fd);
  if (dir >= 0)
    close (dir);
  return ok;
}

static gboolean
take_step (sqlite3 *handle, guint step, GError **error)
{
  g_autofree char *sql = g_strdup_printf ("BEGIN IMMEDIATE;%s PRAGMA user_version=%u; COMMIT",
                                          steps[step], step + 1);
  if (sorad_database_check (handle, sqlite3_exec (handle, sql, NULL, NULL, NULL), error))
    return TRUE;
  sqlite3_exec (handle, "ROLLBACK", NULL, NULL, NULL);
  return FALSE;
}

gboolean
sorad_schema_upgrade (sqlite3 *handle, const char *path, guint version, GError **error)
{
  guint found = 0;
  if (!read_version (handle, &found, error))
    return FALSE;
  if (found > sorad_schema_version ())
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED,
                   "it is of version %u, this sorad knows up to %u: start the newer sorad, or put "
                   "back a copy of before ('%s.vN')",
                   found, sorad_schema_version (), SORAD_DATABASE_FILE);
      return FALSE;
    }
  if (found > 0 && found < version && !keep_copy (handle, path, found, error))
    return FALSE;
  for (guint step = found; step < version; step++)
    if (!take_step (handle, step, error))
      return FALSE;
  return TRUE;
}
