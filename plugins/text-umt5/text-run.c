/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * text-run.c: walks through the layers and computes on host->compute; host calls stay on the stage's
 * thread.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text-umt5.h"

/* One run.  Pieces of the model: what stands before the layers, each layer, and what follows. */
typedef struct
{
  const SoraHost *host;
  SoraTextInstance *instance;
  const SoraUmt5Config *config;
  const SoraKitWeights *from;
  SoraUmt5Segment segments[SORA_TEXT_N];
  int64_t layer;
  SoraTensorView views[SORA_UMT5_LAYER_TENSORS];
} Work;

static const char who[] = "the text encoder";

static int
begin_on_compute (SoraKitTeam *team, void *data)
{
  Work *work = data;
  int r = SORA_OK;

  if (work->instance->encoder == NULL)
    work->instance->encoder = sora_umt5_new (work->config, team);
  if (work->instance->encoder == NULL)
    return SORA_FAILED;
  r = sora_umt5_begin (work->instance->encoder, team, work->segments, SORA_TEXT_N);
  if (r == SORA_OK)
    r = sora_umt5_embed (work->instance->encoder, team, &work->views[0]);
  return r;
}

/* The file's pages of a tensor leave the process when it was used; the kernel keeps them as long as it
 * has the room. */
static void
tensor_done (void *data, int which)
{
  Work *work = data;
  SoraUmt5Tensor tensor;

  sora_umt5_layer_tensor (work->config, work->layer, which, &tensor);
  sora_kit_weights_done (work->from, tensor.name);
}

static int
layer_on_compute (SoraKitTeam *team, void *data)
{
  Work *work = data;
  const SoraUmt5Watch watch = { tensor_done, work };

  return sora_umt5_run_layer (work->instance->encoder, team, work->views, &watch);
}

static int
finish_on_compute (SoraKitTeam *team, void *data)
{
  Work *work = data;
  int r = sora_umt5_finish (work->instance->encoder, team, &work->views[0]);

  for (int i = 0; r == SORA_OK && i < SORA_TEXT_N; i++)
    {
      const SoraUmt5Segment *s = &work->segments[i];

      for (int64_t j = 0; r == SORA_OK && j < s->n * work->config->d_model; j++)
        if (!isfinite (s->x[j]))
          r = sora_kit_team_fail (
              team, "the text encoder gave no number for token %lld: are its weights whole?",
              (long long)(j / work->config->d_model));
    }
  return r;
}

static int
run_layer (const SoraKitWeights *from, SoraContext *ctx, Work *work)
{
  const SoraHost *host = work->host;
  SoraUmt5Tensor tensor;
  int r = SORA_OK;

  for (int i = 0; r == SORA_OK && i < SORA_UMT5_LAYER_TENSORS; i++)
    {
      sora_umt5_layer_tensor (work->config, work->layer, i, &tensor);
      r = sora_kit_weights_view (from, tensor.name, tensor.ndim, tensor.shape, &work->views[i]);
    }
  if (r == SORA_OK)
    {
      work->from = from;
      r = sora_kit_compute (host, ctx, who, layer_on_compute, work);
    }
  host->progress (ctx, (double)(work->layer + 1) / (double)work->config->num_layers,
                  (uint32_t)work->layer + 1, (uint32_t)work->config->num_layers);
  return r;
}

static int
run_piece (const SoraKitWeights *from, SoraContext *ctx, void *data, int64_t piece)
{
  Work *work = data;
  const SoraHost *host = work->host;
  const int64_t table[] = { work->config->vocab_size, work->config->d_model };
  int r;

  work->layer = piece - 1;
  if (piece > 0 && piece <= work->config->num_layers)
    return run_layer (from, ctx, work);
  if (piece == 0)
    {
      const char *name = sora_text_table_name (host, ctx);

      r = sora_kit_weights_view (from, name, 2, table, &work->views[0]);
      if (r == SORA_OK)
        r = sora_kit_compute (host, ctx, who, begin_on_compute, work);
      sora_kit_weights_done (from, name);
      return r;
    }
  r = sora_kit_weights_view (from, "encoder.final_layer_norm.weight", 1, &table[1],
                             &work->views[0]);
  return r == SORA_OK ? sora_kit_compute (host, ctx, who, finish_on_compute, work) : r;
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

static int
is_known (const void *data, const char *name)
{
  const SoraUmt5Config *config = ((const Work *)data)->config;
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

static int
run_request (const SoraHost *host, SoraContext *ctx, SoraTextInstance *instance,
             const SoraTextRequest *request)
{
  static const char *const ports[SORA_TEXT_N] = { "embedding", "negative" };
  const SoraUmt5Config *config = &request->config;
  SoraTensor *outputs[SORA_TEXT_N] = { NULL };
  Work work = { .host = host, .instance = instance, .config = config };
  char what[64];
  const SoraKitLoad load = { "text_encoder", what, is_known, run_piece, config->num_layers + 2, NULL };
  int r = host->reserve (ctx, SORA_MEMORY_WORK, sora_text_work_bytes (request));

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
  (void)snprintf (what, sizeof what, "a UMT5 encoder of %lld layers",
                  (long long)config->num_layers);
  if (r == SORA_OK)
    r = sora_kit_load (host, ctx, &load, &work);
  /* Before anything is pushed: what comes next needs the room. */
  if (instance->encoder != NULL)
    sora_umt5_end (instance->encoder);
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
