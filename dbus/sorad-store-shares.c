/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What each user has used, in the table `shares`: written with the user's next job that is saved,
 * in the same transaction, so that it costs no sync of its own.
 */
#include "config.h"
#include "sorad-store-private.h"

struct SoradShareRow
{
  SoradShare share;
  guint64 revision;
};

void
sorad_store_set_share (SoradStore *store, const SoradShare *share)
{
  SoradShareRow *row = g_hash_table_lookup (store->shares, GUINT_TO_POINTER (share->uid));
  if (!row)
    {
      row = g_new0 (SoradShareRow, 1);
      g_hash_table_insert (store->shares, GUINT_TO_POINTER (share->uid), row);
    }
  row->share = *share;
  row->revision++;
}

GArray *
sorad_store_shares (SoradStore *store)
{
  GArray *shares = g_array_new (FALSE, FALSE, sizeof (SoradShare));
  GHashTableIter iter;
  gpointer row;
  g_hash_table_iter_init (&iter, store->shares);
  while (g_hash_table_iter_next (&iter, NULL, &row))
    g_array_append_val (shares, ((SoradShareRow *)row)->share);
  return shares;
}

SoradShareRow *
sorad_share_row_copy (SoradStore *store, guint32 uid)
{
  return g_memdup2 (g_hash_table_lookup (store->shares, GUINT_TO_POINTER (uid)),
                    sizeof (SoradShareRow));
}

/* -- In the writer's thread */

gboolean
sorad_share_row_write (sqlite3 *handle, const SoradShareRow *row, GError **error)
{
  static const char sql[]
      = "INSERT INTO shares (uid, revision, used, halved, stopped, turn) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (uid) DO UPDATE SET (revision, used, halved, stopped, turn)"
        " = (excluded.revision, excluded.used, excluded.halved, excluded.stopped, excluded.turn)"
        " WHERE excluded.revision > shares.revision";
  sqlite3_stmt *statement = NULL;
  int code = sqlite3_prepare_v2 (handle, sql, -1, &statement, NULL);
  if (code == SQLITE_OK)
    {
      sqlite3_bind_int64 (statement, 1, row->share.uid);
      sqlite3_bind_int64 (statement, 2, (gint64)row->revision);
      sqlite3_bind_int64 (statement, 3, (gint64)MIN (row->share.used, (guint64)G_MAXINT64));
      sqlite3_bind_int64 (statement, 4, row->share.halved);
      sqlite3_bind_int64 (statement, 5, row->share.stopped);
      sqlite3_bind_int64 (statement, 6, (gint64)row->share.turn);
      code = sqlite3_step (statement);
    }
  gboolean ok = sorad_database_check (handle, code, error);
  sqlite3_finalize (statement);
  return ok;
}

/* -- The start */

gboolean
sorad_store_load_shares (SoradStore *store, GError **error)
{
  sqlite3 *handle = sorad_database_handle (store->database);
  sqlite3_stmt *statement = NULL;
  int code = sqlite3_prepare_v2 (
      handle, "SELECT uid, revision, used, halved, stopped, turn FROM shares", -1, &statement, NULL);
  while (code == SQLITE_OK && (code = sqlite3_step (statement)) == SQLITE_ROW)
    {
      SoradShareRow *row = g_new0 (SoradShareRow, 1);
      row->share.uid = (guint32)sqlite3_column_int64 (statement, 0);
      row->revision = (guint64)sqlite3_column_int64 (statement, 1);
      row->share.used = (guint64)sqlite3_column_int64 (statement, 2);
      row->share.halved = sqlite3_column_int64 (statement, 3);
      row->share.stopped = sqlite3_column_int64 (statement, 4);
      row->share.turn = (guint64)sqlite3_column_int64 (statement, 5);
      g_hash_table_insert (store->shares, GUINT_TO_POINTER (row->share.uid), row);
      code = SQLITE_OK;
    }
  gboolean ok = sorad_database_check (handle, code, error);
  sqlite3_finalize (statement);
  return ok;
}
