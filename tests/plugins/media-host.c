/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * media-host.c: see media-host.h.
 */
#define _GNU_SOURCE
#include "media-host.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_ITEMS 32
#define MAX_FILES 64

struct SoraTensor {
  int refs, dtype, ndim;
  int64_t shape[4], strides[4];
  size_t bytes;
  void *data;
};

static int live_tensors;

typedef struct {
  const char *name;
  int64_t i64;
  double f64;
  char text[160];
  int is_set;
} Value;

struct SoraContext {
  const SoraStageClass *stage;
  Value params[MAX_ITEMS], info[MAX_ITEMS];
  int n_params, n_info;
  double fps, out_fps;
  const char *mark;
  char out_mark[32];
  int dtype, chunk, shared, next;
  int64_t shape[4], promised[4];
  const uint8_t *frames;
  int cancel_after, asked;
  char error[1024];
  SoraCost cost;
  uint8_t *output;
  size_t output_size;
  MediaFile files[MAX_FILES];
  int n_files;
  uint64_t reserved, peak;
};

struct MediaHost {
  SoraContext ctx;
};

#define BREACH(...)                                                                                      \
  do                                                                                                     \
    {                                                                                                    \
      fprintf (stderr, "media-host: " __VA_ARGS__);                                                      \
      fputc ('\n', stderr);                                                                              \
      abort ();                                                                                          \
    }                                                                                                    \
  while (0)

static void
host_log (SoraContext *ctx, int level, const char *format, ...)
{
}

static int
host_fail (SoraContext *ctx, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  if (!ctx->error[0])
    vsnprintf (ctx->error, sizeof ctx->error, format, arguments);
  va_end (arguments);
  return SORA_FAILED;
}

static Value *
find (Value *values, int n, const char *name)
{
  for (int i = 0; i < n; i++)
    if (!strcmp (values[i].name, name))
      return &values[i];
  return NULL;
}

static Value *
param (SoraContext *ctx, const char *name)
{
  Value *value = find (ctx->params, ctx->n_params, name);
  if (!value)
    BREACH ("stage '%s' declares no parameter '%s'", ctx->stage->id, name);
  return value;
}

static int
host_param_is_set (SoraContext *ctx, const char *name)
{
  return param (ctx, name)->is_set;
}

static int
host_param_bool (SoraContext *ctx, const char *name, int *value)
{
  *value = (int) param (ctx, name)->i64;
  return SORA_OK;
}

static int
host_param_i64 (SoraContext *ctx, const char *name, int64_t *value)
{
  *value = param (ctx, name)->i64;
  return SORA_OK;
}

static int
host_param_f64 (SoraContext *ctx, const char *name, double *value)
{
  *value = param (ctx, name)->f64;
  return SORA_OK;
}

static int
host_param_string (SoraContext *ctx, const char *name, const char **value)
{
  *value = param (ctx, name)->text;
  return SORA_OK;
}

static int
host_input_spec (SoraContext *ctx, const char *port, SoraSpec *spec)
{
  if (strcmp (port, "frames") != 0)
    BREACH ("input_spec of '%s'", port);
  spec->dtype = ctx->dtype;
  spec->shape = ctx->promised;
  spec->ndim = 4;
  spec->chunk = ctx->chunk;
  return SORA_OK;
}

static int
host_set_output_spec (SoraContext *ctx, const char *port, const SoraSpec *spec)
{
  return SORA_OK;
}

static int
host_set_cost (SoraContext *ctx, const SoraCost *cost)
{
  ctx->cost = *cost;
  return SORA_OK;
}

static int
host_input_attr_f64 (SoraContext *ctx, const char *port, const char *name, double *value)
{
  if (strcmp (name, "fps") != 0 || ctx->fps == 0)
    return SORA_NOT_FOUND;
  *value = ctx->fps;
  return SORA_OK;
}

static int
host_input_attr_string (SoraContext *ctx, const char *port, const char *name, const char **value)
{
  if (strcmp (name, "watermark") != 0 || !ctx->mark)
    return SORA_NOT_FOUND;
  *value = ctx->mark;
  return SORA_OK;
}

static int
host_set_output_attr_f64 (SoraContext *ctx, const char *port, const char *name, double value)
{
  if (!strcmp (name, "fps"))
    ctx->out_fps = value;
  return SORA_OK;
}

static int
host_set_output_attr_string (SoraContext *ctx, const char *port, const char *name, const char *value)
{
  if (!strcmp (name, "watermark"))
    snprintf (ctx->out_mark, sizeof ctx->out_mark, "%s", value);
  return SORA_OK;
}

static SoraTensor *
host_tensor_new (SoraContext *ctx, int dtype, int ndim, const int64_t *shape)
{
  SoraTensor *tensor = calloc (1, sizeof *tensor);
  int64_t n = 1;
  for (int i = ndim - 1; i >= 0; i--)
    {
      tensor->shape[i] = shape[i];
      tensor->strides[i] = n;
      n *= shape[i];
    }
  tensor->refs = 1;
  tensor->dtype = dtype;
  tensor->ndim = ndim;
  tensor->bytes = (size_t) n * (dtype == SORA_F32 ? 4 : 1);
  tensor->data = aligned_alloc (64, (tensor->bytes + 63) / 64 * 64);
  live_tensors++;
  return tensor;
}

static void
host_tensor_unref (SoraTensor *tensor)
{
  if (tensor->refs < 1)
    BREACH ("a tensor was given back twice");
  if (--tensor->refs > 0)
    return;
  free (tensor->data);
  free (tensor);
  live_tensors--;
}

static void
host_tensor_view (SoraTensor *tensor, SoraTensorView *view)
{
  view->dtype = tensor->dtype;
  view->data = tensor->data;
  view->shape = tensor->shape;
  view->strides = tensor->strides;
  view->ndim = tensor->ndim;
  view->nbytes = tensor->bytes;
}

static SoraTensor *
host_make_writable (SoraContext *ctx, SoraTensor *tensor)
{
  if (!ctx->shared)
    return tensor;
  SoraTensor *copy = host_tensor_new (ctx, tensor->dtype, tensor->ndim, tensor->shape);
  memcpy (copy->data, tensor->data, tensor->bytes);
  host_tensor_unref (tensor);
  return copy;
}

static int
host_pull (SoraContext *ctx, const char *port, SoraTensor **out)
{
  const int64_t left = ctx->shape[0] - ctx->next;
  if (left <= 0)
    return SORA_EOS;
  int64_t shape[4] = { left < ctx->chunk ? left : ctx->chunk, ctx->shape[1], ctx->shape[2], 3 };
  SoraTensor *tensor = host_tensor_new (ctx, ctx->dtype, 4, shape);
  memcpy (tensor->data, ctx->frames + (size_t) ctx->next * (tensor->bytes / (size_t) shape[0]), tensor->bytes);
  ctx->next += (int) shape[0];
  *out = tensor;
  return SORA_OK;
}

static int
host_push (SoraContext *ctx, const char *port, SoraTensor *tensor)
{
  ctx->output = realloc (ctx->output, ctx->output_size + tensor->bytes);
  memcpy (ctx->output + ctx->output_size, tensor->data, tensor->bytes);
  ctx->output_size += tensor->bytes;
  host_tensor_unref (tensor);
  return SORA_OK;
}

static int
host_cancelled (SoraContext *ctx)
{
  return ctx->cancel_after >= 0 && ctx->asked++ >= ctx->cancel_after;
}

static void
host_progress (SoraContext *ctx, double fraction, uint32_t step, uint32_t steps)
{
  if (!(fraction >= 0 && fraction <= 1) || step > steps)
    BREACH ("progress of %g, step %u of %u", fraction, step, steps);
}

static int
host_reserve (SoraContext *ctx, int kind, uint64_t bytes)
{
  ctx->reserved += bytes;
  ctx->peak = ctx->reserved > ctx->peak ? ctx->reserved : ctx->peak;
  return SORA_OK;
}

static int
host_unreserve (SoraContext *ctx, int kind, uint64_t bytes)
{
  if (bytes > ctx->reserved)
    BREACH ("more memory was given back than taken");
  ctx->reserved -= bytes;
  return SORA_OK;
}

static int
host_file_create (SoraContext *ctx, const char *port, const char *name, const char *media_type, int *fd)
{
  if (strcmp (port, "file") != 0 || ctx->n_files == MAX_FILES)
    BREACH ("file %d on '%s'", ctx->n_files, port);
  MediaFile *file = &ctx->files[ctx->n_files++];
  snprintf (file->name, sizeof file->name, "%s", name);
  snprintf (file->media_type, sizeof file->media_type, "%s", media_type);
  /* A file of the file system, not of memory: limits on the size of files hold for these only. */
  char path[] = "media-host-XXXXXX";
  *fd = file->fd = mkstemp (path);
  if (*fd < 0)
    BREACH ("no temporary file");
  unlink (path);
  return SORA_OK;
}

static int
host_info (SoraContext *ctx, const char *key, const char **value)
{
  const Value *found = find (ctx->info, ctx->n_info, key);
  if (!found || !found->is_set)
    return SORA_NOT_FOUND;
  *value = found->text;
  return SORA_OK;
}

static const SoraHost table = {
  .struct_size = sizeof (SoraHost),
  .abi_major = SORA_ABI_MAJOR,
  .abi_minor = SORA_ABI_MINOR,
  .version = "9.8.7",
  .log = host_log,
  .fail = host_fail,
  .param_is_set = host_param_is_set,
  .param_bool = host_param_bool,
  .param_i64 = host_param_i64,
  .param_f64 = host_param_f64,
  .param_string = host_param_string,
  .input_spec = host_input_spec,
  .set_output_spec = host_set_output_spec,
  .set_cost = host_set_cost,
  .input_attr_f64 = host_input_attr_f64,
  .input_attr_string = host_input_attr_string,
  .set_output_attr_f64 = host_set_output_attr_f64,
  .set_output_attr_string = host_set_output_attr_string,
  .tensor_new = host_tensor_new,
  .tensor_unref = host_tensor_unref,
  .tensor_view = host_tensor_view,
  .make_writable = host_make_writable,
  .pull = host_pull,
  .push = host_push,
  .cancelled = host_cancelled,
  .progress = host_progress,
  .reserve = host_reserve,
  .unreserve = host_unreserve,
  .file_create = host_file_create,
  .info = host_info,
};

/* ------------------------------------------------------------------------------------ what tests call -- */

MediaHost *
media_host_new (const char *id)
{
  char path[4096];
  snprintf (path, sizeof path, "%s/%s.so", SORA_TEST_PLUGINS, id);
  void *module = dlopen (path, RTLD_NOW | RTLD_LOCAL);
  const SoraPlugin *plugin = module ? dlsym (module, SORA_PLUGIN_SYMBOL) : NULL;
  if (!plugin || plugin->magic != SORA_PLUGIN_MAGIC || strcmp (plugin->id, id) != 0)
    BREACH ("no plugin '%s': %s", path, module ? "another descriptor" : dlerror ());
  MediaHost *media = calloc (1, sizeof *media);
  SoraContext *ctx = &media->ctx;
  ctx->stage = plugin->stages[0];
  ctx->cancel_after = -1;
  ctx->fps = 16;
  for (const SoraParam *const *p = ctx->stage->params; *p; p++)
    {
      Value *value = &ctx->params[ctx->n_params++];
      *value = (Value) { .name = (*p)->name, .i64 = (*p)->i64_default, .f64 = (*p)->f64_default };
      snprintf (value->text, sizeof value->text, "%s", (*p)->str_default ? (*p)->str_default : "");
    }
  return media;
}

static void
clear_results (SoraContext *ctx)
{
  for (int i = 0; i < ctx->n_files; i++)
    {
      close (ctx->files[i].fd);
      free (ctx->files[i].data);
    }
  memset (ctx->files, 0, sizeof ctx->files);
  free (ctx->output);
  ctx->output = NULL;
  ctx->output_size = 0;
  ctx->n_files = ctx->next = ctx->asked = 0;
  ctx->error[0] = ctx->out_mark[0] = 0;
  ctx->out_fps = 0;
  ctx->reserved = ctx->peak = 0;
}

void
media_host_free (MediaHost *media)
{
  clear_results (&media->ctx);
  free (media);
}

void
media_host_set_i64 (MediaHost *media, const char *name, int64_t value)
{
  Value *p = param (&media->ctx, name);
  p->i64 = value;
  p->is_set = 1;
}

void
media_host_set_f64 (MediaHost *media, const char *name, double value)
{
  Value *p = param (&media->ctx, name);
  p->f64 = value;
  p->is_set = 1;
}

void
media_host_set_string (MediaHost *media, const char *name, const char *value)
{
  Value *p = param (&media->ctx, name);
  snprintf (p->text, sizeof p->text, "%s", value);
  p->is_set = 1;
}

void
media_host_set_info (MediaHost *media, const char *key, const char *value)
{
  SoraContext *ctx = &media->ctx;
  Value *item = find (ctx->info, ctx->n_info, key);
  if (!item)
    {
      item = &ctx->info[ctx->n_info++];
      item->name = key;
    }
  item->is_set = value != NULL;
  snprintf (item->text, sizeof item->text, "%s", value ? value : "");
}

void
media_host_set_fps (MediaHost *media, double fps)
{
  media->ctx.fps = fps;
}

void
media_host_set_mark (MediaHost *media, const char *watermark)
{
  media->ctx.mark = watermark;
}

void
media_host_set_frames (MediaHost *media, int dtype, int frames, int height, int width, const void *data, int chunk)
{
  SoraContext *ctx = &media->ctx;
  const int64_t shape[4] = { frames, height, width, 3 };
  memcpy (ctx->shape, shape, sizeof shape);
  memcpy (ctx->promised, shape, sizeof shape);
  ctx->dtype = dtype;
  ctx->frames = data;
  ctx->chunk = chunk;
}

void
media_host_set_promised (MediaHost *media, int64_t promised)
{
  media->ctx.promised[0] = promised;
}

void
media_host_share (MediaHost *media)
{
  media->ctx.shared = 1;
}

void
media_host_cancel_after (MediaHost *media, int asked)
{
  media->ctx.cancel_after = asked;
}

int
media_host_infer (MediaHost *media)
{
  clear_results (&media->ctx);
  return media->ctx.stage->infer (&table, &media->ctx);
}

static void
read_back (MediaFile *file)
{
  struct stat st;
  if (fstat (file->fd, &st) != 0)
    BREACH ("the stage closed the host's descriptor of '%s'", file->name);
  file->size = (size_t) st.st_size;
  file->data = malloc (file->size + 1);
  if (pread (file->fd, file->data, file->size, 0) != (ssize_t) file->size)
    BREACH ("'%s' could not be read back", file->name);
}

int
media_host_run (MediaHost *media)
{
  SoraContext *ctx = &media->ctx;
  int rc = media_host_infer (media);
  if (rc != SORA_OK)
    return rc;
  const int live = live_tensors;
  rc = ctx->stage->run (&table, ctx, NULL);
  if (live_tensors != live)
    BREACH ("stage '%s' leaked %d tensors", ctx->stage->id, live_tensors - live);
  if (ctx->reserved != 0)
    BREACH ("stage '%s' kept %llu reserved bytes", ctx->stage->id, (unsigned long long) ctx->reserved);
  if ((rc == SORA_FAILED) != (ctx->error[0] != 0))
    BREACH ("stage '%s' returned %d and said '%s'", ctx->stage->id, rc, ctx->error);
  for (int i = 0; i < ctx->n_files; i++)
    read_back (&ctx->files[i]);
  return rc;
}

const char *
media_host_error (const MediaHost *media)
{
  return media->ctx.error;
}

const SoraCost *
media_host_cost (const MediaHost *media)
{
  return &media->ctx.cost;
}

const char *
media_host_output_mark (const MediaHost *media)
{
  return media->ctx.out_mark;
}

double
media_host_output_fps (const MediaHost *media)
{
  return media->ctx.out_fps;
}

const uint8_t *
media_host_output (const MediaHost *media, size_t *size)
{
  *size = media->ctx.output_size;
  return media->ctx.output;
}

int
media_host_n_files (const MediaHost *media)
{
  return media->ctx.n_files;
}

const MediaFile *
media_host_file (const MediaHost *media, int index)
{
  if (index >= media->ctx.n_files)
    BREACH ("no file %d", index);
  return &media->ctx.files[index];
}

uint64_t
media_host_reserved_peak (const MediaHost *media)
{
  return media->ctx.peak;
}

uint8_t *
media_test_frames (int frames, int height, int width)
{
  uint8_t *data = malloc ((size_t) frames * (size_t) height * (size_t) width * 3), *p = data;
  for (int t = 0; t < frames; t++)
    for (int y = 0; y < height; y++)
      for (int x = 0; x < width; x++, p += 3)
        {
          /* A red disc that goes right over a green slope, with some grain. */
          const int dx = x - width / 4 - t * 2, dy = y - height / 2, r = height / 5;
          const int grain = (x * 7919 + y * 104729 + t * 1299709) % 13;
          const int in = dx * dx + dy * dy < r * r;
          p[0] = (uint8_t) (in ? 220 : 40 + grain);
          p[1] = (uint8_t) (in ? 30 : 90 + y * 100 / height + grain);
          p[2] = (uint8_t) (in ? 30 + grain : 50);
        }
  return data;
}
