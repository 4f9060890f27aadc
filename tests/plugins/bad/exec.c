/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Runs a program.
 */
#include <spawn.h>

#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  char *argv[] = { (char *)"true", NULL };
  pid_t pid;
  errno = posix_spawn (&pid, "/bin/true", NULL, NULL, argv, NULL);
  return bad_tell (host, ctx, "no program can be run", errno != 0);
}

BAD_PLUGIN ("exec", bad_infer, run);
