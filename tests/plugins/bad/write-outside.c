/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Writes where others read.
 */
#include <fcntl.h>

#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  int fd = open ("/var/tmp/sora-bad-was-here", O_WRONLY | O_CREAT, 0600);
  return bad_tell (host, ctx, "/var/tmp", fd < 0);
}

BAD_PLUGIN ("write-outside", bad_infer, run);
