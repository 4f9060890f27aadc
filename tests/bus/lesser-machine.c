/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * sora-worker on a machine that can do less: what SORA_TEST_LACKS lists (namespaces, landlock,
 * seccomp, landlock-rules) the kernel does not give to it, nor to whatever it starts, by a filter of system calls as
 * that of a container.  `landlock-rules` says that there is Landlock, and then takes no rule.
 */
#include "config.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int namespaces[] = { CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,
                                  CLONE_NEWNET,  CLONE_NEWIPC, CLONE_NEWUTS };
static int failed;

static void
deny (scmp_filter_ctx filter, int code, int number, unsigned count, struct scmp_arg_cmp compare)
{
  failed |= seccomp_rule_add_array (filter, SCMP_ACT_ERRNO (code), number, count,
                                    count > 0 ? &compare : NULL);
}

static void
deny_namespaces (scmp_filter_ctx filter)
{
  const struct scmp_arg_cmp none = { 0 };
  for (size_t i = 0; i < sizeof namespaces / sizeof namespaces[0]; i++)
    deny (filter, EPERM, SYS_clone, 1,
          SCMP_A0 (SCMP_CMP_MASKED_EQ, (scmp_datum_t)namespaces[i], (scmp_datum_t)namespaces[i]));
  deny (filter, ENOSYS, SYS_clone3, 0, none); /* its flags are in memory: the C library takes clone */
  deny (filter, EPERM, SYS_unshare, 0, none);
}

static void
deny_landlock (scmp_filter_ctx filter)
{
  const struct scmp_arg_cmp none = { 0 };
  deny (filter, ENOSYS, SYS_landlock_create_ruleset, 0, none);
  deny (filter, ENOSYS, SYS_landlock_add_rule, 0, none);
  deny (filter, ENOSYS, SYS_landlock_restrict_self, 0, none);
}

static void
deny_seccomp (scmp_filter_ctx filter)
{
  const struct scmp_arg_cmp none = { 0 };
  deny (filter, EINVAL, SYS_prctl, 1, SCMP_A0 (SCMP_CMP_EQ, PR_GET_SECCOMP));
  deny (filter, EINVAL, SYS_prctl, 1, SCMP_A0 (SCMP_CMP_EQ, PR_SET_SECCOMP));
  deny (filter, ENOSYS, SYS_seccomp, 0, none);
}

int
main (int argc, char **argv)
{
  const struct scmp_arg_cmp none = { 0 };
  const char *lacks = getenv ("SORA_TEST_LACKS");
  scmp_filter_ctx filter = seccomp_init (SCMP_ACT_ALLOW);
  if (lacks == NULL || filter == NULL)
    return EXIT_FAILURE;
  if (strstr (lacks, "namespaces") != NULL)
    deny_namespaces (filter);
  if (strstr (lacks, "landlock-rules") != NULL)
    deny (filter, EINVAL, SYS_landlock_restrict_self, 0, none);
  else if (strstr (lacks, "landlock") != NULL)
    deny_landlock (filter);
  if (strstr (lacks, "seccomp") != NULL)
    deny_seccomp (filter);
  if (failed != 0 || seccomp_load (filter) != 0)
    {
      fprintf (stderr, "lesser-machine: no filter of system calls can be made\n");
      return EXIT_FAILURE;
    }
  seccomp_release (filter);
  execv (ABS_BUILDDIR "/dbus/sora-worker", argv);
  perror ("lesser-machine: " ABS_BUILDDIR "/dbus/sora-worker");
  return EXIT_FAILURE;
}
