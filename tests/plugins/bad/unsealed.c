/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Sends a tensor that it could change, or cut, under its reader.
 */
#include "bad-raw.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  raw_push (SORA_F32, 2, 4, 2 * 4 * 4, 0);
  return bad_pass (host, ctx);
}

BAD_PLUGIN ("unsealed", bad_infer, run);
