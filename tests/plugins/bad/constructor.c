/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Does not return from its loading.
 */
#include "bad.h"

__attribute__ ((constructor)) static void
start (void)
{
  for (;;)
    pause ();
}

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  return bad_pass (host, ctx);
}

BAD_PLUGIN ("constructor", bad_infer, run);
