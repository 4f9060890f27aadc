/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Kills a process beside it: one that its test made for that.
 */
#include <signal.h>
#include <stdlib.h>

#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  /* Not -1: where nothing keeps it in, that is the whole machine. */
  const char *pid = getenv ("SORA_BAD_PID");
  int kept_in = kill (pid ? (pid_t)atoi (pid) : getppid (), SIGKILL) != 0;
  return bad_tell (host, ctx, "nobody can be killed", kept_in);
}

BAD_PLUGIN ("kill-siblings", bad_infer, run);
