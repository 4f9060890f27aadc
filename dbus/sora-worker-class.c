/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * How the worker stands against the other processes of the machine: niceness, or the classes "idle"
 * of processor and disk.  Threads and the processes of third-party stages inherit it.
 */
#include "config.h"
#include "sora-worker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_NICE 19
#define AUTOGROUP_TRIES 50 /* 10 ms apart; the kernel lets one process in a tenth of a second */

static gboolean
fail (const char *what, GError **error)
{
  g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "%s: %s", what, g_strerror (errno));
  return FALSE;
}

/* Whoever started us may be nicer already: nobody goes back without a privilege. */
static gboolean
be_nice (int niceness, GError **error)
{
  int now = getpriority (PRIO_PROCESS, 0);
  if (niceness <= now || setpriority (PRIO_PROCESS, 0, niceness) == 0)
    return TRUE;
  return fail ("the niceness cannot be set (Nice of sorad.conf)", error);
}

static gboolean
be_idle (GError **error)
{
  const struct sched_param none = { 0 };
  if (sched_setscheduler (0, SCHED_IDLE, &none) != 0)
    return fail ("the class 'idle' of the processor cannot be had (Idle of sorad.conf)", error);
  if (syscall (SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE (IOPRIO_CLASS_IDLE, 0)) == 0)
    return TRUE;
  if (errno != ENOSYS)
    return fail ("the class 'idle' of the disk cannot be had (Idle of sorad.conf)", error);
  g_message ("this kernel has no classes of disk access: Idle holds for the processor alone");
  return TRUE;
}

gboolean
sora_worker_take_class (int niceness, gboolean idle, GError **error)
{
  if (niceness < 0 || niceness > MAX_NICE)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "--nice=%d: expected a whole number from 0 to %d", niceness, MAX_NICE);
      return FALSE;
    }
  return be_nice (niceness, error) && (!idle || be_idle (error));
}

/* Within such a group alone do niceness and class count, see sched(7), "The autogroup feature"; where
 * there is none the file is not there, or written to no end. */
void
sora_worker_tell_autogroup (void)
{
  char text[8];
  int niceness = sched_getscheduler (0) == SCHED_IDLE ? MAX_NICE : getpriority (PRIO_PROCESS, 0);
  int fd = niceness > 0 ? open ("/proc/self/autogroup", O_WRONLY | O_CLOEXEC) : -1;
  if (fd < 0)
    return;
  int length = snprintf (text, sizeof text, "%d", niceness);
  gboolean told = FALSE;
  for (guint i = 0; !told && i < AUTOGROUP_TRIES; i++)
    {
      told = write (fd, text, (size_t)length) == length;
      if (!told && errno != EAGAIN)
        break;
      if (!told)
        g_usleep (10000);
    }
  if (!told)
    g_message ("the niceness of the session's autogroup cannot be set: %s", g_strerror (errno));
  close (fd);
}
