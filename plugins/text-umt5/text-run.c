/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * text-run.c: brings in the weights, layer by layer, and computes on host->compute; host calls stay
 * on the stage's thread.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kit-convert.h"
#include "text-umt5.h"

/* What goes through host->compute: one layer, or what stands before or after them. */
typedef struct
{
  const SoraHost *host;
  SoraTextInstance *instance;
  const SoraUmt5Config *config;
  SoraUmt5Segment segments[SORA_TEXT_N];
  SoraWeights *weights;
  int64_t layer;
  int keep; /* the packed layer */
  SoraTensorView views[SORA_UMT5_LAYER_TENSORS];
} Work;

/* Says what the team noted, unless the job was stopped. */
static int
team_result (const SoraHost *host, SoraContext *ctx, const SoraKitTeam *team, int r)
{
  if (r == SORA_FAILED)
    return host->fail (ctx, "%s", team->error[0] != '\0' ? team->error : "out of memory");
  return r;
}

static int
begin_on_compute (SoraContext *ctx, void *data, int threads)
{
  Work *work = data;
  SoraKitTeam team;
  int r = SORA_OK;

  sora_kit_team_init (&team, work->host, ctx, threads);
  if (work->instance->encoder == NULL)
    work->instance->encoder = sora_umt5_new (work->config, &team);
  if (work->instance->encoder == NULL)
    r = SORA_FAILED;
  else
    sora_umt5_begin (work->instance->encoder);
  for (int i = 0; r == SORA_OK && i < SORA_TEXT_N; i++)
    r = sora_umt5_embed (work->instance->encoder, &team, &work->views[0], &work->segments[i]);
  return team_result (work->host, ctx, &team, r);
}

static int
layer_on_compute (SoraContext *ctx, void *data, int threads)
{
  Work *work = data;
  SoraUmt5 *encoder = work->instance->encoder;
  SoraKitTeam team;
  int r = SORA_OK;

  sora_kit_team_init (&team, work->host, ctx, threads);
  if (!sora_umt5_layer_is_packed (encoder, work->layer))
    r = sora_umt5_pack_layer (encoder, &team, work->layer, work->views);
  for (int i = 0; r == SORA_OK && i < SORA_TEXT_N; i++)
    r = sora_umt5_run_layer (encoder, &team, work->layer, &work->segments[i]);
  if (!work->keep)
    sora_umt5_drop_layer (encoder, work->layer);
  return team_result (work->host, ctx, &team, r);
}

static int
finish_on_compute (SoraContext *ctx, void *data, int threads)
{
  Work *work = data;
  SoraKitTeam team;
  int r = SORA_OK;

  sora_kit_team_init (&team, work->host, ctx, threads);
  for (int i = 0; r == SORA_OK && i < SORA_TEXT_N; i++)
    {
      SoraUmt5Segment *s = &work->segments[i];

      r = sora_umt5_finish (work->instance->encoder, &team, &work->views[0], s);
      for (int64_t j = 0; r == SORA_OK && j < s->n * work->config->d_model; j++)
        if (!isfinite (s->x[j]))
          r = sora_kit_team_fail (
              &team, "the text encoder gave no number for token %lld: are its weights whole?",
              (long long)(j / work->config->d_model));
    }
  return team_result (work->host, ctx, &team, r);
}

/* One tensor by name; infer has checked type and shape, but the file is another one by now perhaps.
 */
static int
get_tensor (const SoraHost *host, SoraContext *ctx, SoraWeights *weights, const char *name,
            const int64_t *shape, int ndim, SoraTensorView *view)
{
  int r;

  *view = (SoraTensorView){ .struct_size = sizeof *view };
  r = host->weights_tensor (weights, name, view);
  if (r != SORA_OK)
    return host->fail (ctx, "the text encoder has no tensor '%s'", name);
  for (int i = 0; i < ndim; i++)
    if (view->ndim != ndim || view->shape[i] != shape[i])
      return host->fail (ctx, "tensor '%s' has another shape than before: did the file change?",
                         name);
  return SORA_OK;
}

static int
run_layer (const SoraHost *host, SoraContext *ctx, Work *work)
{
  SoraUmt5Tensor tensor;
  int packed = sora_umt5_layer_is_packed (work->instance->encoder, work->layer), r = SORA_OK;

  for (int i = 0; r == SORA_OK && !packed && i < SORA_UMT5_LAYER_TENSORS; i++)
    {
      sora_umt5_layer_tensor (work->config, work->layer, i, &tensor);
      r = get_tensor (host, ctx, work->weights, tensor.name, tensor.shape, tensor.ndim,
                      &work->views[i]);
    }
  if (r == SORA_OK)
    r = host->compute (ctx, layer_on_compute, work);
  for (int i = 0; r == SORA_OK && !packed && i < SORA_UMT5_LAYER_TENSORS; i++)
    {
      sora_umt5_layer_tensor (work->config, work->layer, i, &tensor);
      host->weights_done (work->weights, tensor.name);
    }
  return r;
}

static int
run_layers (const SoraHost *host, SoraContext *ctx, Work *work)
{
  const int64_t table[] = { work->config->vocab_size, work->config->d_model };
  int r = get_tensor (host, ctx, work->weights, sora_text_table_name (host, ctx), table, 2,
                      &work->views[0]);

  if (r == SORA_OK)
    r = host->compute (ctx, begin_on_compute, work);
  for (work->layer = 0; r == SORA_OK && work->layer < work->config->num_layers; work->layer++)
    {
      r = host->cancelled (ctx) ? SORA_CANCELLED : run_layer (host, ctx, work);
      host->progress (ctx, (double)(work->layer + 1) / (double)work->config->num_layers,
                      (uint32_t)work->layer + 1, (uint32_t)work->config->num_layers);
    }
  if (r == SORA_OK)
    r = get_tensor (host, ctx, work->weights, "encoder.final_layer_norm.weight", &table[1], 1,
                    &work->views[0]);
  if (r == SORA_OK)
    r = host->compute (ctx, finish_on_compute, work);
  return r;
}

static int
push_tokens (const SoraHost *host, SoraContext *ctx, const SoraTextTokens *tokens)
{
  const int64_t shape[] = { (int64_t)tokens->n };
  SoraTensor *tensor = host->tensor_new (ctx, SORA_I64, 1, shape);
  SoraTensorView view = { .struct_size = sizeof view };

  if (tensor == NULL)
    return SORA_FAILED;
  host->tensor_view (tensor, &view);
  memcpy (view.data, tokens->ids, tokens->n * sizeof *tokens->ids);
  return host->push (ctx, "tokens", tensor);
}

/* Weights are reserved once an instance, and only as much as is missing. */
static int
reserve (const SoraHost *host, SoraContext *ctx, SoraTextInstance *instance,
         const SoraTextRequest *request)
{
  uint64_t packed = sora_text_packed_bytes (request);
  int r = SORA_OK;

  if (instance->reserved < packed)
    r = host->reserve (ctx, SORA_MEMORY_WEIGHTS, packed - instance->reserved);
  if (r != SORA_OK)
    return r;
  instance->reserved = instance->reserved < packed ? packed : instance->reserved;
  return host->reserve (ctx, SORA_MEMORY_WORK, sora_text_work_bytes (request));
}

static int
is_known (const SoraUmt5Config *config, const char *name)
{
  static const char *const others[]
      = { "shared.weight", "encoder.embed_tokens.weight", "encoder.final_layer_norm.weight" };
  /* The other half of a whole UMT5, and the tokenizer that ComfyUI puts into the same file. */
  static const char *const unused[] = { "decoder.", "lm_head.", "spiece_model" };
  static const char block[] = "encoder.block.";
  SoraUmt5Tensor tensor;

  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
    if (strcmp (name, others[i]) == 0)
      return 1;
  for (size_t i = 0; i < sizeof unused / sizeof unused[0]; i++)
    if (strncmp (name, unused[i], strlen (unused[i])) == 0)
      return 1;
  if (strncmp (name, block, sizeof block - 1) != 0)
    return 0;
  for (int i = 0; i < SORA_UMT5_LAYER_TENSORS; i++)
    {
      long long layer = strtoll (name + sizeof block - 1, NULL, 10);

      if (layer < 0 || layer >= config->num_layers)
        return 0;
      sora_umt5_layer_tensor (config, layer, i, &tensor);
      if (strcmp (name, tensor.name) == 0)
        return 1;
    }
  return 0;
}

/* A tensor that nobody here knows of means that the model is of another kind, and its embeddings
 * would be wrong. */
static int
check_no_more (const SoraHost *host, SoraContext *ctx, const SoraUmt5Config *config,
               SoraWeights *weights)
{
  const char *name;

  for (size_t i = 0; host->weights_tensor_name (weights, i, &name) == SORA_OK; i++)
    if (!is_known (config, name))
      return host->fail (
          ctx,
          "text_encoder: tensor '%s' is not part of a UMT5 encoder of %lld layers: is the model of "
          "another kind?",
          name, (long long)config->num_layers);
  return SORA_OK;
}

static int
run_request (const SoraHost *host, SoraContext *ctx, SoraTextInstance *instance,
             const SoraTextRequest *request)
{
  static const char *const ports[SORA_TEXT_N] = { "embedding", "negative" };
  const SoraUmt5Config *config = &request->config;
  SoraTensor *outputs[SORA_TEXT_N] = { NULL };
  Work work = { .host = host, .instance = instance, .config = config, .keep = request->keep };
  int r = reserve (host, ctx, instance, request);

  for (int i = 0; r == SORA_OK && i < SORA_TEXT_N; i++)
    {
      const int64_t shape[] = { (int64_t)request->texts[i].n, config->d_model };
      SoraTensorView view = { .struct_size = sizeof view };

      outputs[i] = host->tensor_new (ctx, SORA_F32, 2, shape);
      if (outputs[i] == NULL)
        {
          r = SORA_FAILED;
          break;
        }
      host->tensor_view (outputs[i], &view);
      work.segments[i] = (SoraUmt5Segment){ request->texts[i].ids, shape[0], view.data };
    }
  if (r == SORA_OK)
    r = host->weights_open (ctx, "model", "text_encoder", &work.weights);
  if (r == SORA_OK)
    {
      r = check_no_more (host, ctx, config, work.weights);
      if (r == SORA_OK)
        r = run_layers (host, ctx, &work);
      host->weights_close (work.weights);
    }
  for (int i = 0; i < SORA_TEXT_N; i++)
    if (r == SORA_OK)
      r = host->push (ctx, ports[i], outputs[i]);
    else if (outputs[i] != NULL)
      host->tensor_unref (outputs[i]);
  return r == SORA_OK ? push_tokens (host, ctx, &request->texts[SORA_TEXT_PROMPT]) : r;
}

int
sora_text_run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  SoraTextRequest request = { 0 };
  int r = sora_text_request_read (host, ctx, &request);

  if (r == SORA_OK)
    r = run_request (host, ctx, instance, &request);
  sora_text_request_clear (&request);
  return r;
}
