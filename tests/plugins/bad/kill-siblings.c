/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Kills the process beside it.
 */
#include <signal.h>

#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  /* Not -1: where nothing keeps it in, that is the whole machine. */
  int kept_in = kill (getppid (), SIGKILL) != 0;
  return bad_tell (host, ctx, "nobody can be killed", kept_in);
}

BAD_PLUGIN ("kill-siblings", bad_infer, run);
