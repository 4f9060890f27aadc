/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Sends a tensor whose size wraps.
 */
#include "bad-raw.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  raw_push (SORA_F32, INT64_MAX / 2, 16, 8, RAW_ALL_SEALS);
  return bad_pass (host, ctx);
}

BAD_PLUGIN ("huge-shape", bad_infer, run);
