/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the worker does to itself first of all: the sandbox level "basic".  The harder levels
 * (sora-sandbox.c) come on top of it.
 */
#include "config.h"
#include "sora-worker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static gboolean
fail (const char *what, GError **error)
{
  g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "the process cannot be confined: %s: %s", what,
               g_strerror (errno));
  return FALSE;
}

static gboolean
limit (int resource, guint64 value)
{
  struct rlimit now;
  if (getrlimit (resource, &now) != 0)
    return FALSE;
  if (now.rlim_max != RLIM_INFINITY && value > now.rlim_max)
    value = now.rlim_max;
  now.rlim_cur = now.rlim_max = value;
  return setrlimit (resource, &now) == 0;
}

/* When memory runs out, the worker goes before anything else of the user's. */
static void
volunteer_for_oom (void)
{
  int fd = open ("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return;
  if (write (fd, "500", 3) != 3)
    g_debug ("oom_score_adj is not writable");
  close (fd);
}

gboolean
sora_worker_confine (gboolean over_stdio, int first_spare, guint64 memory_max, GError **error)
{
  umask (077);
  signal (SIGPIPE, SIG_IGN);
  /* A Ctrl-C is for whoever started us; the end of the stream is for us. */
  if (setsid () >= 0)
    sora_worker_tell_autogroup (); /* ours; else it would be theirs */
  if (!over_stdio)
    {
      if (prctl (PR_SET_PDEATHSIG, SIGKILL) != 0)
        return fail ("its end with the parent", error);
      if (close_range ((guint)first_spare, ~0u, 0) != 0)
        return fail ("closing what was inherited", error);
    }
  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return fail ("no new privileges", error);
  if (!limit (RLIMIT_CORE, 0)) /* a core holds prompts and frames */
    return fail ("no core dumps", error);
#ifndef SORA_SANITIZERS /* their shadow memory counts */
  if (memory_max > 0 && !limit (RLIMIT_DATA, memory_max))
    return fail ("the limit of memory", error);
#endif
  volunteer_for_oom ();

  /* What plugins print must not get into the protocol. */
  int null = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null >= 0)
    {
      dup2 (null, STDIN_FILENO);
      close (null);
    }
  dup2 (STDERR_FILENO, STDOUT_FILENO);
  return TRUE;
}
