/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Keeps what is not durable yet, and puts it back. Runs inside of the wrapped calls, so it makes
 * its own by number, past the wrappers. Files stay open once they were written to: to close one
 * would drop SQLite's locks on it.
 */
#define _GNU_SOURCE
#include "fault-power.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct File
{
  struct File *next;
  dev_t device;
  ino_t inode;
  int fd;
  bool dirty;
  char *content; /* while it is dirty: at the last fsync */
  size_t size;
} File;

typedef enum
{
  NAMED,
  REMOVED,
  MOVED
} Kind;

/* A name that changed, in a folder that was not synced since. */
typedef struct Change
{
  struct Change *before;
  Kind kind;
  bool folder;   /* that was removed */
  int dir, from; /* O_PATH */
  char *name, *old;
  unsigned kept;
} Change;

static const char *keep_folder;
static unsigned n_kept;
static File *files;
static Change *changes; /* the last one first */

static void
must (bool good, const char *what)
{
  if (!good)
    {
      perror (what);
      _exit (99);
    }
}

void
power_set_up (const char *keep)
{
  keep_folder = keep;
}

static File *
file_of (int fd)
{
  struct stat st;
  must (fstat (fd, &st) == 0, "fault-power: fstat");
  if (!S_ISREG (st.st_mode))
    return NULL;
  for (File *file = files; file; file = file->next)
    if (file->inode == st.st_ino && file->device == st.st_dev)
      return file;
  File *file = calloc (1, sizeof *file);
  must (file != NULL, "fault-power");
  *file = (File){ .next = files, .device = st.st_dev, .inode = st.st_ino };
  /* With rights to read and to write, whatever those of @fd are. */
  char link[64];
  (void)snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
  file->fd = open (link, O_RDWR | O_CLOEXEC);
  must (file->fd >= 0, "fault-power: open");
  files = file;
  return file;
}

void
power_will_write (int fd)
{
  struct stat st;
  File *file = keep_folder ? file_of (fd) : NULL;
  if (!file || file->dirty)
    return;
  must (fstat (file->fd, &st) == 0, "fault-power: fstat");
  file->size = (size_t)st.st_size;
  file->content = malloc (file->size + 1);
  must (file->content != NULL, "fault-power");
  must (pread (file->fd, file->content, file->size, 0) == st.st_size, "fault-power: pread");
  file->dirty = true;
}

static bool
is_same (int a, int b)
{
  struct stat x, y;
  return fstat (a, &x) == 0 && fstat (b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static void
forget (Change *change)
{
  close (change->dir);
  if (change->from >= 0)
    close (change->from);
  free (change->name);
  free (change->old);
  free (change);
}

void
power_synced (int fd)
{
  struct stat st;
  if (!keep_folder || fstat (fd, &st) != 0)
    return;
  if (S_ISDIR (st.st_mode))
    {
      for (Change **link = &changes; *link;)
        if (is_same ((*link)->dir, fd))
          {
            Change *change = *link;
            *link = change->before;
            forget (change);
          }
        else
          link = &(*link)->before;
      return;
    }
  File *file = file_of (fd);
  if (file && file->dirty)
    {
      free (file->content);
      file->content = NULL;
      file->dirty = false;
    }
}

static void
kept_path (unsigned kept, char path[PATH_MAX])
{
  (void)snprintf (path, PATH_MAX, "%s/%u", keep_folder, kept);
}

unsigned
power_keep (int dir, const char *path)
{
  char to[PATH_MAX];
  struct stat st;
  if (!keep_folder || fstatat (dir, path, &st, AT_SYMLINK_NOFOLLOW) != 0 || S_ISDIR (st.st_mode))
    return 0;
  kept_path (++n_kept, to);
  must (syscall (SYS_linkat, dir, path, AT_FDCWD, to, 0) == 0, "fault-power: linkat");
  return n_kept;
}

/* The folder of a path, opened; @name: (out): what it is called there. */
static int
open_parent (int dir, const char *path, char **name)
{
  char parent[PATH_MAX];
  const char *slash = strrchr (path, '/');
  (void)snprintf (parent, sizeof parent, "%.*s", slash ? (int)(slash - path) : 1,
                  slash ? path : ".");
  int fd = openat (dir, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
  must (fd >= 0, "fault-power: openat");
  *name = strdup (slash ? slash + 1 : path);
  must (*name != NULL, "fault-power");
  return fd;
}

static Change *
remember (Kind kind, int dir, const char *path, bool folder, unsigned kept)
{
  Change *change = calloc (1, sizeof *change);
  must (change != NULL, "fault-power");
  *change = (Change){ .before = changes, .kind = kind, .folder = folder, .from = -1, .kept = kept };
  change->dir = open_parent (dir, path, &change->name);
  changes = change;
  return change;
}

void
power_named (int dir, const char *path)
{
  if (keep_folder)
    (void)remember (NAMED, dir, path, false, 0);
}

void
power_removed (int dir, const char *path, bool folder, unsigned kept)
{
  if (keep_folder)
    (void)remember (REMOVED, dir, path, folder, kept);
}

void
power_moved (int from, const char *old, int dir, const char *path, unsigned kept)
{
  if (!keep_folder)
    return;
  Change *change = remember (MOVED, dir, path, false, kept);
  change->from = open_parent (from, old, &change->old);
}

/* A folder whose name was not synced goes with all that was synced in it: out of the way. */
static long
take_away (const Change *change)
{
  char to[PATH_MAX];
  kept_path (++n_kept, to);
  return syscall (SYS_renameat2, change->dir, change->name, AT_FDCWD, to, 0);
}

static void
undo (const Change *change)
{
  char kept[PATH_MAX];
  long failed = 0;
  kept_path (change->kept, kept);
  if (change->kind == NAMED)
    failed = take_away (change);
  else if (change->kind == MOVED)
    failed = syscall (SYS_renameat2, change->dir, change->name, change->from, change->old, 0);
  else if (change->folder)
    failed = syscall (SYS_mkdirat, change->dir, change->name, 0700);
  if (change->kept > 0 && failed == 0)
    failed = syscall (SYS_renameat2, AT_FDCWD, kept, change->dir, change->name, 0);
  /* A name that went on to a folder that was synced is no change any more. */
  must (failed == 0 || errno == ENOENT, change->name);
}

void
power_cut (void)
{
  for (Change *change = changes; change; change = change->before)
    undo (change);
  for (File *file = files; file; file = file->next)
    if (file->dirty)
      {
        must (syscall (SYS_ftruncate, file->fd, (off_t)0) == 0, "fault-power: ftruncate");
        must (syscall (SYS_pwrite64, file->fd, file->content, file->size, (off_t)0)
                  == (long)file->size,
              "fault-power: pwrite");
      }
}
