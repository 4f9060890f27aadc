/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Preloaded into sorad: counts the calls by which it changes files of its state folder or makes
 * them durable, and at the chosen one ends the process by SIGKILL, lets that one call fail, or cuts
 * the power: what was not durable is gone, and so is the process.
 *
 *   SORA_FAULT_DIR    the folder; calls on other files are not counted
 *   SORA_FAULT_TALLY  a file of a FaultTally, which outlives the process
 *   SORA_FAULT_AT     which call, from 1 on; 0: none
 *   SORA_FAULT_HOW    kill, power, ENOSPC, EDQUOT or EIO, of which the latter three may end in
 *                     "-lasting": all later calls fail as well, until the tally says that it is
 *                     lifted.  What a full disk or quota still lets through is removal
 *   SORA_FAULT_KEEP   of power: an empty folder outside SORA_FAULT_DIR, on the same file system
 *
 * A call counts before it is made: to be killed at the next one is to be killed after this one.
 */
#define _GNU_SOURCE
#include "fault-power.h"
#include "fault-shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *folder;
static size_t folder_length;
static FaultTally *tally;
static uint64_t at;
static int failure; /* 0: kill */
static int lasting;
static pthread_mutex_t lock
    = PTHREAD_MUTEX_INITIALIZER; /* files do not change between thought and deed */

__attribute__ ((constructor)) static void
set_up (void)
{
  const char *dir = getenv ("SORA_FAULT_DIR"), *file = getenv ("SORA_FAULT_TALLY");
  const char *number = getenv ("SORA_FAULT_AT"), *how = getenv ("SORA_FAULT_HOW");
  /* The shell script that libtool puts before an uninstalled program is not meant. */
  if (!dir || !file || !number || !how || strcmp (program_invocation_short_name, "sorad") != 0)
    return;
  int fd = open (file, O_RDWR | O_CLOEXEC);
  void *map = fd >= 0 ? mmap (NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                      : MAP_FAILED;
  if (map == MAP_FAILED)
    {
      perror (file);
      _exit (99);
    }
  close (fd);
  tally = map;
  at = strtoull (number, NULL, 10);
  failure = strncmp (how, "ENOSPC", 6) == 0   ? ENOSPC
            : strncmp (how, "EDQUOT", 6) == 0 ? EDQUOT
            : strncmp (how, "EIO", 3) == 0    ? EIO
                                              : 0;
  lasting = strstr (how, "-lasting") != NULL;
  const char *keep = getenv ("SORA_FAULT_KEEP");
  if (strcmp (how, "power") == 0 && !keep)
    _exit (99);
  if (strcmp (how, "power") == 0)
    power_set_up (keep);
  folder = dir;
  folder_length = strlen (dir);
}

static int
is_inside (const char *path)
{
  return strncmp (path, folder, folder_length) == 0
         && (path[folder_length] == '/' || path[folder_length] == '\0');
}

/* Of an open file, also one that has no name (yet). */
static int
is_ours (int fd)
{
  char link[64], path[PATH_MAX];
  const int error = errno;
  (void)snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = folder ? readlink (link, path, sizeof path - 1) : -1;
  errno = error;
  if (n < 0)
    return 0;
  path[n] = '\0';
  return is_inside (path);
}

static int
is_ours_at (int dir, const char *path)
{
  return folder && (path[0] == '/' ? is_inside (path) : dir != AT_FDCWD && is_ours (dir));
}

/* TRUE: the call is to fail. */
static int
is_the_one (int removal)
{
  const uint64_t call = atomic_fetch_add (&tally->calls, 1) + 1;
  if (lasting ? at == 0 || call < at || atomic_load (&tally->lifted) : call != at)
    return 0;
  if (removal && lasting && failure != EIO)
    return 0;
  if (failure == 0)
    {
      power_cut ();
      (void)kill (getpid (), SIGKILL);
      for (;;)
        (void)pause ();
    }
  errno = failure;
  return 1;
}

#define NEXT(name) ((__typeof__ (&(name)))dlsym (RTLD_NEXT, #name))
/* @removal: of a name; @before: done ahead of the call, and may declare what @after uses; @after:
 * if it succeeded */
#define WRAP(result, name, parameters, arguments, ours, removal, before, after)                    \
  __attribute__ ((visibility ("default"))) result name parameters                                  \
  {                                                                                                \
    static __typeof__ (&name) next;                                                                \
    if (!next)                                                                                     \
      next = NEXT (name);                                                                          \
    if (!(ours))                                                                                   \
      return next arguments;                                                                       \
    (void)pthread_mutex_lock (&lock);                                                              \
    result done = -1;                                                                              \
    if (!is_the_one (removal))                                                                     \
      {                                                                                            \
        before;                                                                                    \
        done = next arguments;                                                                     \
        const int error = errno;                                                                   \
        if (done >= 0)                                                                             \
          after;                                                                                   \
        errno = error;                                                                             \
      }                                                                                            \
    (void)pthread_mutex_unlock (&lock);                                                            \
    return done;                                                                                   \
  }
#define WRAP_WRITE(result, name, parameters, arguments)                                            \
  WRAP (result, name, parameters, arguments, is_ours (fd), 0, power_will_write (fd), (void)0)
#define WRAP_SYNC(name)                                                                            \
  WRAP (int, name, (int fd), (fd), is_ours (fd), 0, (void)0, power_synced (fd))
#define WRAP_RENAME(name, parameters, arguments)                                                   \
  WRAP (int, name, parameters, arguments, is_ours_at (dir, path), 0,                               \
        const unsigned kept = power_keep (dir, path), power_moved (from, old, dir, path, kept))

WRAP_WRITE (ssize_t, write, (int fd, const void *data, size_t n), (fd, data, n))
WRAP_WRITE (ssize_t, writev, (int fd, const struct iovec *parts, int n), (fd, parts, n))
WRAP_WRITE (ssize_t, pwrite, (int fd, const void *data, size_t n, off_t o), (fd, data, n, o))
WRAP_WRITE (ssize_t, pwrite64, (int fd, const void *data, size_t n, off64_t o), (fd, data, n, o))
WRAP_WRITE (ssize_t, copy_file_range,
            (int from, off64_t *begin, int fd, off64_t *o, size_t n, unsigned flags),
            (from, begin, fd, o, n, flags))
WRAP_WRITE (int, ftruncate, (int fd, off_t size), (fd, size))
WRAP_WRITE (int, ftruncate64, (int fd, off64_t size), (fd, size))
WRAP_SYNC (fsync)
WRAP_SYNC (fdatasync)
WRAP (int, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode),
      is_ours_at (dir, path), 0, (void)0, power_named (dir, path))
WRAP (int, linkat, (int from, const char *old, int dir, const char *path, int flags),
      (from, old, dir, path, flags), is_ours_at (dir, path), 0, (void)0, power_named (dir, path))
WRAP (int, unlink, (const char *path), (path), is_ours_at (AT_FDCWD, path), 1,
      const unsigned kept = power_keep (AT_FDCWD, path),
      power_removed (AT_FDCWD, path, false, kept))
WRAP (int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags),
      is_ours_at (dir, path), 1, const unsigned kept = power_keep (dir, path),
      power_removed (dir, path, (flags & AT_REMOVEDIR) != 0, kept))
WRAP (int, rename, (const char *old, const char *path), (old, path), is_ours_at (AT_FDCWD, path), 0,
      const unsigned kept = power_keep (AT_FDCWD, path),
      power_moved (AT_FDCWD, old, AT_FDCWD, path, kept))
WRAP_RENAME (renameat, (int from, const char *old, int dir, const char *path),
             (from, old, dir, path))
WRAP_RENAME (renameat2, (int from, const char *old, int dir, const char *path, unsigned flags),
             (from, old, dir, path, flags))
