/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * text-umt5: the stage that turns a prompt into what a denoiser attends to.  This file is what the
 * plugin declares; text-infer.c and text-run.c are what it does.
 */
#include "text-umt5.h"

#include <stdlib.h>

static int
text_create (const SoraHost *host, SoraContext *ctx, void **instance)
{
  *instance = calloc (1, sizeof (SoraTextInstance));
  return *instance != NULL ? SORA_OK : host->fail (ctx, "out of memory");
}

static void
text_release (const SoraHost *host, void *data)
{
  SoraTextInstance *instance = data;

  sora_umt5_free (instance->encoder);
  *instance = (SoraTextInstance){ 0 };
}

static void
text_destroy (const SoraHost *host, void *data)
{
  text_release (host, data);
  free (data);
}

static const SoraPort embedding_port = {
  .struct_size = sizeof (SoraPort),
  .flags = SORA_PORT_CACHEABLE,
  .name = "embedding",
  .semantic = "sora.text.embedding/1",
  .dtypes = SORA_DTYPE_BIT (SORA_F32),
  .dims = "N,D",
  .help
  = "The prompt's real tokens, one row each; a denoiser pads with zero rows up to padded_length",
};
static const SoraPort negative_port = {
  .struct_size = sizeof (SoraPort),
  .flags = SORA_PORT_CACHEABLE,
  .name = "negative",
  .semantic = "sora.text.embedding/1",
  .dtypes = SORA_DTYPE_BIT (SORA_F32),
  .dims = "M,D",
  .help = "The same of the negative prompt: what guidance leads away from",
};
static const SoraPort tokens_port = {
  .struct_size = sizeof (SoraPort),
  .flags = SORA_PORT_CACHEABLE,
  .name = "tokens",
  .semantic = "sora.text.tokens/1",
  .dtypes = SORA_DTYPE_BIT (SORA_I64),
  .dims = "N",
  .help = "The prompt's token ids, the end mark included",
};
static const SoraPort *const outputs[] = { &embedding_port, &negative_port, &tokens_port, NULL };

static const SoraParam prompt_param = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_STRING,
  .flags = SORA_PARAM_REQUIRED | SORA_PARAM_SECRET,
  .name = "prompt",
  .help = "What is to be seen",
};
static const SoraParam negative_param = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_STRING,
  .flags = SORA_PARAM_SECRET,
  .name = "negative-prompt",
  .help = "What is not to be seen; empty: what the model makes of no words",
  .str_default = "",
};
static const SoraParam max_tokens_param = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_I64,
  .name = "max-tokens",
  .unit = "tokens",
  .help = "Longer prompts are cut, with a warning; shorter ones count as padded to this",
  .i64_default = 512,
  .i64_min = 1,
  .i64_max = 512,
};
static const SoraParam *const params[]
    = { &prompt_param, &negative_param, &max_tokens_param, NULL };

static const SoraModelSlot model_slot = {
  .struct_size = sizeof (SoraModelSlot),
  .name = "model",
  .components = "text_encoder,tokenizer",
};
static const SoraModelSlot *const models[] = { &model_slot, NULL };

static const SoraPort *const inputs[] = { NULL };

static const SoraStageClass text_class = {
  .struct_size = sizeof (SoraStageClass),
  .id = "text-umt5",
  .kind = "text-encoder",
  .summary = "UMT5 text encoder with its sentencepiece tokenizer",
  .inputs = inputs,
  .outputs = outputs,
  .params = params,
  .models = models,
  .infer = sora_text_infer,
  .create = text_create,
  .run = sora_text_run,
  .release = text_release,
  .destroy = text_destroy,
};
static const SoraStageClass *const stages[] = { &text_class, NULL };

SORA_EXPORT const SoraPlugin sora_plugin = {
  .magic = SORA_PLUGIN_MAGIC,
  .struct_size = sizeof (SoraPlugin),
  .abi_major = SORA_ABI_MAJOR,
  .abi_minor = SORA_ABI_MINOR,
  .needs_minor = 0,
  .id = "text-umt5",
  .version = "0.1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Text encoder of the Wan family: UMT5",
  .stages = stages,
};
