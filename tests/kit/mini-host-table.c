/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The host table of the smallest host: every function checks its phase and the floating-point
 * control bits.
 */
#include "mini-host-private.h"

#include <unistd.h>

static void
enter (SoraContext *ctx, int phases, const char *what)
{
  if (!(ctx->phase & phases))
    BREACH ("%s in the wrong phase", what);
  if (!ctx->in_compute && control_bits () != ctx->control)
    BREACH ("the floating-point control bits changed before %s", what);
}

/* ------------------------------------------------------------------------------------------------
 * words -- */

static void
host_log (SoraContext *ctx, int level, const char *format, ...)
{
  char text[1024];
  va_list args;
  va_start (args, format);
  vsnprintf (text, sizeof text, format, args);
  va_end (args);
  if (ctx != NULL && level == SORA_LOG_WARNING)
    snprintf (ctx->warning, sizeof ctx->warning, "%s", text);
  else if (ctx != NULL)
    snprintf (ctx->notes, sizeof ctx->notes, "%s", text);
  if (getenv ("SORA_TEST_LOG") != NULL)
    fprintf (stderr, "%s\n", text);
}

static int
host_fail (SoraContext *ctx, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  if (ctx->error[0] == '\0')
    vsnprintf (ctx->error, sizeof ctx->error, format, args);
  va_end (args);
  return SORA_FAILED;
}

/* -------------------------------------------------------------------------------------------
 * parameters -- */

int
mini_find_param (SoraContext *ctx, const char *name, unsigned types)
{
  enter (ctx, INFER | CREATE | RUN, name);
  for (int i = 0; ctx->stage->params != NULL && ctx->stage->params[i] != NULL; i++)
    if (strcmp (ctx->stage->params[i]->name, name) == 0)
      {
        if (!(types & 1u << ctx->stage->params[i]->type))
          BREACH ("parameter '%s' asked for by another type", name);
        if (ctx->phase == CREATE && !(ctx->stage->params[i]->flags & SORA_PARAM_LOAD))
          BREACH ("run-time parameter '%s' asked for in create", name);
        return i;
      }
  BREACH ("undeclared parameter '%s'", name);
}

static int
host_param_is_set (SoraContext *ctx, const char *name)
{
  return ctx->values[mini_find_param (ctx, name, ~0u)].set;
}

static int
host_param_bool (SoraContext *ctx, const char *name, int *value)
{
  int i = mini_find_param (ctx, name, 1u << SORA_PARAM_BOOL);
  *value = (ctx->values[i].set ? ctx->values[i].i64 : ctx->stage->params[i]->i64_default) != 0;
  return SORA_OK;
}

static int
host_param_i64 (SoraContext *ctx, const char *name, int64_t *value)
{
  int i = mini_find_param (ctx, name, 1u << SORA_PARAM_I64);
  *value = ctx->values[i].set ? ctx->values[i].i64 : ctx->stage->params[i]->i64_default;
  return SORA_OK;
}

static int
host_param_f64 (SoraContext *ctx, const char *name, double *value)
{
  int i = mini_find_param (ctx, name, 1u << SORA_PARAM_F64);
  *value = ctx->values[i].set ? ctx->values[i].f64 : ctx->stage->params[i]->f64_default;
  return SORA_OK;
}

static int
host_param_string (SoraContext *ctx, const char *name, const char **value)
{
  int i = mini_find_param (ctx, name, 1u << SORA_PARAM_STRING | 1u << SORA_PARAM_ENUM);
  *value = ctx->values[i].set ? ctx->values[i].string : ctx->stage->params[i]->str_default;
  if (*value == NULL)
    *value = "";
  return SORA_OK;
}

static int
host_param_f64s (SoraContext *ctx, const char *name, const double **values, size_t *n)
{
  int i = mini_find_param (ctx, name, 1u << SORA_PARAM_F64_LIST);
  *values = ctx->values[i].f64s;
  *n = ctx->values[i].n;
  return SORA_OK;
}

/* ------------------------------------------------------------------------------------------------
 * ports -- */

static Flow *
find_flow (SoraContext *ctx, Flow *flows, const SoraPort *const *ports, const char *name)
{
  for (int i = 0; ports != NULL && ports[i] != NULL; i++)
    if (strcmp (ports[i]->name, name) == 0)
      return &flows[i];
  BREACH ("unknown port '%s'", name);
}

Flow *
mini_input_of (SoraContext *ctx, const char *port)
{
  return find_flow (ctx, ctx->inputs, ctx->stage->inputs, port);
}

Flow *
mini_output_of (const SoraContext *ctx, const char *port)
{
  SoraContext *self = (SoraContext *)(uintptr_t)ctx;
  return find_flow (self, self->outputs, self->stage->outputs, port);
}

static int
host_input_spec (SoraContext *ctx, const char *port, SoraSpec *spec)
{
  enter (ctx, INFER | RUN, "input_spec");
  Flow *flow = mini_input_of (ctx, port);
  if (!flow->has_spec)
    return SORA_NOT_FOUND;
  *spec = flow->spec;
  spec->shape = flow->shape;
  return SORA_OK;
}

static int
host_set_output_spec (SoraContext *ctx, const char *port, const SoraSpec *spec)
{
  enter (ctx, INFER, "set_output_spec");
  Flow *flow = mini_output_of (ctx, port);
  flow->spec = *spec;
  memcpy (flow->shape, spec->shape, (size_t)spec->ndim * sizeof *flow->shape);
  flow->spec.shape = flow->shape;
  flow->has_spec = 1;
  return SORA_OK;
}

static int
host_set_cost (SoraContext *ctx, const SoraCost *cost)
{
  enter (ctx, INFER, "set_cost");
  ctx->cost = *cost;
  return SORA_OK;
}

const Attr *
mini_find_attr (const Attr *attrs, int n, const char *port, const char *name)
{
  for (int i = n - 1; i >= 0; i--)
    if (strcmp (attrs[i].port, port) == 0 && strcmp (attrs[i].name, name) == 0)
      return &attrs[i];
  return NULL;
}

void
mini_add_attr (Attr *attrs, int *n, const char *port, const char *name, int64_t value, double real)
{
  if (*n == MAX_ITEMS)
    BREACH ("more than %d attributes", MAX_ITEMS);
  snprintf (attrs[*n].port, sizeof attrs->port, "%s", port);
  snprintf (attrs[*n].name, sizeof attrs->name, "%s", name);
  attrs[*n].real = real;
  attrs[(*n)++].value = value;
}

static int
host_input_attr_i64 (SoraContext *ctx, const char *port, const char *name, int64_t *value)
{
  enter (ctx, INFER | RUN, "input_attr_i64");
  const Attr *attr = mini_find_attr (ctx->in_attrs, ctx->n_in_attrs, port, name);
  if (attr == NULL || !isnan (attr->real))
    return SORA_NOT_FOUND;
  *value = attr->value;
  return SORA_OK;
}

static int
host_input_attr_f64 (SoraContext *ctx, const char *port, const char *name, double *value)
{
  enter (ctx, INFER | RUN, "input_attr_f64");
  const Attr *attr = mini_find_attr (ctx->in_attrs, ctx->n_in_attrs, port, name);
  if (attr == NULL || isnan (attr->real))
    return SORA_NOT_FOUND;
  *value = attr->real;
  return SORA_OK;
}

static int
host_no_attr_string (SoraContext *ctx, const char *port, const char *name, const char **value)
{
  return SORA_NOT_FOUND;
}

static int
host_set_output_attr_i64 (SoraContext *ctx, const char *port, const char *name, int64_t value)
{
  enter (ctx, INFER, "set_output_attr_i64");
  mini_output_of (ctx, port);
  mini_add_attr (ctx->out_attrs, &ctx->n_out_attrs, port, name, value, NAN);
  return SORA_OK;
}

static int
host_set_output_attr_f64 (SoraContext *ctx, const char *port, const char *name, double value)
{
  enter (ctx, INFER, "set_output_attr_f64");
  mini_output_of (ctx, port);
  mini_add_attr (ctx->out_attrs, &ctx->n_out_attrs, port, name, 0, value);
  return SORA_OK;
}

static int
host_set_output_attr_string (SoraContext *ctx, const char *port, const char *name,
                             const char *value)
{
  enter (ctx, INFER, "set_output_attr_string");
  return SORA_OK;
}

/* ----------------------------------------------------------------------------------------------
 * tensors -- */

SoraTensor *
mini_host_tensor_new (SoraContext *ctx, int dtype, int ndim, const int64_t *shape)
{
  SoraTensor *tensor = calloc (1, sizeof *tensor);
  if (ndim > MAX_RANK || sora_kit_dtype_size (dtype) == 0)
    BREACH ("tensor of rank %d, dtype %d", ndim, dtype);
  tensor->owner = ctx;
  tensor->refs = 1;
  tensor->dtype = dtype;
  tensor->ndim = ndim;
  tensor->nbytes = sora_kit_dtype_size (dtype);
  for (int i = ndim - 1; i >= 0; i--)
    {
      tensor->shape[i] = shape[i];
      tensor->strides[i] = (int64_t)(tensor->nbytes / sora_kit_dtype_size (dtype));
      tensor->nbytes *= (uint64_t)shape[i];
    }
  tensor->data = sora_kit_alloc (tensor->nbytes, 1);
  memset (tensor->data, 0xa5, tensor->nbytes);
  ctx->live++;
  return tensor;
}

static SoraTensor *
host_tensor_ref (SoraTensor *tensor)
{
  tensor->refs++;
  return tensor;
}

static void
host_tensor_unref (SoraTensor *tensor)
{
  if (--tensor->refs > 0)
    return;
  tensor->owner->live--;
  if (tensor->base != NULL)
    host_tensor_unref (tensor->base);
  else
    sora_kit_free (tensor->data);
  free (tensor);
}

void
mini_host_tensor_view (SoraTensor *tensor, SoraTensorView *view)
{
  if (view->struct_size != sizeof *view)
    BREACH ("a view without its struct_size");
  *view = (SoraTensorView){ .struct_size = sizeof *view,
                            .dtype = tensor->dtype,
                            .data = tensor->data,
                            .shape = tensor->shape,
                            .strides = tensor->strides,
                            .ndim = tensor->ndim,
                            .nbytes = tensor->nbytes };
}

static SoraTensor *
host_make_writable (SoraContext *ctx, SoraTensor *tensor)
{
  if (tensor->refs == 1 && tensor->base == NULL)
    return tensor;
  SoraTensor *copy = mini_host_tensor_new (ctx, tensor->dtype, tensor->ndim, tensor->shape);
  memcpy (copy->data, tensor->data, tensor->nbytes);
  host_tensor_unref (tensor);
  return copy;
}

static SoraTensor *
host_tensor_slice (SoraTensor *tensor, int64_t start, int64_t length)
{
  SoraTensor *slice = calloc (1, sizeof *slice);
  if (tensor->ndim < 1 || start < 0 || length < 0 || start + length > tensor->shape[0])
    BREACH ("a slice out of range");
  *slice = *tensor;
  slice->refs = 1;
  slice->base = host_tensor_ref (tensor);
  slice->shape[0] = length;
  slice->nbytes = tensor->nbytes / (uint64_t)tensor->shape[0] * (uint64_t)length;
  slice->data = (char *)tensor->data
                + start * tensor->strides[0] * (int64_t)sora_kit_dtype_size (tensor->dtype);
  tensor->owner->live++;
  return slice;
}

void
mini_flow_add (Flow *flow, SoraTensor *tensor)
{
  flow->items = realloc (flow->items, (flow->n + 1) * sizeof *flow->items);
  flow->items[flow->n++] = tensor;
  tensor->owner->live--;
}

void
mini_flow_clear (Flow *flow)
{
  for (size_t i = 0; i < flow->n; i++)
    {
      flow->items[i]->owner->live++;
      host_tensor_unref (flow->items[i]);
    }
  free (flow->items);
  flow->items = NULL;
  flow->n = flow->at = 0;
}

static int
host_pull (SoraContext *ctx, const char *port, SoraTensor **tensor)
{
  enter (ctx, RUN, "pull");
  Flow *flow = mini_input_of (ctx, port);
  if (!flow->has_spec)
    BREACH ("pull from the unconnected input '%s'", port);
  if (flow->at == flow->n)
    return SORA_EOS;
  *tensor = host_tensor_ref (flow->items[flow->at++]);
  return SORA_OK;
}

static int
host_push (SoraContext *ctx, const char *port, SoraTensor *tensor)
{
  enter (ctx, RUN, "push");
  mini_flow_add (mini_output_of (ctx, port), tensor);
  return SORA_OK;
}

/* -------------------------------------------------------------------------------------------------
 * work -- */

static int
host_compute (SoraContext *ctx, int (*fn) (SoraContext *ctx, void *data, int threads), void *data)
{
  enter (ctx, RUN, "compute");
  ctx->in_compute = 1;
  uint64_t saved = sora_kit_fp_enter ();
  int result = fn (ctx, data, ctx->threads);
  sora_kit_fp_leave (saved);
  ctx->in_compute = 0;
  return result;
}

static int
host_cancelled (SoraContext *ctx)
{
  int asked;
#pragma omp atomic capture
  asked = ctx->asked++;
  if (ctx->weighs)
    {
#pragma omp critical(mini_host_weigh)
      {
        uint64_t now = mini_host_heap ();
        ctx->heap_peak = now > ctx->heap_peak ? now : ctx->heap_peak;
      }
    }
  return ctx->cancel_after >= 0 && asked >= ctx->cancel_after;
}

static void
host_progress (SoraContext *ctx, double fraction, uint32_t step, uint32_t steps)
{
  if (!(fraction >= 0 && fraction <= 1) || step > steps)
    BREACH ("progress of %g, step %u of %u", fraction, step, steps);
  ctx->step = step;
}

static int
host_seed (SoraContext *ctx, uint64_t *seed)
{
  enter (ctx, RUN, "seed");
  *seed = ctx->seed;
  return SORA_OK;
}

static int
host_random_key (SoraContext *ctx, const char *name, uint8_t key[32])
{
  enter (ctx, RUN, "random_key");
  for (int i = 0; i < 32; i++)
    key[i] = (uint8_t)(ctx->seed >> (i % 8 * 8)) ^ (uint8_t)name[(size_t)i % strlen (name)];
  return SORA_OK;
}

/* -----------------------------------------------------------------------------------------------
 * models -- */

static int
host_model_file (SoraContext *ctx, const char *slot, const char *name, const void **data,
                 size_t *size)
{
  char path[1024];
  enter (ctx, INFER | CREATE | RUN, "model_file");
  snprintf (path, sizeof path, "%s/%s", ctx->model_dir, name);
  FILE *file = ctx->model_dir[0] != '\0' ? fopen (path, "rb") : NULL;
  if (file == NULL)
    return SORA_NOT_FOUND;
  if (ctx->n_files == MAX_FILES)
    BREACH ("more than %d model files", MAX_FILES);
  fseek (file, 0, SEEK_END);
  *size = (size_t)ftell (file);
  rewind (file);
  void *bytes = malloc (*size + 1);
  if (fread (bytes, 1, *size, file) != *size)
    abort ();
  fclose (file);
  ctx->files[ctx->n_files++] = bytes;
  *data = bytes;
  return SORA_OK;
}

static SoraWeights *
weights_new (SoraContext *ctx, const char *component)
{
  char path[1024];
  const size_t given = strlen (ctx->model_dir);
  if (given > 12 && strcmp (ctx->model_dir + given - 12, ".safetensors") == 0)
    {
      MiniFile *whole = mini_file_open (ctx->model_dir); /* the model is one file */
      SoraWeights *one = whole != NULL ? calloc (1, sizeof *one) : NULL;
      if (one != NULL)
        {
          one->mini = (MiniHost *)ctx;
          one->files[one->n_files++] = whole;
        }
      return one;
    }
  snprintf (path, sizeof path, "%s/%s", ctx->model_dir, component);
  DIR *dir = opendir (path);
  if (dir == NULL)
    return NULL;
  SoraWeights *weights = calloc (1, sizeof *weights);
  weights->mini = (MiniHost *)ctx;
  struct dirent *entry;
  while ((entry = readdir (dir)) != NULL)
    {
      size_t length = strlen (entry->d_name);
      if (length < 12 || strcmp (entry->d_name + length - 12, ".safetensors") != 0)
        continue;
      snprintf (path, sizeof path, "%s/%s/%.200s", ctx->model_dir, component, entry->d_name);
      weights->files[weights->n_files++] = mini_file_open (path);
    }
  closedir (dir);
  return weights;
}

void
mini_weights_free (SoraWeights *weights)
{
  for (int i = 0; weights != NULL && i < weights->n_files; i++)
    mini_file_close (weights->files[i]);
  free (weights);
}

static int
host_weights_tensor (SoraWeights *weights, const char *tensor, SoraTensorView *view)
{
  if (view->struct_size != sizeof *view)
    BREACH ("a view without its struct_size");
  for (int i = 0; i < weights->n_files; i++)
    if (mini_file_tensor (weights->files[i], tensor, view) == SORA_OK)
      return SORA_OK;
  return SORA_NOT_FOUND;
}

static int
host_model_tensor_info (SoraContext *ctx, const char *slot, const char *component,
                        const char *tensor, SoraTensorView *view)
{
  enter (ctx, INFER | CREATE | RUN, "model_tensor_info");
  if (ctx->header == NULL || strcmp (ctx->header_component, component) != 0)
    {
      mini_weights_free (ctx->header);
      ctx->header = weights_new (ctx, component);
      snprintf (ctx->header_component, sizeof ctx->header_component, "%s", component);
    }
  int result
      = ctx->header == NULL ? SORA_NOT_FOUND : host_weights_tensor (ctx->header, tensor, view);
  view->data = NULL;
  return result;
}

static int
host_weights_open (SoraContext *ctx, const char *slot, const char *component, SoraWeights **weights)
{
  enter (ctx, RUN, "weights_open");
  *weights = weights_new (ctx, component);
  if (*weights == NULL)
    return host_fail (ctx, "model: component '%s' is missing", component);
  ctx->n_weights++;
  return SORA_OK;
}

static int
host_weights_tensor_name (SoraWeights *weights, size_t index, const char **name)
{
  for (int i = 0; i < weights->n_files; i++)
    {
      size_t n = mini_file_n_tensors (weights->files[i]);
      if (index < n)
        {
          *name = mini_file_name (weights->files[i], index);
          return SORA_OK;
        }
      index -= n;
    }
  return SORA_NOT_FOUND;
}

static void
host_weights_done (SoraWeights *weights, const char *tensor)
{
  SoraTensorView view = { .struct_size = sizeof view };
  if (host_weights_tensor (weights, tensor, &view) != SORA_OK)
    BREACH ("weights_done for the unknown tensor '%s'", tensor);
}

static void
host_weights_close (SoraWeights *weights)
{
  weights->mini->ctx.n_weights--;
  mini_weights_free (weights);
}

/* ------------------------------------------------------------------------------------- memory and
 * state -- */

static int
host_reserve (SoraContext *ctx, int kind, uint64_t bytes)
{
  enter (ctx, RUN, "reserve");
  ctx->reserved[kind] += bytes;
  if (ctx->reserved[kind] > ctx->peak[kind])
    ctx->peak[kind] = ctx->reserved[kind];
  return SORA_OK;
}

static int
host_unreserve (SoraContext *ctx, int kind, uint64_t bytes)
{
  enter (ctx, RUN, "unreserve");
  if (bytes > ctx->reserved[kind])
    BREACH ("unreserve of more than was reserved");
  ctx->reserved[kind] -= bytes;
  return SORA_OK;
}

static int
host_checkpoint_save (SoraContext *ctx, const void *data, size_t size)
{
  enter (ctx, RUN, "checkpoint_save");
  if (!ctx->keeps)
    return SORA_UNAVAILABLE;
  free (ctx->checkpoint);
  ctx->checkpoint = malloc (size);
  memcpy (ctx->checkpoint, data, size);
  ctx->checkpoint_size = size;
  ctx->n_checkpoints++;
  return SORA_OK;
}

static int
host_checkpoint_load (SoraContext *ctx, const void **data, size_t *size)
{
  enter (ctx, RUN, "checkpoint_load");
  if (ctx->fails_load)
    return host_fail (ctx, "the checkpoint's key cannot be made");
  if (ctx->checkpoint == NULL)
    return SORA_NOT_FOUND;
  *data = ctx->checkpoint;
  *size = ctx->checkpoint_size;
  return SORA_OK;
}

static int
host_scratch (SoraContext *ctx, uint64_t bytes, int *fd)
{
  enter (ctx, RUN, "scratch");
  char name[256];
  mini_host_tmp (name, sizeof name, "sora-test-scratch-XXXXXX");
  *fd = mkstemp (name);
  if (*fd < 0 || unlink (name) != 0 || ftruncate (*fd, (off_t)bytes) != 0)
    abort ();
  ctx->scratch_bytes += bytes;
  return SORA_OK;
}

static int
host_memory_limit (SoraContext *ctx, uint64_t *bytes)
{
  enter (ctx, INFER | RUN, "memory_limit");
  *bytes = ctx->memory_limit;
  return SORA_OK;
}

static int
host_preview_wanted (SoraContext *ctx)
{
  return ctx->watched;
}

static void
host_preview (SoraContext *ctx, SoraTensor *picture)
{
  SoraTensorView view = { .struct_size = sizeof view };
  mini_host_tensor_view (picture, &view);
  if (view.dtype != SORA_U8 || view.ndim != 3 || view.shape[2] != 3)
    BREACH ("a preview is u8 [H, W, 3]");
  free (ctx->preview);
  ctx->preview = malloc (view.nbytes);
  memcpy (ctx->preview, view.data, view.nbytes);
  memcpy (ctx->preview_shape, view.shape, sizeof ctx->preview_shape);
  ctx->n_previews++;
}

static int
host_file_create (SoraContext *ctx, const char *port, const char *name, const char *media_type,
                  int *fd)
{
  return SORA_UNAVAILABLE;
}

static int
host_info (SoraContext *ctx, const char *key, const char **value)
{
  return SORA_NOT_FOUND;
}

static int
host_param_strings (SoraContext *ctx, const char *name, const char *const **values, size_t *n)
{
  BREACH ("lists of strings are not there: '%s'", name);
}

static int
host_param_file (SoraContext *ctx, const char *name, const void **data, size_t *size)
{
  BREACH ("files are not there: '%s'", name);
}

const SoraHost mini_table = {
  .struct_size = sizeof (SoraHost),
  .abi_major = SORA_ABI_MAJOR,
  .abi_minor = SORA_ABI_MINOR,
  .version = "0.0.0",
  .log = host_log,
  .fail = host_fail,
  .param_is_set = host_param_is_set,
  .param_bool = host_param_bool,
  .param_i64 = host_param_i64,
  .param_f64 = host_param_f64,
  .param_string = host_param_string,
  .param_strings = host_param_strings,
  .param_f64s = host_param_f64s,
  .param_file = host_param_file,
  .input_spec = host_input_spec,
  .set_output_spec = host_set_output_spec,
  .set_cost = host_set_cost,
  .input_attr_i64 = host_input_attr_i64,
  .input_attr_f64 = host_input_attr_f64,
  .input_attr_string = host_no_attr_string,
  .set_output_attr_i64 = host_set_output_attr_i64,
  .set_output_attr_f64 = host_set_output_attr_f64,
  .set_output_attr_string = host_set_output_attr_string,
  .tensor_new = mini_host_tensor_new,
  .tensor_ref = host_tensor_ref,
  .tensor_unref = host_tensor_unref,
  .tensor_view = mini_host_tensor_view,
  .make_writable = host_make_writable,
  .tensor_slice = host_tensor_slice,
  .pull = host_pull,
  .push = host_push,
  .compute = host_compute,
  .cancelled = host_cancelled,
  .progress = host_progress,
  .seed = host_seed,
  .random_key = host_random_key,
  .model_file = host_model_file,
  .model_tensor_info = host_model_tensor_info,
  .weights_open = host_weights_open,
  .weights_tensor = host_weights_tensor,
  .weights_tensor_name = host_weights_tensor_name,
  .weights_done = host_weights_done,
  .weights_close = host_weights_close,
  .reserve = host_reserve,
  .unreserve = host_unreserve,
  .checkpoint_save = host_checkpoint_save,
  .checkpoint_load = host_checkpoint_load,
  .scratch = host_scratch,
  .preview_wanted = host_preview_wanted,
  .preview = host_preview,
  .file_create = host_file_create,
  .info = host_info,
  .memory_limit = host_memory_limit,
};
