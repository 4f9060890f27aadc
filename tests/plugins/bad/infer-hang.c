/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Does not return from infer.
 */
#include "bad.h"

static int
hang (const SoraHost *host, SoraContext *ctx)
{
  for (;;)
    pause ();
  return SORA_OK;
}

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  return bad_pass (host, ctx);
}

BAD_PLUGIN ("infer-hang", hang, run);
