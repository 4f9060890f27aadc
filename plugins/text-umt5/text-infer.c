/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * text-infer.c: what will come out, what it costs, and whether the model's files hold what is
 * needed: from headers and small files alone.
 */
#include "text-umt5.h"

static void
warn_if_cut (const SoraHost *host, SoraContext *ctx, const char *name, const SoraTextTokens *tokens)
{
  if (tokens->full > tokens->n)
    host->log (ctx, SORA_LOG_WARNING,
               "parameter '%s' has %zu tokens, of which the first %zu and the end mark are used",
               name, tokens->full, tokens->n - 1);
}

static int
set_embedding (const SoraHost *host, SoraContext *ctx, const char *port,
               const SoraTextRequest *request, const SoraTextTokens *tokens)
{
  const int64_t shape[] = { (int64_t)tokens->n, request->config.d_model };
  const SoraSpec spec
      = { .struct_size = sizeof spec, .dtype = SORA_F32, .shape = shape, .ndim = 2 };
  int r = host->set_output_spec (ctx, port, &spec);

  if (r == SORA_OK)
    r = host->set_output_attr_i64 (ctx, port, "padded_length", request->max_tokens);
  if (r == SORA_OK && tokens->full > tokens->n)
    r = host->set_output_attr_i64 (ctx, port, "tokens_in_full", (int64_t)tokens->full);
  return r;
}

/* Older files name the table after the encoder, newer ones once for both halves. */
const char *
sora_text_table_name (const SoraHost *host, SoraContext *ctx)
{
  SoraTensorView view = { .struct_size = sizeof view };

  return host->model_tensor_info (ctx, "model", "text_encoder", "shared.weight", &view) == SORA_OK
             ? "shared.weight"
             : "encoder.embed_tokens.weight";
}

/* A file with more layers than its configuration says would give embeddings that mean nothing. */
static int
check_no_more_layers (const SoraHost *host, SoraContext *ctx, const SoraUmt5Config *config)
{
  SoraTensorView view = { .struct_size = sizeof view };
  SoraUmt5Tensor tensor;

  sora_umt5_layer_tensor (config, config->num_layers, SORA_UMT5_Q, &tensor);
  if (host->model_tensor_info (ctx, "model", "text_encoder", tensor.name, &view) != SORA_OK)
    return SORA_OK;
  return host->fail (ctx,
                     "text_encoder/config.json: 'num_layers' is %lld, but there is a tensor '%s'",
                     (long long)config->num_layers, tensor.name);
}

static int
check_tensors (const SoraHost *host, SoraContext *ctx, const SoraUmt5Config *config,
               uint64_t *bytes)
{
  const int64_t table[] = { config->vocab_size, config->d_model };
  SoraKitTensorCheck check = { .host = host, .ctx = ctx, .component = "text_encoder" };
  int r = sora_kit_check_tensor (&check, sora_text_table_name (host, ctx), 2, table);

  for (int64_t layer = 0; r == SORA_OK && layer < config->num_layers; layer++)
    for (int which = 0; r == SORA_OK && which < SORA_UMT5_LAYER_TENSORS; which++)
      {
        SoraUmt5Tensor tensor;

        sora_umt5_layer_tensor (config, layer, which, &tensor);
        r = sora_kit_check_tensor (&check, tensor.name, tensor.ndim, tensor.shape);
      }
  if (r == SORA_OK)
    r = check_no_more_layers (host, ctx, config);
  if (r == SORA_OK)
    r = sora_kit_check_tensor (&check, "encoder.final_layer_norm.weight", 1, &table[1]);
  *bytes = check.bytes;
  return r == SORA_OK ? sora_kit_check_end (&check) : r;
}

static int
infer_request (const SoraHost *host, SoraContext *ctx, const SoraTextRequest *request)
{
  const SoraTextTokens *prompt = &request->texts[SORA_TEXT_PROMPT],
                       *negative = &request->texts[SORA_TEXT_NEGATIVE];
  const int64_t shape[] = { (int64_t)prompt->n };
  const SoraSpec ids = { .struct_size = sizeof ids, .dtype = SORA_I64, .shape = shape, .ndim = 1 };
  SoraCost cost = { .struct_size = sizeof cost };
  int r = check_tensors (host, ctx, &request->config, &cost.weights_bytes);

  if (r == SORA_OK)
    r = set_embedding (host, ctx, "embedding", request, prompt);
  if (r == SORA_OK)
    r = set_embedding (host, ctx, "negative", request, negative);
  if (r == SORA_OK)
    r = host->set_output_spec (ctx, "tokens", &ids);
  if (r != SORA_OK)
    return r;
  cost.work_bytes = sora_text_work_bytes (request);
  cost.output_bytes
      = (uint64_t)(prompt->n + negative->n) * (uint64_t)request->config.d_model * 4 + 8 * prompt->n;
  cost.flops = sora_umt5_flops (&request->config, (int64_t)prompt->n)
               + sora_umt5_flops (&request->config, (int64_t)negative->n);
  cost.steps = (uint32_t)request->config.num_layers;
  return host->set_cost (ctx, &cost);
}

int
sora_text_infer (const SoraHost *host, SoraContext *ctx)
{
  SoraTextRequest request = { 0 };
  int r = sora_text_request_read (host, ctx, &request);

  if (r == SORA_OK)
    {
      warn_if_cut (host, ctx, "prompt", &request.texts[SORA_TEXT_PROMPT]);
      warn_if_cut (host, ctx, "negative-prompt", &request.texts[SORA_TEXT_NEGATIVE]);
      r = infer_request (host, ctx, &request);
    }
  sora_text_request_clear (&request);
  return r;
}
