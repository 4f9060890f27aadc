/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Finds in /proc what a fixture's daemons have started: by the environment that a process was
 * started with, which neither a new session nor a new parent changes.
 */
#include "config.h"
#include "fault-processes.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* A mark that ends in a number is that whole; one that ends in a slash is all that begin so. */
static gboolean
has_mark (int pid, const char *mark)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/environ", pid), *text = NULL;
  const gsize length = strlen (mark);
  const gboolean whole = !g_str_has_suffix (mark, "/");
  gsize size = 0;
  if (!g_file_get_contents (path, &text, &size, NULL))
    return FALSE;
  for (const char *word = text; word < text + size; word += strlen (word) + 1)
    if (strncmp (word, mark, length) == 0 && (!whole || word[length] == '\0'))
      return TRUE;
  return FALSE;
}

GArray *
fault_find_processes (const BusFixture *fixture, const char *mark)
{
  const char *identifier = fixture->sorad ? g_subprocess_get_identifier (fixture->sorad) : NULL;
  const int sorad = identifier ? atoi (identifier) : 0;
  GArray *found = g_array_new (FALSE, FALSE, sizeof (int));
  g_autoptr (GDir) proc = g_dir_open ("/proc", 0, NULL);
  const char *name;
  ck_assert_ptr_nonnull (proc);
  while ((name = g_dir_read_name (proc)))
    {
      const int pid = atoi (name);
      if (pid > 1 && pid != sorad && has_mark (pid, mark) && parent_of (pid) > 0)
        g_array_append_val (found, pid);
    }
  return found;
}

typedef struct
{
  BusFixture *fixture;
  const char *mark;
  GRand *random;
} Look;

static gboolean
kill_one (gpointer data)
{
  Look *look = data;
  g_autoptr (GArray) found = fault_find_processes (look->fixture, look->mark);
  if (found->len == 0)
    return FALSE;
  const int which = g_rand_int_range (look->random, 0, (gint32)found->len);
  return kill (g_array_index (found, int, which), SIGKILL) == 0;
}

void
fault_kill_worker (BusFixture *fixture, GRand *random)
{
  Look look = { .fixture = fixture, .mark = fixture->mark, .random = random };
  bus_look_until (fixture, kill_one, &look, "a process that the daemon has started");
}

static gboolean
is_gone (gpointer data)
{
  Look *look = data;
  g_autoptr (GArray) found = fault_find_processes (look->fixture, look->mark);
  return found->len == 0;
}

void
fault_assert_ended (BusFixture *fixture, const char *mark)
{
  Look look = { .fixture = fixture, .mark = mark };
  bus_look_until (fixture, is_gone, &look, "the end of a killed daemon's processes");
}

/* Neither the daemon nor below it. */
static gboolean
has_no_orphan (gpointer data)
{
  BusFixture *fixture = data;
  const int sorad = atoi (g_subprocess_get_identifier (fixture->sorad));
  g_autofree char *any = g_strconcat (BUS_MARK, fixture->dir, "/", NULL);
  g_autoptr (GArray) found = fault_find_processes (fixture, any);
  for (guint i = 0; i < found->len; i++)
    {
      int above = g_array_index (found, int, i);
      while (above > 1 && above != sorad)
        above = parent_of (above);
      if (above == 1)
        return FALSE;
    }
  return TRUE;
}

void
fault_assert_no_orphans (BusFixture *fixture)
{
  bus_look_until (fixture, has_no_orphan, fixture, "the end of processes that belong to no daemon");
}
