/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Writes garbage to the stream of its process.
 */
#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  char garbage[64];
  memset (garbage, 0xa5, sizeof garbage);
  (void)!write (3, garbage, sizeof garbage);
  return bad_pass (host, ctx);
}

BAD_PLUGIN ("garbage", bad_infer, run);
