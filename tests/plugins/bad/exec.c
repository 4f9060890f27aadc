/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Runs a program, which leaves a file in a folder of its test.
 */
#include <spawn.h>
#include <sys/wait.h>

#include "bad.h"

extern char **environ;

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  char *argv[] = { (char *)"sh", (char *)"-c", (char *)"echo ran >\"$SORA_BAD_FOLDER/ran\"", NULL };
  pid_t pid;
  errno = posix_spawn (&pid, "/bin/sh", NULL, NULL, argv, environ);
  if (errno == 0)
    waitpid (pid, NULL, 0);
  return bad_tell (host, ctx, "no program can be run", errno != 0);
}

BAD_PLUGIN ("exec", bad_infer, run);
