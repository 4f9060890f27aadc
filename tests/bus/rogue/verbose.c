/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A plugin whose description is larger than a message may be.
 */
#include <string.h>

#include "core/sora-plugin.h"

static char words[5u << 20]; /* a message has at most 4 MiB */

static void __attribute__ ((constructor)) fill (void) { memset (words, 'w', sizeof words - 1); }

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
  .struct_size = sizeof (SoraPort), .name = "file", .semantic = "sora.file/1", .help = words
};
static const SoraPort *const inputs[] = { NULL };
static const SoraPort *const outputs[] = { &out, NULL };
static const SoraParam *const params[] = { NULL };
static const SoraStageClass act = { .struct_size = sizeof (SoraStageClass),
                                    .id = "verbose",
                                    .kind = "encoder",
                                    .summary = "Talks",
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
                                 .id = "verbose",
                                 .version = "1.0.0",
                                 .licence = "LGPL-2.1-or-later",
                                 .summary = "Talks",
                                 .stages = stages };
