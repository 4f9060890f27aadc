/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Was built for another ABI.
 */
#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  return bad_pass (host, ctx);
}

BAD_PLUGIN_ABI ("other-abi", 9, bad_infer, run);
