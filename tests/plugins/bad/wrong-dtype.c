/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Sends a tensor of another dtype than it promised, past its own host.
 */
#include "bad-raw.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  raw_push (SORA_U8, 2, 4, 2 * 4, RAW_ALL_SEALS);
  return bad_pass (host, ctx);
}

BAD_PLUGIN ("wrong-dtype", bad_infer, run);
