/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Means no harm: that the way there and back is one.
 */
#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  return bad_pass (host, ctx);
}

BAD_PLUGIN ("pass", bad_infer, run);
