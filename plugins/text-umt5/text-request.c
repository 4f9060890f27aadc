/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * text-request.c: from the stage's parameters and the model's small files to token ids.  Pure:
 * infer and run both begin with it, so that the number of rows is known before anything runs.
 */
#include <stdlib.h>
#include <string.h>

#include "prompt.h"
#include "spm.h"
#include "text-umt5.h"

uint64_t
sora_text_work_bytes (const SoraTextRequest *request)
{
  size_t most = 0, all = 0;

  for (int i = 0; i < SORA_TEXT_N; i++)
    {
      most = request->texts[i].n > most ? request->texts[i].n : most;
      all += request->texts[i].n;
    }
  return sora_umt5_work_bytes (&request->config, (int64_t)all, (int64_t)most)
         + request->mapped_bytes;
}

void
sora_text_request_clear (SoraTextRequest *request)
{
  for (int i = 0; i < SORA_TEXT_N; i++)
    free (request->texts[i].ids);
}

static int
read_config (const SoraHost *host, SoraContext *ctx, SoraUmt5Config *config)
{
  SoraKitConfig *file;
  int r = sora_kit_config_open (host, ctx, "text_encoder/config.json", 1, &file);

  if (r != SORA_OK)
    return r;
  sora_umt5_config_read (file, config);
  return sora_kit_config_close (host, ctx, file);
}

static int
tokenise (const SoraHost *host, SoraContext *ctx, const SoraSpm *spm, const char *name,
          int may_be_empty, int64_t max, SoraTextTokens *tokens)
{
  const char *text;
  char *clean, why[300] = "";
  size_t length, bad = 0;
  int r = host->param_string (ctx, name, &text);

  if (r != SORA_OK)
    return host->fail (ctx, "parameter '%s' cannot be read", name);
  if (!sora_prompt_is_utf8 (text, strlen (text), &bad))
    return host->fail (ctx, "parameter '%s' is not UTF-8: byte %zu is 0x%02x", name, bad,
                       (unsigned char)text[bad]);
  clean = sora_prompt_clean (text, &length);
  if (clean == NULL)
    return host->fail (ctx, "out of memory for parameter '%s'", name);
  if (length == 0 && !may_be_empty)
    {
      free (clean);
      return host->fail (ctx, "parameter '%s' is empty; say what is to be seen", name);
    }
  r = sora_spm_encode (spm, clean, length, (size_t)max, &tokens->ids, &tokens->n, &tokens->full,
                       why, sizeof why);
  free (clean);
  if (r != 0)
    return host->fail (ctx, "parameter '%s' cannot be tokenised: %s", name, why);
  if (tokens->full == 1 && !may_be_empty)
    return host->fail (ctx, "parameter '%s' has no character that the tokenizer keeps", name);
  return SORA_OK;
}

/* Query, key and value are multiplied by together, and the two halves of the gate.  What is not there is
 * said where the tensors are checked. */
static uint64_t
mapped_bytes (const SoraHost *host, SoraContext *ctx, const SoraUmt5Config *config)
{
  static const struct
  {
    int which;
    uint64_t n;
  } parts[] = { { SORA_UMT5_Q, 3 }, { SORA_UMT5_WI_0, 2 } };
  uint64_t most = 0;

  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
    {
      SoraTensorView view = { .struct_size = sizeof view };
      SoraUmt5Tensor tensor;

      sora_umt5_layer_tensor (config, 0, parts[i].which, &tensor);
      if (host->model_tensor_info (ctx, "model", "text_encoder", tensor.name, &view) == SORA_OK
          && parts[i].n * view.nbytes > most)
        most = parts[i].n * view.nbytes;
    }
  return most;
}

int
sora_text_request_read (const SoraHost *host, SoraContext *ctx, SoraTextRequest *request)
{
  static const char file[] = "tokenizer/spiece.model";
  const void *data;
  size_t size;
  char why[300] = "";
  SoraSpm *spm;
  int r = read_config (host, ctx, &request->config);

  if (r != SORA_OK)
    return r;
  if (host->param_i64 (ctx, "max-tokens", &request->max_tokens) != SORA_OK)
    return host->fail (ctx, "parameter 'max-tokens' cannot be read");
  request->mapped_bytes = mapped_bytes (host, ctx, &request->config);
  r = host->model_file (ctx, "model", file, &data, &size);
  if (r == SORA_NOT_FOUND)
    return host->fail (ctx, "the model has no '%s'; a sentencepiece model is needed", file);
  if (r != SORA_OK)
    return r;
  spm = sora_spm_new (data, size, why, sizeof why);
  if (spm == NULL)
    return host->fail (ctx, "%s: %s", file, why);
  if (sora_spm_pieces (spm) > request->config.vocab_size)
    r = host->fail (ctx, "%s has %lld pieces, the text encoder's vocabulary %lld", file,
                    (long long)sora_spm_pieces (spm), (long long)request->config.vocab_size);
  if (r == SORA_OK)
    r = tokenise (host, ctx, spm, "prompt", 0, request->max_tokens,
                  &request->texts[SORA_TEXT_PROMPT]);
  if (r == SORA_OK)
    r = tokenise (host, ctx, spm, "negative-prompt", 1, request->max_tokens,
                  &request->texts[SORA_TEXT_NEGATIVE]);
  sora_spm_unref (spm);
  return r;
}
