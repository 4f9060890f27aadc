/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Opens as many descriptors as it can.
 */
#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  for (int i = 0; i < 1000; i++)
    if (dup (STDERR_FILENO) < 0)
      return bad_tell (host, ctx, "no descriptor is left", 1);
  return bad_pass (host, ctx);
}

BAD_PLUGIN ("fd-bomb", bad_infer, run);
