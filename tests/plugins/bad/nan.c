/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Gives a value that is no number.
 */
#include <math.h>

#include "bad.h"

static int
bad_spoil (const SoraHost *host, SoraContext *ctx, float value)
{
  SoraTensor *tensor;
  SoraTensorView view = { .struct_size = sizeof view };
  if (host->pull (ctx, "in", &tensor) != SORA_OK
      || (tensor = host->make_writable (ctx, tensor)) == NULL)
    return SORA_FAILED;
  host->tensor_view (tensor, &view);
  ((float *)view.data)[3] = value;
  int result = host->push (ctx, "out", tensor);
  return result == SORA_OK ? bad_pass (host, ctx) : result;
}

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  return bad_spoil (host, ctx, NAN);
}

BAD_PLUGIN ("nan", bad_infer, run);
