/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Makes as many processes as it can.
 */
#include <signal.h>

#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  for (int i = 0; i < 64; i++)
    {
      pid_t pid = fork ();
      if (pid == 0)
        {
          alarm (20);
          for (;;)
            pause ();
        }
      if (pid < 0)
        return bad_tell (host, ctx, "no process can be made", 1);
    }
  return bad_pass (host, ctx);
}

BAD_PLUGIN ("fork-bomb", bad_infer, run);
