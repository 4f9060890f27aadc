/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What every stage is held to, in Check's words: stopped anywhere it gives everything back, and it refuses shapes that are
 * not its own.
 */
#ifndef SORA_MINI_HOST_CHECK_H
#define SORA_MINI_HOST_CHECK_H

#include "mini-host.h"

/* Runs @mini, whose inputs are set, stopping it at moments that are further apart each time, each of them twice as late as
 * the one before; every other time its instance is made anew.  It gives back all tensors and weights, was stopped at least
 * @least times, and runs to its end when it is let. */
void mini_host_check_cancel (MiniHost *mini, int least);

typedef struct
{
  int dtype, ndim;
  int64_t shape[5];
  const char *says;
} MiniBadInput;

/* infer of @stage on @model refuses each of @bad as its input @port, in words that have `says` in them. */
void mini_host_check_refuses (const SoraStageClass *stage, const char *model, const char *port, const MiniBadInput *bad,
                              size_t n);

#endif
