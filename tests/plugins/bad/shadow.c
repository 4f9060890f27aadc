/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reads the passwords of the machine.
 */
#include <fcntl.h>

#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  int fd = open ("/etc/shadow", O_RDONLY);
  return bad_tell (host, ctx, "/etc/shadow", fd < 0);
}

BAD_PLUGIN ("shadow", bad_infer, run);
