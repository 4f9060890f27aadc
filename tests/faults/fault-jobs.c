/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Submissions that may be made again, and what must be true of jobs and files when all is over.
 */
#include "config.h"
#include "fault-jobs.h"

#include <check.h>
#include <sqlite3.h>
#include <stdlib.h>

guint
fault_number (const char *name, guint otherwise)
{
  const char *text = g_getenv (name);
  return text ? (guint)strtoul (text, NULL, 10) : otherwise;
}

GRand *
fault_random (void)
{
  const guint seed = fault_number ("SORA_FAULT_SEED", 6);
  g_print ("SORA_FAULT_SEED=%u\n", seed);
  return g_rand_new_with_seed (seed);
}

void
fault_add_victims (TCase *tcase, const TTest *test, const char *const *victims, int n)
{
  const char *only = g_getenv ("SORA_FAULT_VICTIM");
  for (int i = 0; i < n; i++)
    if (only == NULL || g_str_equal (only, victims[i]))
      tcase_add_loop_test (tcase, test, i, i + 1);
}

char *
fault_submit (BusFixture *fixture, const char *text, GError **error)
{
  char *path = NULL;
  g_autoptr (GVariant) reply
      = bus_call (fixture->connection, MANAGER_PATH, MANAGER, "Submit",
                  g_variant_new ("(s@a{sv}@a{sv})", "fake",
                                 g_variant_new_parsed ("{'mode': <'done'>, 'text': <%s>}", text),
                                 g_variant_new_parsed ("{'idempotency-key': <%s>}", text)),
                  error);
  if (reply)
    g_variant_get (reply, "(o)", &path);
  return path;
}

GVariant *
fault_list_jobs (BusFixture *fixture, const char *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = bus_call (fixture->connection, MANAGER_PATH, MANAGER, "ListJobs",
                  g_variant_new ("(@a{sv})", g_variant_new_parsed (options)), &error);
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  return g_variant_get_child_value (reply, 0);
}

gboolean
fault_all_over (gpointer fixture)
{
  g_autoptr (GVariant) jobs = fault_list_jobs (fixture, "{'states': <['queued', 'running']>}");
  return g_variant_n_children (jobs) == 0;
}

static gboolean
is_empty (gpointer path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  return g_dir_read_name (dir) == NULL;
}

void
fault_assert_nothing_left (BusFixture *fixture)
{
  static const char *const folders[] = { "staging", "inputs", "checkpoints", "trash" };
  for (gsize i = 0; i < G_N_ELEMENTS (folders); i++)
    {
      g_autofree char *path = g_build_filename (fixture->dir, "state", folders[i], NULL);
      bus_look_until (fixture, is_empty, path, folders[i]);
    }
}

void
fault_assert_table_whole (BusFixture *fixture)
{
  g_autofree char *path = g_build_filename (fixture->dir, "state", "sorad.db", NULL);
  sqlite3 *table = NULL;
  sqlite3_stmt *check = NULL;
  ck_assert_int_eq (sqlite3_open (path, &table), SQLITE_OK);
  ck_assert_int_eq (sqlite3_prepare_v2 (table, "PRAGMA integrity_check", -1, &check, NULL),
                    SQLITE_OK);
  ck_assert_int_eq (sqlite3_step (check), SQLITE_ROW);
  ck_assert_str_eq ((const char *)sqlite3_column_text (check, 0), "ok");
  sqlite3_finalize (check);
  sqlite3_close (table);
}
