/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Works for ever, and never asks whether it may.
 */
#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  for (volatile unsigned long i = 0;; i++)
    ;
  return SORA_OK;
}

BAD_PLUGIN ("loop", bad_infer, run);
