/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Writes where others read: into a folder of its test.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "bad.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  char path[4096];
  const char *folder = getenv ("SORA_BAD_FOLDER");
  snprintf (path, sizeof path, "%s/was-here", folder ? folder : "/nowhere");
  int fd = open (path, O_WRONLY | O_CREAT, 0600);
  return bad_tell (host, ctx, "a file of others", fd < 0);
}

BAD_PLUGIN ("write-outside", bad_infer, run);
