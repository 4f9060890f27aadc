/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reads where nothing is.
 */
#include <signal.h>
#include <stdint.h>

#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  signal (SIGSEGV, SIG_DFL);              /* a sanitizer's would tell more */
  static volatile uintptr_t nowhere = 16; /* a compiler that saw it would refuse */
  *(volatile int *)nowhere = 1;
  return bad_pass (host, ctx);
}

BAD_PLUGIN ("segfault", bad_infer, run);
