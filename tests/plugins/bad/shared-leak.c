/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Takes memory that no limit of a process counts: a file without a name.  Two gigabytes, no more.
 */
#include "config.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "bad.h"

#define BLOCK (16u << 20)

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  int fd = memfd_create ("leak", MFD_CLOEXEC);
  char *block = calloc (1, BLOCK);
  for (int i = 0; i < 128; i++)
    {
      host->progress (ctx, i / 128.0, 0, 0);
      if (block == NULL || write (fd, block, BLOCK) < 0)
        return bad_tell (host, ctx, "there is no more memory", 1);
    }
  return bad_pass (host, ctx);
}

BAD_PLUGIN ("shared-leak", bad_infer, run);
