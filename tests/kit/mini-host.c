/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The smallest host: one stage, one run at a time, on the caller's thread.  Breaches of the ABI abort with a message.
 */
#include "mini-host.h"

#include "kit-convert.h"
#include "kit-memory.h"
#include "kit-parallel.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#define MAX_RANK 8
#define MAX_ITEMS 64

#define BREACH(...)                                                                                          \
  do                                                                                                         \
    {                                                                                                        \
      fprintf (stderr, "mini-host: the stage broke a rule: " __VA_ARGS__);                                   \
      fputc ('\n', stderr);                                                                                  \
      abort ();                                                                                              \
    }                                                                                                        \
  while (0)

struct SoraTensor {
  SoraContext *owner;
  SoraTensor *base; /* of a slice */
  atomic_int refs;
  int dtype, ndim, pushed;
  int64_t shape[MAX_RANK], strides[MAX_RANK];
  uint64_t nbytes;
  void *data;
};

struct SoraWeights {
  MiniHost *mini;
  MiniFile *files[MAX_ITEMS];
  int n_files;
};

typedef struct {
  char name[32];
  int set;
  int64_t i64;
  double f64;
  char *string;
  double f64s[64];
  size_t n;
} Value;

typedef struct {
  char port[32], name[32];
  int64_t value;
} Attr;

typedef struct {
  SoraTensor **items;
  size_t n, at;
  SoraSpec spec;
  int64_t shape[MAX_RANK];
  int has_spec;
} Flow;

typedef enum { IDLE = 0, INFER = 1, CREATE = 2, RUN = 4 } Phase;

struct SoraContext {
  SoraHost host;
  const SoraStageClass *stage;
  char model_dir[512];
  int threads, cancel_after, asked, created, in_compute;
  void *instance;
  Phase phase;
  uint64_t seed;
  Value values[MAX_ITEMS];
  Flow inputs[MAX_ITEMS], outputs[MAX_ITEMS];
  Attr in_attrs[MAX_ITEMS], out_attrs[MAX_ITEMS];
  int n_in_attrs, n_out_attrs;
  void *files[MAX_ITEMS];
  int n_files;
  SoraWeights *header; /* of the component last asked by model_tensor_info */
  char header_component[64];
  char error[1024], warning[1024];
  SoraCost cost;
  atomic_int live;
  uint64_t reserved[2], peak[2];
  uint32_t step;
  int n_weights;
  int keeps;
  void *checkpoint;
  size_t checkpoint_size;
  int n_checkpoints;
  unsigned control;
};

struct MiniHost {
  SoraContext ctx;
};

static unsigned
control_bits (void)
{
#if defined(__SSE2__)
  return _mm_getcsr () & ~0x3fu;
#else
  return 0;
#endif
}

static void
enter (SoraContext *ctx, int phases, const char *what)
{
  if (!(ctx->phase & phases))
    BREACH ("%s in the wrong phase", what);
  if (!ctx->in_compute && control_bits () != ctx->control)
    BREACH ("the floating-point control bits changed before %s", what);
}

/* ------------------------------------------------------------------------------------------------ words -- */

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

/* ------------------------------------------------------------------------------------------- parameters -- */

static int
find_param (SoraContext *ctx, const char *name, unsigned types)
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
  return ctx->values[find_param (ctx, name, ~0u)].set;
}

static int
host_param_bool (SoraContext *ctx, const char *name, int *value)
{
  int i = find_param (ctx, name, 1u << SORA_PARAM_BOOL);
  *value = (ctx->values[i].set ? ctx->values[i].i64 : ctx->stage->params[i]->i64_default) != 0;
  return SORA_OK;
}

static int
host_param_i64 (SoraContext *ctx, const char *name, int64_t *value)
{
  int i = find_param (ctx, name, 1u << SORA_PARAM_I64);
  *value = ctx->values[i].set ? ctx->values[i].i64 : ctx->stage->params[i]->i64_default;
  return SORA_OK;
}

static int
host_param_f64 (SoraContext *ctx, const char *name, double *value)
{
  int i = find_param (ctx, name, 1u << SORA_PARAM_F64);
  *value = ctx->values[i].set ? ctx->values[i].f64 : ctx->stage->params[i]->f64_default;
  return SORA_OK;
}

static int
host_param_string (SoraContext *ctx, const char *name, const char **value)
{
  int i = find_param (ctx, name, 1u << SORA_PARAM_STRING | 1u << SORA_PARAM_ENUM);
  *value = ctx->values[i].set ? ctx->values[i].string : ctx->stage->params[i]->str_default;
  if (*value == NULL)
    *value = "";
  return SORA_OK;
}

static int
host_param_f64s (SoraContext *ctx, const char *name, const double **values, size_t *n)
{
  int i = find_param (ctx, name, 1u << SORA_PARAM_F64_LIST);
  *values = ctx->values[i].f64s;
  *n = ctx->values[i].n;
  return SORA_OK;
}

/* ------------------------------------------------------------------------------------------------ ports -- */

static Flow *
find_flow (SoraContext *ctx, Flow *flows, const SoraPort *const *ports, const char *name)
{
  for (int i = 0; ports != NULL && ports[i] != NULL; i++)
    if (strcmp (ports[i]->name, name) == 0)
      return &flows[i];
  BREACH ("unknown port '%s'", name);
}

static Flow *
input_of (SoraContext *ctx, const char *port)
{
  return find_flow (ctx, ctx->inputs, ctx->stage->inputs, port);
}

static Flow *
output_of (const SoraContext *ctx, const char *port)
{
  SoraContext *self = (SoraContext *) (uintptr_t) ctx;
  return find_flow (self, self->outputs, self->stage->outputs, port);
}

static int
host_input_spec (SoraContext *ctx, const char *port, SoraSpec *spec)
{
  enter (ctx, INFER | RUN, "input_spec");
  Flow *flow = input_of (ctx, port);
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
  Flow *flow = output_of (ctx, port);
  flow->spec = *spec;
  memcpy (flow->shape, spec->shape, (size_t) spec->ndim * sizeof *flow->shape);
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

static int
find_attr (const Attr *attrs, int n, const char *port, const char *name, int64_t *value)
{
  for (int i = n - 1; i >= 0; i--)
    if (strcmp (attrs[i].port, port) == 0 && strcmp (attrs[i].name, name) == 0)
      {
        *value = attrs[i].value;
        return SORA_OK;
      }
  return SORA_NOT_FOUND;
}

static void
add_attr (Attr *attrs, int *n, const char *port, const char *name, int64_t value)
{
  if (*n == MAX_ITEMS)
    BREACH ("more than %d attributes", MAX_ITEMS);
  snprintf (attrs[*n].port, sizeof attrs->port, "%s", port);
  snprintf (attrs[*n].name, sizeof attrs->name, "%s", name);
  attrs[(*n)++].value = value;
}

static int
host_input_attr_i64 (SoraContext *ctx, const char *port, const char *name, int64_t *value)
{
  enter (ctx, INFER | RUN, "input_attr_i64");
  return find_attr (ctx->in_attrs, ctx->n_in_attrs, port, name, value);
}

static int
host_no_attr_f64 (SoraContext *ctx, const char *port, const char *name, double *value)
{
  return SORA_NOT_FOUND;
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
  output_of (ctx, port);
  add_attr (ctx->out_attrs, &ctx->n_out_attrs, port, name, value);
  return SORA_OK;
}

static int
host_set_output_attr_f64 (SoraContext *ctx, const char *port, const char *name, double value)
{
  enter (ctx, INFER, "set_output_attr_f64");
  return SORA_OK;
}

static int
host_set_output_attr_string (SoraContext *ctx, const char *port, const char *name, const char *value)
{
  enter (ctx, INFER, "set_output_attr_string");
  return SORA_OK;
}

/* ---------------------------------------------------------------------------------------------- tensors -- */

static SoraTensor *
host_tensor_new (SoraContext *ctx, int dtype, int ndim, const int64_t *shape)
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
      tensor->strides[i] = (int64_t) (tensor->nbytes / sora_kit_dtype_size (dtype));
      tensor->nbytes *= (uint64_t) shape[i];
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

static void
host_tensor_view (SoraTensor *tensor, SoraTensorView *view)
{
  if (view->struct_size != sizeof *view)
    BREACH ("a view without its struct_size");
  *view = (SoraTensorView) { .struct_size = sizeof *view, .dtype = tensor->dtype,     .data = tensor->data,
                             .shape = tensor->shape,      .strides = tensor->strides, .ndim = tensor->ndim,
                             .nbytes = tensor->nbytes };
}

static SoraTensor *
host_make_writable (SoraContext *ctx, SoraTensor *tensor)
{
  if (tensor->refs == 1 && tensor->base == NULL)
    return tensor;
  SoraTensor *copy = host_tensor_new (ctx, tensor->dtype, tensor->ndim, tensor->shape);
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
  slice->nbytes = tensor->nbytes / (uint64_t) tensor->shape[0] * (uint64_t) length;
  slice->data = (char *) tensor->data + start * tensor->strides[0] * (int64_t) sora_kit_dtype_size (tensor->dtype);
  tensor->owner->live++;
  return slice;
}

static void
flow_add (Flow *flow, SoraTensor *tensor)
{
  flow->items = realloc (flow->items, (flow->n + 1) * sizeof *flow->items);
  flow->items[flow->n++] = tensor;
  tensor->owner->live--;
}

static void
flow_clear (Flow *flow)
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
  Flow *flow = input_of (ctx, port);
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
  flow_add (output_of (ctx, port), tensor);
  return SORA_OK;
}

/* ------------------------------------------------------------------------------------------------- work -- */

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
    key[i] = (uint8_t) (ctx->seed >> (i % 8 * 8)) ^ (uint8_t) name[(size_t) i % strlen (name)];
  return SORA_OK;
}

/* ----------------------------------------------------------------------------------------------- models -- */

static int
host_model_file (SoraContext *ctx, const char *slot, const char *name, const void **data, size_t *size)
{
  char path[1024];
  enter (ctx, INFER | CREATE | RUN, "model_file");
  snprintf (path, sizeof path, "%s/%s", ctx->model_dir, name);
  FILE *file = ctx->model_dir[0] != '\0' ? fopen (path, "rb") : NULL;
  if (file == NULL)
    return SORA_NOT_FOUND;
  if (ctx->n_files == MAX_ITEMS)
    BREACH ("more than %d model files", MAX_ITEMS);
  fseek (file, 0, SEEK_END);
  *size = (size_t) ftell (file);
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
  snprintf (path, sizeof path, "%s/%s", ctx->model_dir, component);
  DIR *dir = opendir (path);
  if (dir == NULL)
    return NULL;
  SoraWeights *weights = calloc (1, sizeof *weights);
  weights->mini = (MiniHost *) ctx;
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

static void
weights_free (SoraWeights *weights)
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
host_model_tensor_info (SoraContext *ctx, const char *slot, const char *component, const char *tensor,
                        SoraTensorView *view)
{
  enter (ctx, INFER | CREATE | RUN, "model_tensor_info");
  if (ctx->header == NULL || strcmp (ctx->header_component, component) != 0)
    {
      weights_free (ctx->header);
      ctx->header = weights_new (ctx, component);
      snprintf (ctx->header_component, sizeof ctx->header_component, "%s", component);
    }
  int result = ctx->header == NULL ? SORA_NOT_FOUND : host_weights_tensor (ctx->header, tensor, view);
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
  weights_free (weights);
}

/* ------------------------------------------------------------------------------------- memory and state -- */

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
  if (ctx->checkpoint == NULL)
    return SORA_NOT_FOUND;
  *data = ctx->checkpoint;
  *size = ctx->checkpoint_size;
  return SORA_OK;
}

static int
host_scratch (SoraContext *ctx, uint64_t bytes, int *fd)
{
  return SORA_UNAVAILABLE;
}

static int
host_preview_wanted (SoraContext *ctx)
{
  return 0;
}

static void
host_preview (SoraContext *ctx, SoraTensor *picture)
{
}

static int
host_file_create (SoraContext *ctx, const char *port, const char *name, const char *media_type, int *fd)
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

static const SoraHost table = {
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
  .input_attr_f64 = host_no_attr_f64,
  .input_attr_string = host_no_attr_string,
  .set_output_attr_i64 = host_set_output_attr_i64,
  .set_output_attr_f64 = host_set_output_attr_f64,
  .set_output_attr_string = host_set_output_attr_string,
  .tensor_new = host_tensor_new,
  .tensor_ref = host_tensor_ref,
  .tensor_unref = host_tensor_unref,
  .tensor_view = host_tensor_view,
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
};

/* ------------------------------------------------------------------------------------ the test's side -- */

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

MiniHost *
mini_host_new (const SoraStageClass *stage, const char *model_dir, int threads)
{
  MiniHost *mini = calloc (1, sizeof *mini);
  mini->ctx.host = table;
  mini->ctx.stage = stage;
  mini->ctx.threads = threads;
  mini->ctx.cancel_after = -1;
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
      flow_clear (&ctx->inputs[i]);
      flow_clear (&ctx->outputs[i]);
      free (ctx->values[i].string);
    }
  for (int i = 0; i < ctx->n_files; i++)
    free (ctx->files[i]);
  weights_free (ctx->header);
  free (ctx->checkpoint);
  free (mini);
}

static Value *
value_of (MiniHost *mini, const char *name, unsigned types)
{
  Phase phase = mini->ctx.phase;
  mini->ctx.phase = RUN;
  Value *value = &mini->ctx.values[find_param (&mini->ctx, name, types)];
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
mini_host_input (MiniHost *mini, const char *port, int dtype, int ndim, const int64_t *shape, const void *data)
{
  Flow *flow = input_of (&mini->ctx, port);
  SoraTensor *tensor = host_tensor_new (&mini->ctx, dtype, ndim, shape);
  memcpy (tensor->data, data, tensor->nbytes);
  flow_add (flow, tensor);
  int64_t first = flow->has_spec ? flow->shape[0] : 0, chunk = flow->spec.chunk;
  memcpy (flow->shape, shape, (size_t) ndim * sizeof *shape);
  flow->shape[0] += first;
  flow->spec = (SoraSpec) { .struct_size = sizeof flow->spec, .dtype = dtype, .shape = flow->shape, .ndim = ndim,
                            .chunk = shape[0] > chunk ? shape[0] : chunk };
  flow->has_spec = 1;
}

void
mini_host_input_attr_i64 (MiniHost *mini, const char *port, const char *name, int64_t value)
{
  input_of (&mini->ctx, port);
  add_attr (mini->ctx.in_attrs, &mini->ctx.n_in_attrs, port, name, value);
}

void
mini_host_clear_inputs (MiniHost *mini)
{
  for (int i = 0; i < MAX_ITEMS; i++)
    {
      flow_clear (&mini->ctx.inputs[i]);
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

static int
finish (MiniHost *mini, int result, const char *what)
{
  SoraContext *ctx = &mini->ctx;
  if (control_bits () != ctx->control)
    BREACH ("the floating-point control bits changed in %s", what);
  if (result == SORA_FAILED && ctx->error[0] == '\0')
    BREACH ("%s failed without a reason", what);
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
      flow_clear (&ctx->outputs[i]);
      ctx->inputs[i].at = 0;
    }
  ctx->step = 0;
  ctx->asked = 0;
  ctx->phase = RUN;
  int result = finish (mini, ctx->stage->run (&ctx->host, ctx, ctx->instance), "run");
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
  const Flow *flow = output_of (&mini->ctx, port);
  return flow->has_spec ? &flow->spec : NULL;
}

size_t
mini_host_n_outputs (const MiniHost *mini, const char *port)
{
  return output_of (&mini->ctx, port)->n;
}

void
mini_host_output (const MiniHost *mini, const char *port, size_t index, SoraTensorView *view)
{
  view->struct_size = sizeof *view;
  host_tensor_view (output_of (&mini->ctx, port)->items[index], view);
}

int
mini_host_output_attr_i64 (const MiniHost *mini, const char *port, const char *name, int64_t *value)
{
  return find_attr (mini->ctx.out_attrs, mini->ctx.n_out_attrs, port, name, value);
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
