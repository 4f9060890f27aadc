/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The smallest host: one stage, one run at a time, on the caller's thread.  Breaches of the ABI
 * abort with a message.
 */
#include "mini-host-private.h"

#include <malloc.h>

const SoraStageClass *
mini_host_load (const char *path, const char *stage)
{
  void *module = dlopen (path, RTLD_NOW | RTLD_LOCAL);
  if (module == NULL)
    BREACH ("%s", dlerror ());
  const SoraPlugin *plugin = dlsym (module, SORA_PLUGIN_SYMBOL);
  if (plugin == NULL || plugin->magic != SORA_PLUGIN_MAGIC || plugin->struct_size < sizeof *plugin
      || plugin->abi_major != SORA_ABI_MAJOR)
    BREACH ("%s has no good descriptor", path);
  for (int i = 0; plugin->stages[i] != NULL; i++)
    if (strcmp (plugin->stages[i]->id, stage) == 0)
      return plugin->stages[i];
  BREACH ("%s has no stage '%s'", path, stage);
}

void
mini_host_tmp (char *path, size_t size, const char *name)
{
  const char *base = getenv ("TMPDIR");
  if (snprintf (path, size, "%s/%s", base != NULL ? base : "/tmp", name) >= (int)size)
    BREACH ("TMPDIR is too long: '%s'", base);
}

MiniHost *
mini_host_new (const SoraStageClass *stage, const char *model_dir, int threads)
{
  MiniHost *mini = calloc (1, sizeof *mini);
  mini->ctx.host = mini_table;
  mini->ctx.stage = stage;
  mini->ctx.threads = threads;
  mini->ctx.cancel_after = -1;
  mini->ctx.memory_limit = UINT64_MAX;
  mini->ctx.control = control_bits ();
  snprintf (mini->ctx.model_dir, sizeof mini->ctx.model_dir, "%s", model_dir ? model_dir : "");
  return mini;
}

void
mini_host_free (MiniHost *mini)
{
  SoraContext *ctx = &mini->ctx;
  if (ctx->created && ctx->stage->release != NULL)
    ctx->stage->release (&ctx->host, ctx->instance);
  if (ctx->created && ctx->stage->destroy != NULL)
    ctx->stage->destroy (&ctx->host, ctx->instance);
  for (int i = 0; i < MAX_ITEMS; i++)
    {
      mini_flow_clear (&ctx->inputs[i]);
      mini_flow_clear (&ctx->outputs[i]);
      free (ctx->values[i].string);
    }
  for (int i = 0; i < ctx->n_files; i++)
    free (ctx->files[i]);
  mini_weights_free (ctx->header);
  free (ctx->checkpoint);
  free (ctx->preview);
  free (mini);
}

static Value *
value_of (MiniHost *mini, const char *name, unsigned types)
{
  Phase phase = mini->ctx.phase;
  mini->ctx.phase = RUN;
  Value *value = &mini->ctx.values[mini_find_param (&mini->ctx, name, types)];
  mini->ctx.phase = phase;
  value->set = 1;
  return value;
}

void
mini_host_set_i64 (MiniHost *mini, const char *name, int64_t v)
{
  value_of (mini, name, 1u << SORA_PARAM_I64 | 1u << SORA_PARAM_BOOL)->i64 = v;
}

void
mini_host_set_f64 (MiniHost *mini, const char *name, double v)
{
  value_of (mini, name, 1u << SORA_PARAM_F64)->f64 = v;
}

void
mini_host_set_f64s (MiniHost *mini, const char *name, const double *values, size_t n)
{
  Value *value = value_of (mini, name, 1u << SORA_PARAM_F64_LIST);
  if (n > sizeof value->f64s / sizeof *value->f64s)
    abort ();
  memcpy (value->f64s, values, n * sizeof *values);
  value->n = n;
}

void
mini_host_set_string (MiniHost *mini, const char *name, const char *v)
{
  Value *value = value_of (mini, name, 1u << SORA_PARAM_STRING | 1u << SORA_PARAM_ENUM);
  free (value->string);
  value->string = strdup (v);
}

void
mini_host_set_seed (MiniHost *mini, uint64_t seed)
{
  mini->ctx.seed = seed;
}

void
mini_host_set_threads (MiniHost *mini, int threads)
{
  mini->ctx.threads = threads;
}

void
mini_host_input (MiniHost *mini, const char *port, int dtype, int ndim, const int64_t *shape,
                 const void *data)
{
  Flow *flow = mini_input_of (&mini->ctx, port);
  SoraTensor *tensor = mini_host_tensor_new (&mini->ctx, dtype, ndim, shape);
  memcpy (tensor->data, data, tensor->nbytes);
  mini_flow_add (flow, tensor);
  int64_t first = flow->has_spec ? flow->shape[0] : 0, chunk = flow->spec.chunk;
  memcpy (flow->shape, shape, (size_t)ndim * sizeof *shape);
  flow->shape[0] += first;
  flow->spec = (SoraSpec){ .struct_size = sizeof flow->spec,
                           .dtype = dtype,
                           .shape = flow->shape,
                           .ndim = ndim,
                           .chunk = shape[0] > chunk ? shape[0] : chunk };
  flow->has_spec = 1;
}

void
mini_host_input_attr_i64 (MiniHost *mini, const char *port, const char *name, int64_t value)
{
  mini_input_of (&mini->ctx, port);
  mini_add_attr (mini->ctx.in_attrs, &mini->ctx.n_in_attrs, port, name, value, NAN);
}

void
mini_host_input_attr_f64 (MiniHost *mini, const char *port, const char *name, double value)
{
  mini_input_of (&mini->ctx, port);
  mini_add_attr (mini->ctx.in_attrs, &mini->ctx.n_in_attrs, port, name, 0, value);
}

void
mini_host_clear_inputs (MiniHost *mini)
{
  for (int i = 0; i < MAX_ITEMS; i++)
    {
      mini_flow_clear (&mini->ctx.inputs[i]);
      mini->ctx.inputs[i].has_spec = 0;
      mini->ctx.inputs[i].spec.chunk = 0;
    }
  mini->ctx.n_in_attrs = 0;
}

void
mini_host_cancel_after (MiniHost *mini, int n)
{
  mini->ctx.cancel_after = n;
  mini->ctx.asked = 0;
}

void
mini_host_keep_checkpoints (MiniHost *mini)
{
  mini->ctx.keeps = 1;
}

void
mini_host_break_checkpoints (MiniHost *mini)
{
  mini->ctx.fails_load = 1;
}

void
mini_host_weigh (MiniHost *mini)
{
  mini->ctx.weighs = 1;
}

uint64_t
mini_host_heap_peak (const MiniHost *mini)
{
  return mini->ctx.heap_peak;
}

uint64_t
mini_host_heap (void)
{
#if defined(__GLIBC__)
  struct mallinfo2 info = mallinfo2 ();
  return info.uordblks + info.hblkhd;
#else
  return 0;
#endif
}

void
mini_host_limit (MiniHost *mini, uint64_t bytes)
{
  mini->ctx.memory_limit = bytes;
}

const char *
mini_host_note (const MiniHost *mini)
{
  return mini->ctx.notes;
}

uint64_t
mini_host_scratch (const MiniHost *mini)
{
  return mini->ctx.scratch_bytes;
}

void
mini_host_watch (MiniHost *mini)
{
  mini->ctx.watched = 1;
}

const uint8_t *
mini_host_preview (const MiniHost *mini, int64_t shape[2], int *count)
{
  shape[0] = mini->ctx.preview_shape[0];
  shape[1] = mini->ctx.preview_shape[1];
  *count = mini->ctx.n_previews;
  return mini->ctx.preview;
}

static int
finish (MiniHost *mini, int result, const char *what)
{
  SoraContext *ctx = &mini->ctx;
  if (control_bits () != ctx->control)
    BREACH ("the floating-point control bits changed in %s", what);
  if (result == SORA_FAILED && ctx->error[0] == '\0')
    BREACH ("%s failed without a reason", what);
  /* What model_file() gave lives as long as the call of infer, or the instance. */
  while (ctx->phase == INFER && ctx->n_files > ctx->n_kept_files)
    free (ctx->files[--ctx->n_files]);
  ctx->n_kept_files = ctx->n_files;
  ctx->phase = IDLE;
  return result;
}

int
mini_host_infer (MiniHost *mini)
{
  SoraContext *ctx = &mini->ctx;
  ctx->error[0] = ctx->warning[0] = '\0';
  ctx->n_out_attrs = 0;
  memset (&ctx->cost, 0, sizeof ctx->cost);
  ctx->phase = INFER;
  return finish (mini, ctx->stage->infer (&ctx->host, ctx), "infer");
}

int
mini_host_run (MiniHost *mini)
{
  SoraContext *ctx = &mini->ctx;
  ctx->error[0] = '\0';
  if (!ctx->created && ctx->stage->create != NULL)
    {
      ctx->phase = CREATE;
      int result = finish (mini, ctx->stage->create (&ctx->host, ctx, &ctx->instance), "create");
      if (result != SORA_OK)
        return result;
    }
  ctx->created = 1;
  for (int i = 0; i < MAX_ITEMS; i++)
    {
      mini_flow_clear (&ctx->outputs[i]);
      ctx->inputs[i].at = 0;
    }
  ctx->step = 0;
  ctx->asked = 0;
  ctx->scratch_bytes = 0;
  ctx->notes[0] = '\0';
  ctx->phase = RUN;
  ctx->heap_peak = 0;
  uint64_t before = mini_host_heap ();
  int result = finish (mini, ctx->stage->run (&ctx->host, ctx, ctx->instance), "run");
  ctx->heap_peak = ctx->heap_peak > before ? ctx->heap_peak - before : 0;
  ctx->reserved[SORA_MEMORY_WORK] = 0;
  return result;
}

void
mini_host_release (MiniHost *mini)
{
  if (mini->ctx.created && mini->ctx.stage->release != NULL)
    mini->ctx.stage->release (&mini->ctx.host, mini->ctx.instance);
  mini->ctx.reserved[SORA_MEMORY_WEIGHTS] = 0;
}

const char *
mini_host_error (const MiniHost *mini)
{
  return mini->ctx.error;
}

const char *
mini_host_warning (const MiniHost *mini)
{
  return mini->ctx.warning;
}

const SoraCost *
mini_host_cost (const MiniHost *mini)
{
  return &mini->ctx.cost;
}

const SoraSpec *
mini_host_output_spec (const MiniHost *mini, const char *port)
{
  const Flow *flow = mini_output_of (&mini->ctx, port);
  return flow->has_spec ? &flow->spec : NULL;
}

size_t
mini_host_n_outputs (const MiniHost *mini, const char *port)
{
  return mini_output_of (&mini->ctx, port)->n;
}

void
mini_host_output (const MiniHost *mini, const char *port, size_t index, SoraTensorView *view)
{
  view->struct_size = sizeof *view;
  mini_host_tensor_view (mini_output_of (&mini->ctx, port)->items[index], view);
}

int
mini_host_output_attr_i64 (const MiniHost *mini, const char *port, const char *name, int64_t *value)
{
  const Attr *attr = mini_find_attr (mini->ctx.out_attrs, mini->ctx.n_out_attrs, port, name);
  if (attr == NULL || !isnan (attr->real))
    return SORA_NOT_FOUND;
  *value = attr->value;
  return SORA_OK;
}

int
mini_host_output_attr_f64 (const MiniHost *mini, const char *port, const char *name, double *value)
{
  const Attr *attr = mini_find_attr (mini->ctx.out_attrs, mini->ctx.n_out_attrs, port, name);
  if (attr == NULL || isnan (attr->real))
    return SORA_NOT_FOUND;
  *value = attr->real;
  return SORA_OK;
}

int
mini_host_live_tensors (const MiniHost *mini)
{
  return mini->ctx.live;
}

uint64_t
mini_host_reserved (const MiniHost *mini, int kind)
{
  return mini->ctx.reserved[kind];
}

uint64_t
mini_host_peak (const MiniHost *mini, int kind)
{
  return mini->ctx.peak[kind];
}

uint32_t
mini_host_steps (const MiniHost *mini)
{
  return mini->ctx.step;
}

int
mini_host_n_weights_open (const MiniHost *mini)
{
  return mini->ctx.n_weights;
}

int
mini_host_n_checkpoints (const MiniHost *mini)
{
  return mini->ctx.n_checkpoints;
}
