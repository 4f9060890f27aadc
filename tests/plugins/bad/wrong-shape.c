/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Sends a tensor of another shape than it promised, past its own host.
 */
#include "bad-raw.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  raw_push (SORA_F32, 2, 7, 2 * 7 * 4, RAW_ALL_SEALS);
  return bad_pass (host, ctx);
}

BAD_PLUGIN ("wrong-shape", bad_infer, run);
