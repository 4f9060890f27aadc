/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The parts of the durable queue without a bus: the database's writer and schema, and the fair
 * order between users.
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "bus-fixture.h"
#include "core/sora-error.h"
#include "dbus/sorad-database-schema.h"
#include "dbus/sorad-database.h"
#include "dbus/sorad-queue.h"

static char *dir;

static void
setup (void)
{
  dir = g_dir_make_tmp ("sora-store-XXXXXX", NULL);
  ck_assert_ptr_nonnull (dir);
}

static void
teardown (void)
{
  bus_remove_tree (dir);
  g_free (dir);
}

/* -- The database */

typedef struct
{
  const char *sql;
  guint failures; /* first so many times, of the writer's thread */
  guint *told, *failed;
} Try;

static gboolean
write_try (sqlite3 *handle, gpointer data, GError **error)
{
  Try *one = data;
  if (one->failures > 0)
    {
      one->failures--;
      g_set_error (error, SORA_ERROR, SORA_ERROR_NO_SPACE, "no room, says the test");
      return FALSE;
    }
  return sorad_database_check (handle, sqlite3_exec (handle, one->sql, NULL, NULL, NULL), error);
}

static void
on_tried (const GError *error, gpointer data)
{
  Try *one = data;
  (*one->told)++;
  if (error)
    (*one->failed)++;
}

static SoradDatabase *
open_database (void)
{
  g_autoptr (GError) error = NULL;
  SoradDatabase *database = sorad_database_open (dir, &error);
  ck_assert_msg (database != NULL, "%s", error ? error->message : "");
  return database;
}

static int
query (SoradDatabase *database, const char *sql)
{
  sqlite3_stmt *statement = NULL;
  sqlite3 *handle = sorad_database_handle (database);
  ck_assert_int_eq (sqlite3_prepare_v2 (handle, sql, -1, &statement, NULL), SQLITE_OK);
  ck_assert_int_eq (sqlite3_step (statement), SQLITE_ROW);
  int value = sqlite3_column_int (statement, 0);
  sqlite3_finalize (statement);
  return value;
}

#define ATTEMPT(n) "INSERT INTO attempts (job, number, started) VALUES ('j', " #n ", 0)"
#define JOB_VALUES(more)                                                                           \
  "INSERT INTO jobs VALUES ('j', 1, 0, 1, 'queued', 0, 0, 0, 0, 0, 0, 0, 0, 'p', NULL, NULL, "     \
  "'d', x'', x'', 0, NULL, NULL, NULL, NULL, 'none', NULL, NULL, 0" more ")"
#define JOB_ROW_1 JOB_VALUES ("") /* of version 1 */
#define JOB_ROW JOB_VALUES (", NULL")

START_TEST (one_write_that_fails_takes_no_other_with_it)
{
  guint told = 0, failed = 0;
  Try tries[] = { { JOB_ROW, 0, &told, &failed },
                  { ATTEMPT (1), 0, &told, &failed },
                  { "INSERT INTO nothing VALUES (1)", 0, &told, &failed },
                  { ATTEMPT (2), 0, &told, &failed } };
  g_autoptr (SoradDatabase) database = open_database ();
  for (gsize i = 0; i < G_N_ELEMENTS (tries); i++)
    sorad_database_push (database, FALSE, write_try, on_tried, &tries[i], NULL);
  sorad_database_flush (database);
  ck_assert_uint_eq (told, 4);
  ck_assert_uint_eq (failed, 1);
  g_clear_pointer (&database, sorad_database_close);
  database = open_database ();
  ck_assert_int_eq (query (database, "SELECT count(*) FROM attempts"), 2);
  ck_assert_int_eq (query (database, "PRAGMA synchronous"), 2);
}
END_TEST

static gboolean
is_told (gpointer told)
{
  return *(guint *)told > 0;
}

START_TEST (lasting_write_is_tried_until_there_is_room)
{
  guint told = 0, failed = 0;
  Try one = { JOB_ROW, 3, &told, &failed }; /* within its group, alone, and a second later */
  g_autoptr (SoradDatabase) database = open_database ();
  sorad_database_push (database, TRUE, write_try, on_tried, &one, NULL);
  bus_wait_until (is_told, &told, "the end of the write");
  ck_assert_uint_eq (failed, 0);
  g_clear_pointer (&database, sorad_database_close);
  database = open_database ();
  ck_assert_int_eq (query (database, "SELECT count(*) FROM jobs"), 1);
}
END_TEST

START_TEST (lasting_write_is_given_up_at_the_end)
{
  guint told = 0, failed = 0;
  Try one = { JOB_ROW, 1000, &told, &failed };
  g_autoptr (SoradDatabase) database = open_database ();
  sorad_database_push (database, TRUE, write_try, on_tried, &one, NULL);
  sorad_database_flush (database);
  ck_assert_uint_eq (told, 1);
  ck_assert_uint_eq (failed, 1);
}
END_TEST

static void
assert_refused (const char *part)
{
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (sorad_database_open (dir, &error));
  ck_assert_msg (strstr (error->message, part) != NULL, "%s", error->message);
  ck_assert_ptr_nonnull (strstr (error->message, dir));
}

static sqlite3 *
open_plain (const char *name)
{
  sqlite3 *handle = NULL;
  g_autofree char *path = g_build_filename (dir, name, NULL);
  ck_assert_int_eq (sqlite3_open (path, &handle), SQLITE_OK);
  return handle;
}

/* What a sorad of the first version left is gone on with, and kept as it was beside it. */
START_TEST (older_database_is_brought_up)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (dir, SORAD_DATABASE_FILE, NULL);
  sqlite3 *old = open_plain (SORAD_DATABASE_FILE);
  ck_assert (sorad_schema_upgrade (old, path, 1, &error));
  ck_assert_int_eq (sqlite3_exec (old, JOB_ROW_1, NULL, NULL, NULL), SQLITE_OK);
  sqlite3_close (old);
  g_autoptr (SoradDatabase) database = open_database ();
  ck_assert_int_eq (query (database, "PRAGMA user_version"), (int)sorad_schema_version ());
  ck_assert_int_eq (
      query (database, "SELECT count(*) FROM jobs WHERE id = 'j' AND third_party IS NULL"), 1);
  sqlite3 *copy = open_plain (SORAD_DATABASE_FILE ".v1");
  ck_assert_int_eq (sqlite3_exec (copy, "SELECT third_party FROM jobs", NULL, NULL, NULL),
                    SQLITE_ERROR);
  ck_assert_int_eq (sqlite3_exec (copy, "DELETE FROM jobs WHERE id = 'j'", NULL, NULL, NULL),
                    SQLITE_OK);
  ck_assert_int_eq (sqlite3_changes (copy), 1);
  sqlite3_close (copy);
}
END_TEST

/* So is one of the second, which knew nothing of shares. */
START_TEST (database_without_shares_is_brought_up)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (dir, SORAD_DATABASE_FILE, NULL);
  sqlite3 *old = open_plain (SORAD_DATABASE_FILE);
  ck_assert (sorad_schema_upgrade (old, path, 2, &error));
  ck_assert_int_eq (sqlite3_exec (old, JOB_ROW, NULL, NULL, NULL), SQLITE_OK);
  sqlite3_close (old);
  g_autoptr (SoradDatabase) database = open_database ();
  ck_assert_int_eq (query (database, "PRAGMA user_version"), (int)sorad_schema_version ());
  ck_assert_int_eq (query (database, "SELECT count(*) FROM jobs WHERE id = 'j'"), 1);
  ck_assert_int_eq (query (database, "SELECT count(*) FROM shares"), 0);
  sqlite3 *copy = open_plain (SORAD_DATABASE_FILE ".v2");
  ck_assert_int_eq (sqlite3_exec (copy, "SELECT uid FROM shares", NULL, NULL, NULL), SQLITE_ERROR);
  ck_assert_int_eq (sqlite3_exec (copy, "DELETE FROM jobs WHERE id = 'j'", NULL, NULL, NULL),
                    SQLITE_OK);
  ck_assert_int_eq (sqlite3_changes (copy), 1);
  sqlite3_close (copy);
}
END_TEST

START_TEST (newer_database_is_refused)
{
  g_autoptr (SoradDatabase) database = open_database ();
  query (database, "PRAGMA journal_mode");
  sqlite3_exec (sorad_database_handle (database), "PRAGMA user_version=99", NULL, NULL, NULL);
  g_clear_pointer (&database, sorad_database_close);
  assert_refused ("it is of version 99");
}
END_TEST

START_TEST (damaged_database_is_refused)
{
  g_autofree char *path = g_build_filename (dir, SORAD_DATABASE_FILE, NULL);
  g_autofree char *noise = g_strnfill (8192, 'n');
  ck_assert (g_file_set_contents (path, noise, -1, NULL));
  assert_refused ("file is not a database");
}
END_TEST

/* -- The queue */

static SoradQueue *queue;
static guint64 number;

static SoradJob *
add_job (guint32 uid, gint64 now)
{
  SoradSubmission *submission = g_new0 (SoradSubmission, 1);
  submission->uid = uid;
  submission->inputs = g_ptr_array_new ();
  g_autoptr (SoradJob) job = sorad_job_new (++number, NULL, submission);
  sorad_queue_add (queue, job, now);
  return job; /* the queue's */
}

static guint32
serve (gint64 now, gint64 seconds)
{
  SoradJob *job = sorad_queue_next (queue, now);
  guint32 uid = sorad_job_uid (job);
  sorad_queue_remove (queue, job);
  sorad_queue_served (queue, uid, now);
  sorad_queue_charge (queue, uid, seconds * G_USEC_PER_SEC, now);
  return uid;
}

#define MINUTES(n) ((gint64)(n) * 60 * G_USEC_PER_SEC)

START_TEST (who_used_less_goes_first)
{
  gint64 now = g_get_monotonic_time ();
  queue = sorad_queue_new ();
  for (guint i = 0; i < 4; i++)
    add_job (1, now);
  SoradJob *mine = NULL;
  for (guint i = 0; i < 3; i++)
    mine = add_job (2, now);
  ck_assert_uint_eq (sorad_queue_position (queue, mine, now), 6);
  ck_assert_uint_eq (serve (now, 20), 1); /* four slices */
  ck_assert_uint_eq (sorad_queue_position (queue, mine, now), 3);
  for (guint i = 0; i < 3; i++)
    ck_assert_uint_eq (serve (now, 5), 2);
  ck_assert_uint_eq (serve (now, 5), 1);
  sorad_queue_free (queue);
}
END_TEST

/* A stream of short jobs cannot keep away who has used much. */
START_TEST (waiting_counts)
{
  gint64 now = g_get_monotonic_time ();
  queue = sorad_queue_new ();
  add_job (1, now);
  ck_assert_uint_eq (serve (now, 600), 1);
  add_job (1, now);
  guint served = 0;
  for (guint minute = 0; minute < 60; minute++)
    {
      add_job (2, now + MINUTES (minute));
      if (serve (now + MINUTES (minute), 30) == 1)
        break;
      served++;
    }
  ck_assert_uint_gt (served, 0);
  ck_assert_uint_lt (served, 15); /* 600 s in slices: used up by 10 minutes, less what 2 used */
  sorad_queue_free (queue);
}
END_TEST

START_TEST (what_was_used_is_forgotten_by_halves)
{
  gint64 now = g_get_monotonic_time ();
  queue = sorad_queue_new ();
  add_job (1, now);
  serve (now, 3600);
  add_job (2, now);
  serve (now + MINUTES (600), 10);
  add_job (1, now);
  add_job (2, now);
  ck_assert_uint_eq (serve (now + MINUTES (600), 5), 1);
  sorad_queue_free (queue);
}
END_TEST

static gboolean
first_goes_before (guint64 first, gint64 minutes, guint64 second)
{
  gint64 now = g_get_monotonic_time ();
  queue = sorad_queue_new ();
  const SoradShare shares[] = { { .uid = 2, .used = first, .halved = now - MINUTES (minutes),
                                  .stopped = now, .turn = 5 },
                                { .uid = 1, .used = second, .halved = now, .stopped = now,
                                  .turn = 4 } };
  for (gsize i = 0; i < G_N_ELEMENTS (shares); i++)
    {
      sorad_queue_set_share (queue, &shares[i]);
      add_job (shares[i].uid, now);
    }
  guint32 uid = serve (now, 1);
  sorad_queue_served (queue, 7, now);
  ck_assert_uint_eq (sorad_queue_get_share (queue, 7).turn, 7); /* after 5, and the one served */
  sorad_queue_free (queue);
  return uid == 2;
}

/* What a former daemon left of shares, also from before this machine was on. */
START_TEST (shares_are_taken_up_and_halved_since)
{
  ck_assert (first_goes_before (64, 119, 33));
  ck_assert (!first_goes_before (64, 119, 31));
  ck_assert (first_goes_before (64, 121, 17));
  ck_assert (!first_goes_before (64, 121, 15));
  ck_assert (!first_goes_before (64, 121, 16)); /* equals: who was served longest ago */
  ck_assert (first_goes_before (G_MAXINT32, 60 * 24 * 365, 1));
}
END_TEST

/* A job that a former daemon had has waited since it came, but not before its user was served. */
START_TEST (waiting_goes_on_from_before)
{
  gint64 now = g_get_monotonic_time ();
  for (gint64 ago = 0; ago <= 2; ago += 2)
    {
      queue = sorad_queue_new ();
      const SoradShare share
          = { .uid = 1, .used = 30, .halved = now, .stopped = now - MINUTES (ago), .turn = 1 };
      sorad_queue_set_share (queue, &share);
      add_job (1, now);
      add_job (1, now - MINUTES (600));
      sorad_queue_charge (queue, 2, 10 * SORAD_QUEUE_SLICE * G_USEC_PER_SEC, now);
      add_job (2, now);
      ck_assert_uint_eq (serve (now, 1), ago == 0 ? 2 : 1); /* two minutes are 24 slices */
      sorad_queue_free (queue);
    }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("store");
  TCase *database = tcase_create ("database");
  tcase_add_checked_fixture (database, setup, teardown);
  tcase_set_timeout (database, 60);
  tcase_add_test (database, one_write_that_fails_takes_no_other_with_it);
  tcase_add_test (database, lasting_write_is_tried_until_there_is_room);
  tcase_add_test (database, lasting_write_is_given_up_at_the_end);
  tcase_add_test (database, older_database_is_brought_up);
  tcase_add_test (database, database_without_shares_is_brought_up);
  tcase_add_test (database, newer_database_is_refused);
  tcase_add_test (database, damaged_database_is_refused);
  suite_add_tcase (suite, database);
  TCase *order = tcase_create ("order");
  tcase_add_test (order, who_used_less_goes_first);
  tcase_add_test (order, waiting_counts);
  tcase_add_test (order, what_was_used_is_forgotten_by_halves);
  tcase_add_test (order, shares_are_taken_up_and_halved_since);
  tcase_add_test (order, waiting_goes_on_from_before);
  suite_add_tcase (suite, order);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
