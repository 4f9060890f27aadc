/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A window is address space into which the one stretch of random numbers is mapped again and again:
 * reading it costs what reading a mapped file costs, page tables and all, once the stretch is
 * larger than the caches.
 */
#include "config.h"
#include "bench-model.h"
#include "bench-shapes.h"
#include "sora-error.h"
#include "sora-model.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define POOL_BYTES ((gsize)256 << 20)
#define POOL_FRESH ((gsize)16 << 20)  /* of it drawn; the rest is copies of that */
#define WINDOW_BYTES ((gsize)1 << 20) /* tensors from that size on are windows */
#define POOL_DEVIATION                                                                             \
  (1.0 / 64) /* of its numbers: for matrices of 4,096 inputs; others are near */

struct BenchModel
{
  SoraModel *folder; /* NULL: made */
  char *name;
  int blocks;             /* shown; 0: all */
  GHashTable *components; /* made: name -> GPtrArray of BenchTensor */
  GHashTable *indices;    /* the same tensors by name */
  int pool;               /* descriptor of the stretch; -1: not there yet */
};

struct BenchWeights
{
  BenchModel *model;
  SoraModelWeights *folder;
  GPtrArray *tensors; /* made */
  char *component;
  GHashTable *memory; /* made: name -> Memory */
};

typedef struct
{
  void *data;
  gsize bytes;
} Memory;

static void
memory_free (gpointer data)
{
  Memory *memory = data;
  munmap (memory->data, memory->bytes);
  g_free (memory);
}

/* ---- random values */

/* Marsaglia's xorshift64*; the sum of four 16-bit parts is near enough to a normal deviate. */
static double
draw (guint64 *state)
{
  guint64 x = *state;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  *state = x;
  x *= G_GUINT64_CONSTANT (2685821657736338717);
  const double sum = (double)(x & 65535) + (double)(x >> 16 & 65535) + (double)(x >> 32 & 65535)
                     + (double)(x >> 48);
  return (sum / 65536 - 2) * 1.7320508075688772;
}

static guint16
to_bf16 (double value)
{
  const float single = (float)value;
  guint32 bits;
  memcpy (&bits, &single, sizeof bits);
  return (guint16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void
fill (const BenchTensor *tensor, void *data, gsize n)
{
  guint64 state = g_str_hash (tensor->name) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15) | 1;
  for (gsize i = 0; i < n; i++)
    {
      const double value = tensor->mean + tensor->deviation * draw (&state);
      if (tensor->dtype == SORA_F32)
        ((float *)data)[i] = (float)value;
      else
        ((guint16 *)data)[i] = to_bf16 (value);
    }
}

static gboolean
make_pool (BenchModel *model)
{
  const int fd = memfd_create ("sora-bench", MFD_CLOEXEC);
  if (fd < 0 || ftruncate (fd, (off_t)POOL_BYTES) != 0)
    return FALSE;
  char *map = mmap (NULL, POOL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED)
    {
      close (fd);
      return FALSE;
    }
  const BenchTensor pattern
      = { .name = (char *)"pool", .dtype = SORA_BF16, .deviation = POOL_DEVIATION };
  fill (&pattern, map, POOL_FRESH / 2);
  for (gsize at = POOL_FRESH; at < POOL_BYTES; at += POOL_FRESH)
    memcpy (map + at, map, POOL_FRESH);
  munmap (map, POOL_BYTES);
  model->pool = fd;
  return TRUE;
}

/* @bytes of address space, of which stretch after stretch shows the pool, beginning somewhere in
 * it. */
static void *
map_window (BenchModel *model, const BenchTensor *tensor, gsize bytes)
{
  if (model->pool < 0 && !make_pool (model))
    return NULL;
  char *window = mmap (NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (window == MAP_FAILED)
    return NULL;
  gsize from = g_str_hash (tensor->name) % (POOL_BYTES >> 12) << 12;
  for (gsize at = 0; at < bytes;)
    {
      const gsize part = MIN (bytes - at, POOL_BYTES - from);
      if (mmap (window + at, part, PROT_READ, MAP_SHARED | MAP_FIXED, model->pool, (off_t)from)
          == MAP_FAILED)
        {
          munmap (window, bytes);
          return NULL;
        }
      at += part;
      from = 0;
    }
  return window;
}

static Memory *
make_memory (BenchModel *model, const BenchTensor *tensor)
{
  const gsize page = (gsize)sysconf (_SC_PAGESIZE), item = tensor->dtype == SORA_F32 ? 4 : 2;
  const gsize n = (gsize)(tensor->shape[0] * tensor->strides[0]),
              bytes = (n * item + page - 1) & ~(page - 1);
  void *data;
  if (tensor->dtype == SORA_BF16 && n * item >= WINDOW_BYTES)
    data = map_window (model, tensor, bytes);
  else
    {
      data = mmap (NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      data = data == MAP_FAILED ? NULL : data;
      if (data != NULL)
        fill (tensor, data, n);
    }
  if (data == NULL)
    return NULL;
  Memory *memory = g_new (Memory, 1);
  *memory = (Memory){ data, bytes };
  return memory;
}

/* ---- models */

BenchModel *
bench_model_new_made (int blocks)
{
  static const char *const components[] = { "transformer", "text_encoder", "vae", BENCH_TINY };
  BenchModel *model = g_new0 (BenchModel, 1);
  model->name = g_strdup ("random weights");
  model->blocks = blocks;
  model->pool = -1;
  model->components
      = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_ptr_array_unref);
  model->indices
      = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_hash_table_unref);
  for (gsize i = 0; i < G_N_ELEMENTS (components); i++)
    {
      GPtrArray *tensors = bench_shapes_new (components[i], blocks);
      GHashTable *index = g_hash_table_new (g_str_hash, g_str_equal);
      for (guint k = 0; k < tensors->len; k++)
        g_hash_table_insert (index, ((BenchTensor *)tensors->pdata[k])->name, tensors->pdata[k]);
      g_hash_table_insert (model->components, (gpointer)components[i], tensors);
      g_hash_table_insert (model->indices, (gpointer)components[i], index);
    }
  return model;
}

BenchModel *
bench_model_new_folder (const char *path, int blocks, GError **error)
{
  g_auto (GStrv) dirs = sora_model_default_dirs (TRUE);
  SoraModel *folder = sora_model_find ((const char *const *)dirs, path, error);
  if (folder == NULL)
    return NULL;
  BenchModel *model = g_new0 (BenchModel, 1);
  model->folder = folder;
  model->name = g_strdup (sora_model_id (folder));
  model->blocks = blocks;
  model->pool = -1;
  return model;
}

void
bench_model_free (BenchModel *model)
{
  if (model == NULL)
    return;
  g_clear_pointer (&model->indices, g_hash_table_unref);
  g_clear_pointer (&model->components, g_hash_table_unref);
  sora_model_unref (model->folder);
  if (model->pool >= 0)
    close (model->pool);
  g_free (model->name);
  g_free (model);
}

gboolean
bench_model_is_made (const BenchModel *model)
{
  return model->folder == NULL;
}

const char *
bench_model_name (const BenchModel *model)
{
  return model->name;
}

/* A folder's file, with as many layers as are shown. */
static GBytes *
shorten (GBytes *file, int blocks)
{
  gsize size;
  const char *text = g_bytes_get_data (file, &size);
  json_t *root = json_loadb (text, size, 0, NULL);
  json_t *layers = json_object_get (root, "num_layers");
  if (json_integer_value (layers) <= blocks)
    {
      json_decref (root);
      return g_bytes_ref (file);
    }
  json_integer_set (layers, blocks);
  char *out = json_dumps (root, 0);
  json_decref (root);
  /* json_dumps() uses malloc(). */
  return g_bytes_new_with_free_func (out, strlen (out), free, out);
}

GBytes *
bench_model_file (BenchModel *model, const char *name)
{
  if (model->folder == NULL)
    return bench_shapes_file (name, model->blocks);
  g_autoptr (GBytes) file = sora_model_read_file (model->folder, name, NULL);
  if (file != NULL && model->blocks > 0 && g_str_has_suffix (name, "/config.json"))
    return shorten (file, model->blocks);
  return g_steal_pointer (&file);
}

gint64
bench_model_number (BenchModel *model, const char *name, const char *key, int index,
                    gint64 otherwise)
{
  g_autoptr (GBytes) file = bench_model_file (model, name);
  gsize size;
  const char *text = file != NULL ? g_bytes_get_data (file, &size) : NULL;
  json_t *root = text != NULL ? json_loadb (text, size, 0, NULL) : NULL;
  const json_t *value = json_object_get (root, key);
  if (index >= 0)
    value = json_array_get (value, (size_t)index);
  const gint64 number = json_is_integer (value)   ? json_integer_value (value)
                        : json_is_boolean (value) ? json_boolean_value (value)
                                                  : otherwise;
  json_decref (root);
  return number;
}

int
bench_model_blocks (BenchModel *model, const char *component)
{
  if (model->folder == NULL)
    return bench_shapes_blocks (component);
  const int shown = model->blocks;
  g_autofree char *name = g_strdup_printf ("%s/config.json", component);
  model->blocks = 0;
  const int blocks = (int)bench_model_number (model, name, "num_layers", -1, 0);
  model->blocks = shown;
  return blocks;
}

/* "blocks.7.…" or "encoder.block.7.…", with more than 7 shown, or no block's. */
static gboolean
is_shown (const BenchModel *model, const char *tensor)
{
  const char *number = g_str_has_prefix (tensor, "blocks.") ? tensor + strlen ("blocks.")
                       : g_str_has_prefix (tensor, "encoder.block.")
                           ? tensor + strlen ("encoder.block.")
                           : NULL;
  return model->blocks == 0 || number == NULL || atoi (number) < model->blocks;
}

static gboolean
describe (const BenchTensor *tensor, SoraTensorView *view)
{
  if (tensor == NULL)
    return FALSE;
  *view = (SoraTensorView){ .struct_size = sizeof *view,
                            .dtype = tensor->dtype,
                            .shape = tensor->shape,
                            .strides = tensor->strides,
                            .ndim = tensor->ndim,
                            .nbytes = (guint64)(tensor->shape[0] * tensor->strides[0])
                                      * (tensor->dtype == SORA_F32 ? 4 : 2) };
  return TRUE;
}

static const BenchTensor *
find_made (BenchModel *model, const char *component, const char *tensor)
{
  GHashTable *index = g_hash_table_lookup (model->indices, component);
  return index != NULL ? g_hash_table_lookup (index, tensor) : NULL;
}

gboolean
bench_model_info (BenchModel *model, const char *component, const char *tensor,
                  SoraTensorView *view)
{
  if (model->folder == NULL)
    return describe (find_made (model, component, tensor), view);
  return is_shown (model, tensor)
         && sora_model_tensor_info (model->folder, component, tensor, view, NULL);
}

/* ---- weights */

BenchWeights *
bench_weights_open (BenchModel *model, const char *component, GError **error)
{
  g_autofree BenchWeights *weights = g_new0 (BenchWeights, 1);
  weights->model = model;
  if (model->folder != NULL)
    weights->folder = sora_model_weights_open (model->folder, component, error);
  else
    weights->tensors = g_hash_table_lookup (model->components, component);
  if (weights->folder == NULL && weights->tensors == NULL)
    {
      if (model->folder == NULL)
        g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_MODEL,
                     "there are no made-up weights of '%s'", component);
      return NULL;
    }
  weights->component = g_strdup (component);
  weights->memory = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, memory_free);
  return g_steal_pointer (&weights);
}

void
bench_weights_close (BenchWeights *weights)
{
  sora_model_weights_close (weights->folder);
  g_hash_table_unref (weights->memory);
  g_free (weights->component);
  g_free (weights);
}

gboolean
bench_weights_get (BenchWeights *weights, const char *name, SoraTensorView *view)
{
  if (weights->folder != NULL)
    return is_shown (weights->model, name)
           && sora_model_weights_get (weights->folder, name, view, NULL);
  const BenchTensor *tensor = find_made (weights->model, weights->component, name);
  if (!describe (tensor, view))
    return FALSE;
  Memory *memory = g_hash_table_lookup (weights->memory, name);
  if (memory == NULL)
    {
      memory = make_memory (weights->model, tensor);
      if (memory == NULL)
        return FALSE;
      g_hash_table_insert (weights->memory, g_strdup (name), memory);
    }
  view->data = memory->data;
  return TRUE;
}

const char *
bench_weights_name (BenchWeights *weights, gsize index)
{
  if (weights->folder == NULL)
    return index < weights->tensors->len ? ((BenchTensor *)weights->tensors->pdata[index])->name
                                         : NULL;
  const char *name;
  for (gsize i = 0; (name = sora_model_weights_name (weights->folder, i)) != NULL; i++)
    if (is_shown (weights->model, name) && index-- == 0)
      return name;
  return NULL;
}

void
bench_weights_done (BenchWeights *weights, const char *tensor)
{
  if (weights->folder != NULL)
    sora_model_weights_done (weights->folder, tensor);
  else
    g_hash_table_remove (weights->memory, tensor);
}
