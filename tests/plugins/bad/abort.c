/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Gives up.
 */
#include <stdlib.h>

#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  abort ();
  return SORA_OK;
}

BAD_PLUGIN ("abort", bad_infer, run);
