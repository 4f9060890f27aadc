/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Takes all memory that there is.
 */
#include <stdlib.h>

#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  for (;;)
    {
      char *block = malloc (16 << 20);
      if (block == NULL)
        return host->fail (ctx, "there is no more memory");
      *block = 1;
    }
}

BAD_PLUGIN ("leak", bad_infer, run);
