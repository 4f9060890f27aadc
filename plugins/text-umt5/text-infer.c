/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * text-infer.c: what will come out, what it costs, and whether the model's files hold what is
 * needed: from headers and small files alone.
 */
#include "kit-convert.h"
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

/* Checks type and shape of one tensor from the file's header, and adds up its bytes. */
static int
check_tensor (const SoraHost *host, SoraContext *ctx, const char *name, const int64_t *shape,
              int ndim, uint64_t *bytes)
{
  SoraTensorView view = { .struct_size = sizeof view };
  int r = host->model_tensor_info (ctx, "model", "text_encoder", name, &view), fits;

  if (r == SORA_NOT_FOUND)
    return host->fail (ctx, "the text encoder has no tensor '%s'", name);
  if (r != SORA_OK)
    return r;
  if (view.dtype != SORA_F32 && view.dtype != SORA_F16 && view.dtype != SORA_BF16)
    return host->fail (ctx, "tensor '%s' is of the type %s, expected f32, f16 or bf16", name,
                       sora_kit_dtype_name (view.dtype));
  fits = view.ndim == ndim;
  for (int i = 0; fits && i < ndim; i++)
    fits = view.shape[i] == shape[i];
  if (!fits)
    return host->fail (ctx, "tensor '%s' has %d axes of %lld x %lld, expected %lld x %lld", name,
                       view.ndim, view.ndim > 0 ? (long long)view.shape[0] : 0,
                       view.ndim > 1 ? (long long)view.shape[1] : 1, (long long)shape[0],
                       ndim > 1 ? (long long)shape[1] : 1);
  *bytes += view.nbytes;
  return SORA_OK;
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
  const char *name = sora_text_table_name (host, ctx);
  uint64_t table_bytes = 0;
  int r = check_tensor (host, ctx, name, table, 2, &table_bytes);

  for (int64_t layer = 0; r == SORA_OK && layer < config->num_layers; layer++)
    for (int which = 0; r == SORA_OK && which < SORA_UMT5_LAYER_TENSORS; which++)
      {
        SoraUmt5Tensor tensor;

        sora_umt5_layer_tensor (config, layer, which, &tensor);
        r = check_tensor (host, ctx, tensor.name, tensor.shape, tensor.ndim, bytes);
      }
  if (r == SORA_OK)
    r = check_no_more_layers (host, ctx, config);
  if (r == SORA_OK)
    r = check_tensor (host, ctx, "encoder.final_layer_norm.weight", &table[1], 1, bytes);
  *bytes += table_bytes;
  return r;
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
  cost.packed_bytes = sora_text_packed_bytes (request);
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
