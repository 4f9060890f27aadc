/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * sora-worker in the control group SORA_TEST_MEMORY_GROUP, of which sorad knows nothing: as a
 * container bounds memory, or a machine of little of it.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int
main (int argc, char **argv)
{
  const char *group = getenv ("SORA_TEST_MEMORY_GROUP");
  char path[PATH_MAX];
  if (group == NULL || snprintf (path, sizeof path, "%s/cgroup.procs", group) >= (int)sizeof path)
    return EXIT_FAILURE;
  int fd = open (path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write (fd, "0", 1) != 1)
    {
      perror (path);
      return EXIT_FAILURE;
    }
  close (fd);
  execv (ABS_BUILDDIR "/dbus/sora-worker", argv);
  perror ("memory-worker: " ABS_BUILDDIR "/dbus/sora-worker");
  return EXIT_FAILURE;
}
