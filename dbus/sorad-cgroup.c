/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Control groups of workers.  A group that has controllers for its children may have no process of
 * its own, so that the daemon moves into a child, too.  What is not there of controllers is not
 * used, and is told.
 */
#include "config.h"
#include "sorad-cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/sora-error.h"

#define REMOVE_MS 50
#define REMOVE_TRIES 100

struct SoradCgroups
{
  char *path;
  guint64 memory_max; /* 0: none */
  guint tasks_max;
  gboolean memory, pids; /* their controllers are there */
  guint last;
};

struct SoradCgroup
{
  char *path;
  int entry;
  guint tries;
};

static gboolean
write_text (const char *folder, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  int fd = open (path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return FALSE;
  gboolean ok = write (fd, text, strlen (text)) == (ssize_t)strlen (text);
  int error = errno;
  close (fd);
  errno = error;
  return ok;
}

static char *
read_text (const char *folder, const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  char *text;
  return g_file_get_contents (path, &text, NULL, NULL) ? text : NULL;
}

static gboolean
has_word (const char *folder, const char *name, const char *word)
{
  g_autofree char *text = read_text (folder, name);
  g_auto (GStrv) words = g_strsplit_set (text ? text : "", " \n", -1);
  return g_strv_contains ((const char *const *)words, word);
}

/* -- The part of the tree */

/* The line "0::/PATH" is that of version 2, whose root is one of two places. */
static char *
find_own (void)
{
  static const char *const roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
  g_autofree char *text = read_text ("/proc/self", "cgroup");
  g_auto (GStrv) lines = g_strsplit (text ? text : "", "\n", -1);
  struct statfs fs;
  for (char **line = lines; *line; line++)
    for (gsize i = 0; g_str_has_prefix (*line, "0::/") && i < G_N_ELEMENTS (roots); i++)
      if (statfs (roots[i], &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
        return g_build_filename (roots[i], *line + strlen ("0::/"), NULL);
  return NULL;
}

/* systemd's mark: what is below is not its own any more. */
static gboolean
is_delegated (const char *path)
{
  static const char *const names[] = { "user.delegate", "trusted.delegate" };
  char value[2];
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (getxattr (path, names[i], value, sizeof value) == 1 && value[0] == '1')
      return TRUE;
  return FALSE;
}

static gboolean
is_usable (const char *path, char **why)
{
  struct statfs fs;
  if (statfs (path, &fs) != 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
    *why = g_strdup_printf ("'%s' is no group of cgroup v2", path);
  else if (access (path, W_OK) != 0)
    *why = g_strdup_printf ("'%s' cannot be written to: %s", path, g_strerror (errno));
  else
    return TRUE;
  return FALSE;
}

/* Out of @path, which is to have groups of workers alone. */
static gboolean
move_daemon (const char *path, char **why)
{
  g_autofree char *own = g_build_filename (path, "daemon", NULL);
  if ((mkdir (own, 0755) == 0 || errno == EEXIST) && write_text (own, "cgroup.procs", "0"))
    return TRUE;
  *why = g_strdup_printf ("sorad cannot go into '%s': %s", own, g_strerror (errno));
  return FALSE;
}

static void
remove_left (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;
  while (dir && (name = g_dir_read_name (dir)))
    if (g_str_has_prefix (name, "worker-"))
      {
        g_autofree char *left = g_build_filename (path, name, NULL);
        write_text (left, "cgroup.kill", "1");
        rmdir (left);
      }
}

static SoradCgroups *
take_over (const SoradConfig *config, const char *path)
{
  SoradCgroups *cgroups = g_new0 (SoradCgroups, 1);
  cgroups->path = g_strdup (path);
  cgroups->memory_max = config->memory_max;
  cgroups->tasks_max = config->tasks_max;
  remove_left (path);
  write_text (path, "cgroup.subtree_control", "+memory");
  write_text (path, "cgroup.subtree_control", "+pids");
  cgroups->memory = has_word (path, "cgroup.subtree_control", "memory");
  cgroups->pids = has_word (path, "cgroup.subtree_control", "pids");
  return cgroups;
}

SoradCgroups *
sorad_cgroups_new (const SoradConfig *config, char **why, GError **error)
{
  const char *setting = config->cgroup;
  gboolean is_auto = g_str_equal (setting, "auto");
  *why = NULL;
  if (g_str_equal (setting, "none"))
    {
      *why = g_strdup ("ControlGroup=none");
      return NULL;
    }
  g_autofree char *path = is_auto ? find_own () : g_strdup (setting);
  if (!path)
    *why = g_strdup ("there is no cgroup v2");
  else if (is_auto && !is_delegated (path))
    *why = g_strdup ("sorad's group was not delegated to it");
  else if (is_usable (path, why) && (!is_auto || move_daemon (path, why)))
    return take_over (config, path);
  if (!is_auto)
    g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST, "[Worker] ControlGroup=%s: %s",
                 setting, *why);
  return NULL;
}

void
sorad_cgroups_free (SoradCgroups *cgroups)
{
  if (!cgroups)
    return;
  g_free (cgroups->path);
  g_free (cgroups);
}

/* -- Of a worker */

static gboolean
set_limits (const SoradCgroups *cgroups, const char *path)
{
  g_autofree char *memory = g_strdup_printf ("%" G_GUINT64_FORMAT, cgroups->memory_max);
  g_autofree char *tasks = g_strdup_printf ("%u", cgroups->tasks_max);
  return (!cgroups->memory || cgroups->memory_max == 0 || write_text (path, "memory.max", memory))
         && (!cgroups->pids || write_text (path, "pids.max", tasks));
}

SoradCgroup *
sorad_cgroup_new (SoradCgroups *cgroups, GError **error)
{
  g_autofree char *name = g_strdup_printf ("worker-%u", ++cgroups->last);
  g_autofree char *path = g_build_filename (cgroups->path, name, NULL);
  g_autofree char *entry = g_build_filename (path, "cgroup.procs", NULL);
  int fd = mkdir (path, 0755) == 0 && set_limits (cgroups, path)
               ? open (entry, O_WRONLY | O_CLOEXEC)
               : -1;
  if (fd < 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_BUSY, "the worker's control group '%s': %s", path,
                   g_strerror (errno));
      rmdir (path);
      return NULL;
    }
  SoradCgroup *cgroup = g_new0 (SoradCgroup, 1);
  cgroup->path = g_steal_pointer (&path);
  cgroup->entry = fd;
  return cgroup;
}

int
sorad_cgroup_entry (const SoradCgroup *cgroup)
{
  return cgroup->entry;
}

static guint64
count_kills (const char *folder, const char *name)
{
  g_autofree char *text = read_text (folder, name);
  const char *count = text ? strstr (text, "oom_kill ") : NULL;
  return count ? g_ascii_strtoull (count + strlen ("oom_kill "), NULL, 10) : 0;
}

gboolean
sorad_cgroup_ran_out (const SoradCgroup *cgroup)
{
  return count_kills (cgroup->path, "memory.events") > 0;
}

guint64
sorad_cgroup_kills_anywhere (void)
{
  return count_kills ("/proc", "vmstat");
}

/* It has processes until the last one is reaped, by whoever is its parent. */
static gboolean
on_remove (gpointer data)
{
  SoradCgroup *cgroup = data;
  if (rmdir (cgroup->path) != 0 && errno == EBUSY && ++cgroup->tries < REMOVE_TRIES)
    return G_SOURCE_CONTINUE;
  g_free (cgroup->path);
  g_free (cgroup);
  return G_SOURCE_REMOVE;
}

void
sorad_cgroup_end (SoradCgroup *cgroup)
{
  if (!cgroup)
    return;
  write_text (cgroup->path, "cgroup.kill", "1");
  close (cgroup->entry);
  if (on_remove (cgroup) == G_SOURCE_CONTINUE)
    g_timeout_add (REMOVE_MS, on_remove, cgroup);
}

/* -- For people */

char *
sorad_cgroups_describe (const SoradCgroups *cgroups, const SoradConfig *config, const char *why)
{
  g_autofree char *memory
      = g_strdup_printf ("%.0f MiB", (double)config->memory_max / (1024.0 * 1024.0));
  GString *text = g_string_new ("the worker and all that it starts: ");
  if (cgroups && cgroups->memory && config->memory_max > 0)
    g_string_append_printf (text, "at most %s of memory", memory);
  else if (config->memory_max > 0)
    g_string_append_printf (text, "at most %s of private memory for each process", memory);
  if (cgroups && cgroups->pids)
    g_string_append_printf (text, "%sat most %u processes and threads",
                            config->memory_max > 0 ? ", " : "", cgroups->tasks_max);
  else if (config->memory_max == 0)
    {
      g_string_free (text, TRUE);
      return NULL;
    }
  if (!cgroups)
    g_string_append_printf (text, " (no control group: %s)", why);
  else if (!cgroups->memory || !cgroups->pids)
    g_string_append_printf (text, " (the control group has no controller for %s)",
                            cgroups->memory ? "processes"
                            : cgroups->pids ? "memory"
                                            : "memory and processes");
  return g_string_free (text, FALSE);
}
