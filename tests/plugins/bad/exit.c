/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Leaves.
 */
#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  _exit (3);
  return SORA_OK;
}

BAD_PLUGIN ("exit", bad_infer, run);
