/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The database of the state folder, sorad.db: SQLite in WAL mode with synchronous=FULL, and one
 * thread that writes.  What is pushed while it commits goes into the next transaction together
 * (group commit), so that a burst costs a few fsyncs and not one each; the main loop never waits.
 */
#pragma once
#include <glib.h>
#include <sqlite3.h>

G_BEGIN_DECLS

#define SORAD_DATABASE_FILE "sorad.db"

typedef struct SoradDatabase SoradDatabase;

/* In the writer's thread, within a transaction; may be called again when the transaction was rolled
 * back.  FALSE: SQLite or a file refused; nothing of it stays. */
typedef gboolean (*SoradWrite) (sqlite3 *handle, gpointer data, GError **error);
/* In the main loop.  @error is NULL when it is durable. */
typedef void (*SoradWritten) (const GError *error, gpointer data);

/**
 * sorad_database_open:
 * @folder: the state folder, absolute
 *
 * Opens or makes the database, and brings an older schema up to date; before that the old file is
 * kept as `sorad.db.vN`.  Errors: one of a newer sorad, a damaged one, no room.
 */
SoradDatabase *sorad_database_open (const char *folder, GError **error);
/* After what was pushed is written. */
void sorad_database_close (SoradDatabase *database);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoradDatabase, sorad_database_close)

/* For reading at the start, before anything is pushed. */
sqlite3 *sorad_database_handle (SoradDatabase *database);

/**
 * sorad_database_push:
 * @lasting: a write that fails is tried again each second, until it is done or the daemon ends;
 *   else the failure is told at once
 * @free_data: (nullable): of @data, after @written
 * @written: (nullable)
 */
void sorad_database_push (SoradDatabase *database, gboolean lasting, SoradWrite write,
                          SoradWritten written, gpointer data, GDestroyNotify free_data);
/* Waits for all that was pushed and tells it; a lasting write gets one more try.  For the end of
 * the daemon, and tests. */
void sorad_database_flush (SoradDatabase *database);

/* -- For writes */
/* TRUE if @code is SQLITE_OK, ROW or DONE.  Right after the call that gave it: errno is part of what is told. */
gboolean sorad_database_check (sqlite3 *handle, int code, GError **error);

G_END_DECLS
