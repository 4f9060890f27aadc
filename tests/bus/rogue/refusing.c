/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A plugin that says of itself that it cannot run on this machine.
 */
#include <stdio.h>

#include "core/sora-plugin.h"

static int
probe (const SoraHost *host, char *why, size_t why_size)
{
  (void)host;
  snprintf (why, why_size, "the machine has no seventh core");
  return SORA_UNAVAILABLE;
}

static int
infer (const SoraHost *host, SoraContext *ctx)
{
  (void)host;
  (void)ctx;
  return SORA_OK;
}

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  (void)host;
  (void)ctx;
  (void)instance;
  return SORA_OK;
}

static const SoraPort out = {
  .struct_size = sizeof (SoraPort), .name = "file", .semantic = "sora.file/1", .help = "A file."
};
static const SoraPort *const inputs[] = { NULL };
static const SoraPort *const outputs[] = { &out, NULL };
static const SoraParam *const params[] = { NULL };
static const SoraStageClass act = { .struct_size = sizeof (SoraStageClass),
                                    .id = "refusing",
                                    .kind = "encoder",
                                    .summary = "Runs nowhere",
                                    .inputs = inputs,
                                    .outputs = outputs,
                                    .params = params,
                                    .infer = infer,
                                    .run = run };
static const SoraStageClass *const stages[] = { &act, NULL };

SORA_EXPORT extern const SoraPlugin sora_plugin;
const SoraPlugin sora_plugin = { .magic = SORA_PLUGIN_MAGIC,
                                 .struct_size = sizeof (SoraPlugin),
                                 .abi_major = SORA_ABI_MAJOR,
                                 .abi_minor = SORA_ABI_MINOR,
                                 .id = "refusing",
                                 .version = "1.0.0",
                                 .licence = "LGPL-2.1-or-later",
                                 .summary = "Runs nowhere",
                                 .stages = stages,
                                 .probe = probe };
