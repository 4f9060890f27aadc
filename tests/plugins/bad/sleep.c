/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Sleeps for ever.
 */
#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  for (;;)
    pause ();
  return SORA_OK;
}

BAD_PLUGIN ("sleep", bad_infer, run);
