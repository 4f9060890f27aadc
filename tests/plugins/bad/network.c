/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reaches out.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  int fd = socket (AF_INET, SOCK_DGRAM, 0);
  return bad_tell (host, ctx, "there is no network", fd < 0);
}

BAD_PLUGIN ("network", bad_infer, run);
