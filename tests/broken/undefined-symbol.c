/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A good descriptor in a module that the loader cannot resolve.
 */
#include "broken.h"

extern const SoraPlugin sora_plugin;
extern int sora_no_such_function (void);

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  return sora_no_such_function ();
}

static const SoraStageClass stage = {
  .struct_size = sizeof (SoraStageClass),
  .id = "stage",
  .kind = "test",
  .summary = "Does nothing",
  .outputs = broken_outputs,
  .infer = broken_infer,
  .run = run,
};
static const SoraStageClass *const stages[] = { &stage, NULL };

#pragma GCC diagnostic ignored "-Woverride-init"
#pragma GCC diagnostic ignored "-Wunused-variable"
SORA_EXPORT const SoraPlugin sora_plugin = { BROKEN_PLUGIN, .stages = stages };
