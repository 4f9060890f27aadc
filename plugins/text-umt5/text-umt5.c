/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * text-umt5: the stage that turns a prompt into what a denoiser attends to.  infer cleans and tokenises, so that
 * the number of rows is known before anything runs; run brings in the weights, layer by layer, and computes.
 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit-convert.h"
#include "prompt.h"
#include "sora-plugin.h"
#include "spm.h"
#include "umt5-config.h"

/* Packed weights up to so much are kept while the instance is warm.  A larger model (UMT5-XXL: 22 GB in f32) goes
 * through memory one layer at a time. */
#define KEEP_BYTES (2ull << 30)

enum
{
  TEXT_PROMPT,
  TEXT_NEGATIVE,
  N_TEXTS
};

typedef struct
{
  int64_t *ids;
  size_t n, full; /* ids; how many there would be without the limit */
} Tokens;

typedef struct
{
  SoraUmt5 *encoder;
  uint64_t reserved; /* SORA_MEMORY_WEIGHTS */
} Instance;

/* What infer and run both begin with. */
typedef struct
{
  SoraUmt5Config config;
  int64_t max_tokens;
  Tokens texts[N_TEXTS];
} Request;

/* ---------------------------------------------------------------------------------------- the texts -- */

static void
request_clear (Request *request)
{
  for (int i = 0; i < N_TEXTS; i++)
    free (request->texts[i].ids);
}

static int
read_config (const SoraHost *host, SoraContext *ctx, SoraUmt5Config *config)
{
  static const char file[] = "text_encoder/config.json";
  const void *data;
  size_t size;
  char why[300];
  int r = host->model_file (ctx, "model", file, &data, &size);

  if (r == SORA_NOT_FOUND)
    return host->fail (ctx, "the model has no '%s'", file);
  if (r != SORA_OK)
    return r;
  if (sora_umt5_config_read (data, size, config, why, sizeof why) != 0)
    return host->fail (ctx, "%s", why);
  return SORA_OK;
}

static int
tokenise (const SoraHost *host, SoraContext *ctx, const SoraSpm *spm, const char *name, int may_be_empty,
          int64_t max, Tokens *tokens)
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
  r = sora_spm_encode (spm, clean, length, (size_t)max, &tokens->ids, &tokens->n, &tokens->full, why,
                       sizeof why);
  free (clean);
  return r == 0 ? SORA_OK : host->fail (ctx, "parameter '%s' cannot be tokenised: %s", name, why);
}

static int
request_read (const SoraHost *host, SoraContext *ctx, Request *request)
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
    r = tokenise (host, ctx, spm, "prompt", 0, request->max_tokens, &request->texts[TEXT_PROMPT]);
  if (r == SORA_OK)
    r = tokenise (host, ctx, spm, "negative-prompt", 1, request->max_tokens,
                  &request->texts[TEXT_NEGATIVE]);
  sora_spm_unref (spm);
  return r;
}

static void
warn_if_cut (const SoraHost *host, SoraContext *ctx, const char *name, const Tokens *tokens)
{
  if (tokens->full > tokens->n)
    host->log (ctx, SORA_LOG_WARNING,
               "parameter '%s' has %zu tokens, of which the first %zu and the end mark are used", name,
               tokens->full, tokens->n - 1);
}

/* ----------------------------------------------------------------------------------------- infer -- */

static int
set_embedding (const SoraHost *host, SoraContext *ctx, const char *port, const Request *request,
               const Tokens *tokens)
{
  const int64_t shape[] = { (int64_t)tokens->n, request->config.d_model };
  const SoraSpec spec = { .struct_size = sizeof spec, .dtype = SORA_F32, .shape = shape, .ndim = 2 };
  int r = host->set_output_spec (ctx, port, &spec);

  if (r == SORA_OK)
    r = host->set_output_attr_i64 (ctx, port, "padded_length", request->max_tokens);
  if (r == SORA_OK && tokens->full > tokens->n)
    r = host->set_output_attr_i64 (ctx, port, "tokens_in_full", (int64_t)tokens->full);
  return r;
}

/* Checks type and shape of one tensor from the file's header, and adds up its bytes. */
static int
check_tensor (const SoraHost *host, SoraContext *ctx, const char *name, const int64_t *shape, int ndim,
              uint64_t *bytes)
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
static const char *
table_name (const SoraHost *host, SoraContext *ctx)
{
  SoraTensorView view = { .struct_size = sizeof view };

  return host->model_tensor_info (ctx, "model", "text_encoder", "shared.weight", &view) == SORA_OK
             ? "shared.weight"
             : "encoder.embed_tokens.weight";
}

static int
check_tensors (const SoraHost *host, SoraContext *ctx, const SoraUmt5Config *config, uint64_t *bytes)
{
  const int64_t table[] = { config->vocab_size, config->d_model };
  const char *name = table_name (host, ctx);
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
    r = check_tensor (host, ctx, "encoder.final_layer_norm.weight", &table[1], 1, bytes);
  *bytes += table_bytes;
  return r;
}

static uint64_t
packed_bytes (const SoraUmt5Config *config)
{
  uint64_t all = sora_umt5_layer_bytes (config) * (uint64_t)config->num_layers;

  return all <= KEEP_BYTES ? all : sora_umt5_layer_bytes (config);
}

static uint64_t
work_bytes (const Request *request)
{
  size_t most = 0, all = 0;

  for (int i = 0; i < N_TEXTS; i++)
    {
      most = request->texts[i].n > most ? request->texts[i].n : most;
      all += request->texts[i].n;
    }
  return sora_umt5_work_bytes (&request->config, (int64_t)most)
         + (uint64_t)all * (uint64_t)request->config.d_model * 4;
}

static int
infer_request (const SoraHost *host, SoraContext *ctx, const Request *request)
{
  const Tokens *prompt = &request->texts[TEXT_PROMPT], *negative = &request->texts[TEXT_NEGATIVE];
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
  cost.packed_bytes = packed_bytes (&request->config);
  cost.work_bytes = work_bytes (request);
  cost.output_bytes
      = (uint64_t)(prompt->n + negative->n) * (uint64_t)request->config.d_model * 4 + 8 * prompt->n;
  cost.flops = sora_umt5_flops (&request->config, (int64_t)prompt->n)
               + sora_umt5_flops (&request->config, (int64_t)negative->n);
  cost.steps = (uint32_t)request->config.num_layers;
  return host->set_cost (ctx, &cost);
}

static int
text_infer (const SoraHost *host, SoraContext *ctx)
{
  Request request = { 0 };
  int r = request_read (host, ctx, &request);

  if (r == SORA_OK)
    r = infer_request (host, ctx, &request);
  request_clear (&request);
  return r;
}

/* ------------------------------------------------------------------------------------------- run -- */

/* What goes through host->compute: one layer, or what stands before or after them. */
typedef struct
{
  const SoraHost *host;
  Instance *instance;
  const SoraUmt5Config *config;
  SoraUmt5Segment segments[N_TEXTS];
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
  for (int i = 0; r == SORA_OK && i < N_TEXTS; i++)
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
  for (int i = 0; r == SORA_OK && i < N_TEXTS; i++)
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
  for (int i = 0; r == SORA_OK && i < N_TEXTS; i++)
    {
      SoraUmt5Segment *s = &work->segments[i];

      r = sora_umt5_finish (work->instance->encoder, &team, &work->views[0], s);
      for (int64_t j = 0; r == SORA_OK && j < s->n * work->config->d_model; j++)
        if (!isfinite (s->x[j]))
          r = sora_kit_team_fail (&team, "the text encoder gave no number for token %lld: are its weights whole?",
                                  (long long)(j / work->config->d_model));
    }
  return team_result (work->host, ctx, &team, r);
}

/* One tensor by name; infer has checked type and shape, but the file is another one by now perhaps. */
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
      return host->fail (ctx, "tensor '%s' has another shape than before: did the file change?", name);
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
      r = get_tensor (host, ctx, work->weights, tensor.name, tensor.shape, tensor.ndim, &work->views[i]);
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
  int r = get_tensor (host, ctx, work->weights, table_name (host, ctx), table, 2, &work->views[0]);

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
push_tokens (const SoraHost *host, SoraContext *ctx, const Tokens *tokens)
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
reserve (const SoraHost *host, SoraContext *ctx, Instance *instance, const Request *request)
{
  uint64_t packed = packed_bytes (&request->config);
  int r = SORA_OK;

  if (instance->reserved < packed)
    r = host->reserve (ctx, SORA_MEMORY_WEIGHTS, packed - instance->reserved);
  if (r != SORA_OK)
    return r;
  instance->reserved = instance->reserved < packed ? packed : instance->reserved;
  return host->reserve (ctx, SORA_MEMORY_WORK, work_bytes (request));
}

static int
run_request (const SoraHost *host, SoraContext *ctx, Instance *instance, const Request *request)
{
  static const char *const ports[N_TEXTS] = { "embedding", "negative" };
  const SoraUmt5Config *config = &request->config;
  SoraTensor *outputs[N_TEXTS] = { NULL };
  Work work = { .host = host, .instance = instance, .config = config,
                .keep = packed_bytes (config)
                        == sora_umt5_layer_bytes (config) * (uint64_t)config->num_layers };
  int r = reserve (host, ctx, instance, request);

  for (int i = 0; r == SORA_OK && i < N_TEXTS; i++)
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
      r = run_layers (host, ctx, &work);
      host->weights_close (work.weights);
    }
  for (int i = 0; i < N_TEXTS; i++)
    if (r == SORA_OK)
      r = host->push (ctx, ports[i], outputs[i]);
    else if (outputs[i] != NULL)
      host->tensor_unref (outputs[i]);
  return r == SORA_OK ? push_tokens (host, ctx, &request->texts[TEXT_PROMPT]) : r;
}

static int
text_create (const SoraHost *host, SoraContext *ctx, void **instance)
{
  *instance = calloc (1, sizeof (Instance));
  return *instance != NULL ? SORA_OK : host->fail (ctx, "out of memory");
}

static int
text_run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  Request request = { 0 };
  int r = request_read (host, ctx, &request);

  if (r == SORA_OK)
    {
      warn_if_cut (host, ctx, "prompt", &request.texts[TEXT_PROMPT]);
      warn_if_cut (host, ctx, "negative-prompt", &request.texts[TEXT_NEGATIVE]);
      r = run_request (host, ctx, instance, &request);
    }
  request_clear (&request);
  return r;
}

static void
text_release (const SoraHost *host, void *data)
{
  Instance *instance = data;

  sora_umt5_free (instance->encoder);
  *instance = (Instance){ 0 };
}

static void
text_destroy (const SoraHost *host, void *data)
{
  text_release (host, data);
  free (data);
}

/* --------------------------------------------------------------------------------- what it declares -- */

static const SoraPort embedding_port = {
  .struct_size = sizeof (SoraPort),
  .flags = SORA_PORT_CACHEABLE,
  .name = "embedding",
  .semantic = "sora.text.embedding/1",
  .dtypes = SORA_DTYPE_BIT (SORA_F32),
  .dims = "N,D",
  .help = "The prompt's real tokens, one row each; a denoiser pads with zero rows up to padded_length",
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
static const SoraParam *const params[] = { &prompt_param, &negative_param, &max_tokens_param, NULL };

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
  .infer = text_infer,
  .create = text_create,
  .run = text_run,
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
