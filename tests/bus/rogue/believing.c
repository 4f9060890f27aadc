/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A plugin that stands for text-umt5 with a library behind its look at a tokenizer's model that a
 * model brings down all the same: what passes sora_spm_check() is believed, and a piece tells how
 * it ends, and whether already when the stage is asked or only when it runs.
 */
#include "config.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/sora-plugin.h"
#include "plugins/text-umt5/spm-check.h"

static const SoraPort out = {
  .struct_size = sizeof (SoraPort), .name = "file", .semantic = "sora.file/1", .help = "A file."
};
static const SoraPort *const inputs[] = { NULL };
static const SoraPort *const outputs[] = { &out, NULL };
static const SoraParam *const params[] = { NULL };
static const SoraModelSlot slot
    = { .struct_size = sizeof slot, .name = "model", .components = "tokenizer" };
static const SoraModelSlot *const models[] = { &slot, NULL };

static int
has (const uint8_t *model, size_t size, const char *word)
{
  return memmem (model, size, word, strlen (word)) != NULL;
}

static void
end_by (int number)
{
  signal (number, SIG_DFL);
  raise (number);
}

/* @when: "asked" or "running". */
static int
believe (const SoraHost *host, SoraContext *ctx, const char *when)
{
  const void *data;
  size_t size;
  char why[200];
  int result = host->model_file (ctx, "model", "tokenizer/spiece.model", &data, &size);
  uint8_t *model = result == SORA_OK ? malloc (size + 1) : NULL;
  if (model == NULL)
    return result != SORA_OK ? result : host->fail (ctx, "no memory");
  memcpy (model, data, size);
  int64_t pieces = sora_spm_check (model, size, why, sizeof why);
  int now = pieces >= 0 && has (model, size, when);
  int aborts = now && has (model, size, "abort"), crashes = now && has (model, size, "crash");
  free (model);
  if (aborts)
    end_by (SIGABRT);
  if (crashes)
    end_by (SIGSEGV);
  return pieces >= 0 ? SORA_OK : host->fail (ctx, "the tokenizer cannot be used: %s", why);
}

static int
infer (const SoraHost *host, SoraContext *ctx)
{
  return believe (host, ctx, "asked");
}

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  int fd;
  (void)instance;
  host->progress (ctx, 0, 0, 0);
  int result = believe (host, ctx, "running");
  if (result == SORA_OK)
    result = host->file_create (ctx, "file", "out.txt", "text/plain", &fd);
  return result == SORA_OK && write (fd, "read", 4) != 4 ? host->fail (ctx, "cannot write")
                                                         : result;
}

static const SoraStageClass act = { .struct_size = sizeof (SoraStageClass),
                                    .id = "believing",
                                    .kind = "encoder",
                                    .summary = "Believes a tokenizer's model",
                                    .inputs = inputs,
                                    .outputs = outputs,
                                    .params = params,
                                    .models = models,
                                    .infer = infer,
                                    .run = run };
static const SoraStageClass *const stages[] = { &act, NULL };

SORA_EXPORT extern const SoraPlugin sora_plugin;
const SoraPlugin sora_plugin = { .magic = SORA_PLUGIN_MAGIC,
                                 .struct_size = sizeof (SoraPlugin),
                                 .abi_major = SORA_ABI_MAJOR,
                                 .abi_minor = SORA_ABI_MINOR,
                                 .id = "believing",
                                 .version = "1.0.0",
                                 .licence = "LGPL-2.1-or-later",
                                 .summary = "Believes a tokenizer's model",
                                 .stages = stages };
