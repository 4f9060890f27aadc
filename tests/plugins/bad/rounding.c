/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Changes how the processor rounds.
 */
#include <fenv.h>

#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  fesetround (FE_UPWARD);
  return bad_pass (host, ctx);
}

BAD_PLUGIN ("rounding", bad_infer, run);
