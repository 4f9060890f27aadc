/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Says that four gigabytes are to come.
 */
#include "bad-raw.h"

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  RawHeader header = { RAW_MAGIC, RAW_PUSH, UINT32_MAX, 0 };
  (void)!write (RAW_STREAM, &header, sizeof header);
  return bad_pass (host, ctx);
}

BAD_PLUGIN ("huge-reply", bad_infer, run);
