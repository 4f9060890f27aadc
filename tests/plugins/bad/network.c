/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reaches out: to a port of this machine that its test listens on.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  const char *port = getenv ("SORA_BAD_PORT");
  struct sockaddr_in address = { .sin_family = AF_INET,
                                 .sin_port = htons ((uint16_t)atoi (port ? port : "9")),
                                 .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  int fd = socket (AF_INET, SOCK_STREAM, 0);
  int kept_in = fd < 0 || connect (fd, (struct sockaddr *)&address, sizeof address) != 0;
  return bad_tell (host, ctx, "there is no network", kept_in);
}

BAD_PLUGIN ("network", bad_infer, run);
