/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the plugins that mean harm share: a filter of values, whose run is the harm.
 */
#ifndef BAD_H
#define BAD_H

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/sora-plugin.h"

#define BAD_PORT(id, port_name)                                                                    \
  static const SoraPort id = { .struct_size = sizeof (SoraPort),                                   \
                               .flags = SORA_PORT_STREAM,                                          \
                               .name = port_name,                                                  \
                               .semantic = "test.values/1",                                        \
                               .dtypes = SORA_DTYPE_BIT (SORA_F32),                                \
                               .dims = "N,W",                                                      \
                               .help = "Values in rows." }

BAD_PORT (bad_in, "in");
BAD_PORT (bad_out, "out");
static const SoraPort *const bad_inputs[] = { &bad_in, NULL };
static const SoraPort *const bad_outputs[] = { &bad_out, NULL };

static inline int
bad_infer (const SoraHost *host, SoraContext *ctx)
{
  SoraSpec spec = { .struct_size = sizeof spec };
  int result = host->input_spec (ctx, "in", &spec);
  return result == SORA_OK ? host->set_output_spec (ctx, "out", &spec) : result;
}

/* What an honest filter does: with nothing to keep it in, the harm is done and nobody is told. */
static inline int
bad_pass (const SoraHost *host, SoraContext *ctx)
{
  SoraTensor *tensor;
  int result;
  while ((result = host->pull (ctx, "in", &tensor)) == SORA_OK)
    if ((result = host->push (ctx, "out", tensor)) != SORA_OK)
      return result;
  return result == SORA_EOS ? SORA_OK : result;
}

/* One that says what kept it in, or goes on as if nothing were. */
static inline int
bad_tell (const SoraHost *host, SoraContext *ctx, const char *what, int kept_in)
{
  int error = errno;
  if (!kept_in)
    return bad_pass (host, ctx);
  return host->fail (ctx, "%s: %s", what, strerror (error));
}

#define BAD_PLUGIN_ABI(plugin_id, major, infer_function, run_function)                             \
  static const SoraStageClass bad_stage = { .struct_size = sizeof (SoraStageClass),                \
                                            .id = "bad",                                           \
                                            .kind = "filter",                                      \
                                            .summary = "Means harm",                               \
                                            .inputs = bad_inputs,                                  \
                                            .outputs = bad_outputs,                                \
                                            .infer = infer_function,                               \
                                            .run = run_function };                                 \
  static const SoraStageClass *const bad_stages[] = { &bad_stage, NULL };                          \
  SORA_EXPORT const SoraPlugin sora_plugin = { .magic = SORA_PLUGIN_MAGIC,                         \
                                               .struct_size = sizeof (SoraPlugin),                 \
                                               .abi_major = major,                                 \
                                               .abi_minor = SORA_ABI_MINOR,                        \
                                               .id = plugin_id,                                    \
                                               .version = "1.0.0",                                 \
                                               .licence = "LGPL-2.1-or-later",                     \
                                               .summary = "Means harm",                            \
                                               .stages = bad_stages }

#define BAD_PLUGIN(plugin_id, infer_function, run_function)                                        \
  BAD_PLUGIN_ABI (plugin_id, SORA_ABI_MAJOR, infer_function, run_function)

#endif
