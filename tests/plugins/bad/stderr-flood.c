/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Prints for ever.
 */
#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  char words[4096];
  memset (words, '!', sizeof words);
  words[sizeof words - 1] = '\n';
  for (;;)
    (void)!write (STDERR_FILENO, words, sizeof words);
  return SORA_OK;
}

BAD_PLUGIN ("stderr-flood", bad_infer, run);
