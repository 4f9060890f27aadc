/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Sends a tensor with less memory than its shape has.
 */
#include "bad-raw.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  raw_push (SORA_F32, 2, 4, 8, RAW_ALL_SEALS);
  return bad_pass (host, ctx);
}

BAD_PLUGIN ("wrong-size", bad_infer, run);
