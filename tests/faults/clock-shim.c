/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Preloaded into sorad: a wall clock that is wrong by as many seconds as the file SORA_CLOCK_FILE
 * says, an int64_t that a test maps and changes while the daemon runs. Monotonic clocks are right.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const _Atomic int64_t *offset;

__attribute__ ((constructor)) static void
set_up (void)
{
  const char *path = getenv ("SORA_CLOCK_FILE");
  if (!path || strcmp (program_invocation_short_name, "sorad") != 0)
    return;
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  void *map = fd >= 0 ? mmap (NULL, sizeof *offset, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
  if (map == MAP_FAILED)
    {
      perror (path);
      _exit (99);
    }
  close (fd);
  offset = map;
}

static int64_t
wrong_by (void)
{
  return offset ? atomic_load (offset) : 0;
}

__attribute__ ((visibility ("default"))) int
clock_gettime (clockid_t clock, struct timespec *now)
{
  static __typeof__ (&clock_gettime) next;
  if (!next)
    next = (__typeof__ (next))dlsym (RTLD_NEXT, "clock_gettime");
  int result = next (clock, now);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    now->tv_sec += wrong_by ();
  return result;
}

__attribute__ ((visibility ("default"))) int
gettimeofday (struct timeval *restrict now, void *restrict zone)
{
  struct timespec exact;
  (void)zone;
  int result = clock_gettime (CLOCK_REALTIME, &exact);
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return result;
}

__attribute__ ((visibility ("default"))) time_t
time (time_t *out)
{
  struct timespec exact;
  (void)clock_gettime (CLOCK_REALTIME, &exact);
  if (out)
    *out = exact.tv_sec;
  return exact.tv_sec;
}
