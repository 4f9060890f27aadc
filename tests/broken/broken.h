/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A plugin that is good in everything: each fixture of this folder includes it and breaks one thing.
 */
#pragma once
#include "sora-plugin.h"

static inline int
broken_infer (const SoraHost *host, SoraContext *ctx)
{
  return SORA_OK;
}

static inline int
broken_run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  return SORA_OK;
}

static const SoraPort broken_output = {
  .struct_size = sizeof (SoraPort),
  .name = "text",
  .semantic = "test.text/1",
  .dtypes = SORA_DTYPE_BIT (SORA_U8),
  .dims = "N",
  .help = "Bytes.",
};
static const SoraPort *const broken_outputs[] = { &broken_output, NULL };

static const SoraStageClass broken_stage = {
  .struct_size = sizeof (SoraStageClass),
  .id = "stage",
  .kind = "test",
  .summary = "Does nothing",
  .outputs = broken_outputs,
  .infer = broken_infer,
  .run = broken_run,
};
static const SoraStageClass *const broken_stages[] = { &broken_stage, NULL };

#define BROKEN_PLUGIN                                                                                                  \
  .magic = SORA_PLUGIN_MAGIC, .struct_size = sizeof (SoraPlugin), .abi_major = SORA_ABI_MAJOR,                         \
  .abi_minor = SORA_ABI_MINOR, .id = "broken", .version = "1.0", .licence = "LGPL-2.1-or-later",                       \
  .summary = "A fixture", .stages = broken_stages
