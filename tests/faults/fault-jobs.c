/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Submissions that may be made again, and what must be true of jobs, files and processes when all
 * is over.
 */
#include "config.h"
#include "fault-jobs.h"

#include <check.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Its parent, or 0 where it is gone.  The name in /proc/PID/stat may hold anything. */
static int
parent_of (int pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", pid), *text = NULL;
  char state;
  int parent = 0;
  if (!g_file_get_contents (path, &text, NULL, NULL) || !strrchr (text, ')')
      || sscanf (strrchr (text, ')') + 1, " %c %d", &state, &parent) != 2)
    return 0;
  return state == 'Z' ? 0 : parent;
}

static gboolean
is_of (int pid, const char *dir)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/cmdline", pid), *text = NULL;
  gsize size = 0;
  if (!g_file_get_contents (path, &text, &size, NULL))
    return FALSE;
  for (gsize i = 0; i < size; i++)
    if (text[i] == '\0')
      text[i] = ' ';
  return strstr (text, dir) != NULL;
}

/* A process that is neither the daemon, nor the bus, nor below the daemon. */
static int
find_orphan (BusFixture *fixture)
{
  const int sorad = atoi (g_subprocess_get_identifier (fixture->sorad));
  const int bus = atoi (g_subprocess_get_identifier (fixture->bus));
  g_autoptr (GDir) proc = g_dir_open ("/proc", 0, NULL);
  const char *name;
  while ((name = g_dir_read_name (proc)))
    {
      const int pid = atoi (name);
      if (pid <= 1 || pid == bus || !is_of (pid, fixture->dir))
        continue;
      int above = pid;
      while (above > 1 && above != sorad)
        above = parent_of (above);
      if (above == 1)
        return pid;
    }
  return 0;
}

static gboolean
has_no_orphan (gpointer fixture)
{
  return find_orphan (fixture) == 0;
}

void
fault_assert_no_orphans (BusFixture *fixture)
{
  bus_look_until (fixture, has_no_orphan, fixture, "the end of a killed daemon's processes");
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
