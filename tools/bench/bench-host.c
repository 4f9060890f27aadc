/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The host table of the bench: one stage, one run at a time.  compute() runs on the caller's
 * thread, which is the one with the large stack that bench.c makes, and where denormals are flushed
 * as the real compute thread does it. Nothing is checkpointed, cached or shown.
 */
#include "config.h"
#include "bench-stage-private.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- words */

static void
host_log (SoraContext *ctx, int level, const char *format, ...)
{
  if (level < SORA_LOG_WARNING)
    return;
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  fprintf (stderr, "%s: %s: %s\n", g_get_prgname (), ctx != NULL ? ctx->klass->id : "a plugin",
           text);
}

static int
host_fail (SoraContext *ctx, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  if (ctx->error == NULL)
    ctx->error = g_strdup_vprintf (format, args);
  va_end (args);
  return SORA_FAILED;
}

/* ---- parameters */

static GVariant *
find_param (SoraContext *ctx, const char *name, const char *type)
{
  GVariant *value = g_hash_table_lookup (ctx->params, name);
  if (value == NULL)
    value = g_hash_table_lookup (ctx->defaults, name);
  return value != NULL && g_variant_is_of_type (value, G_VARIANT_TYPE (type)) ? value : NULL;
}

static int
host_param_is_set (SoraContext *ctx, const char *name)
{
  return g_hash_table_contains (ctx->params, name);
}

static int
host_param_bool (SoraContext *ctx, const char *name, int *value)
{
  GVariant *found = find_param (ctx, name, "b");
  if (found == NULL)
    return SORA_NOT_FOUND;
  *value = g_variant_get_boolean (found);
  return SORA_OK;
}

static int
host_param_i64 (SoraContext *ctx, const char *name, int64_t *value)
{
  GVariant *found = find_param (ctx, name, "x");
  if (found == NULL)
    return SORA_NOT_FOUND;
  *value = g_variant_get_int64 (found);
  return SORA_OK;
}

static int
host_param_f64 (SoraContext *ctx, const char *name, double *value)
{
  GVariant *found = find_param (ctx, name, "d");
  if (found == NULL)
    return SORA_NOT_FOUND;
  *value = g_variant_get_double (found);
  return SORA_OK;
}

static int
host_param_string (SoraContext *ctx, const char *name, const char **value)
{
  GVariant *found = find_param (ctx, name, "s");
  if (found == NULL)
    return SORA_NOT_FOUND;
  *value = g_variant_get_string (found, NULL);
  return SORA_OK;
}

static int
host_param_strings (SoraContext *ctx, const char *name, const char *const **values, size_t *n)
{
  GVariant *found = find_param (ctx, name, "as");
  if (found == NULL)
    return SORA_NOT_FOUND;
  gsize count;
  const char **strings = g_variant_get_strv (found, &count);
  g_ptr_array_add (ctx->kept, strings);
  *values = strings;
  *n = count;
  return SORA_OK;
}

static int
host_param_f64s (SoraContext *ctx, const char *name, const double **values, size_t *n)
{
  GVariant *found = find_param (ctx, name, "ad");
  if (found == NULL)
    return SORA_NOT_FOUND;
  *values = g_variant_get_fixed_array (found, n, sizeof **values);
  return SORA_OK;
}

static int
host_param_file (SoraContext *ctx, const char *name, const void **data, size_t *size)
{
  GVariant *found = find_param (ctx, name, "ay");
  if (found == NULL)
    return SORA_NOT_FOUND;
  *data = g_variant_get_fixed_array (found, size, 1);
  return SORA_OK;
}

/* ---- ports */

static int
host_input_spec (SoraContext *ctx, const char *port, SoraSpec *spec)
{
  const Input *input = g_hash_table_lookup (ctx->inputs, port);
  SoraTensorView view = { .struct_size = sizeof view };
  if (input == NULL || input->tensor == NULL)
    return SORA_NOT_FOUND;
  sora_tensor_get_view (input->tensor, &view);
  *spec = (SoraSpec){
    .struct_size = sizeof *spec, .dtype = view.dtype, .shape = view.shape, .ndim = view.ndim
  };
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
  memcpy (&ctx->cost, cost, MIN (cost->struct_size, sizeof ctx->cost));
  return SORA_OK;
}

static int
host_input_attr_i64 (SoraContext *ctx, const char *port, const char *name, int64_t *value)
{
  const Input *input = g_hash_table_lookup (ctx->inputs, port);
  const gint64 *found = input != NULL ? g_hash_table_lookup (input->attrs, name) : NULL;
  if (found == NULL)
    return SORA_NOT_FOUND;
  *value = *found;
  return SORA_OK;
}

static int
host_input_attr_f64 (SoraContext *ctx, const char *port, const char *name, double *value)
{
  return SORA_NOT_FOUND;
}

static int
host_input_attr_string (SoraContext *ctx, const char *port, const char *name, const char **value)
{
  return SORA_NOT_FOUND;
}

static int
host_set_output_attr_i64 (SoraContext *ctx, const char *port, const char *name, int64_t value)
{
  GHashTable *attrs = g_hash_table_lookup (ctx->out_attrs, port);
  if (attrs == NULL)
    {
      attrs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
      g_hash_table_insert (ctx->out_attrs, g_strdup (port), attrs);
    }
  g_hash_table_insert (attrs, g_strdup (name), g_memdup2 (&value, sizeof value));
  return SORA_OK;
}

static int
host_set_output_attr_f64 (SoraContext *ctx, const char *port, const char *name, double value)
{
  return SORA_OK;
}

static int
host_set_output_attr_string (SoraContext *ctx, const char *port, const char *name,
                             const char *value)
{
  return SORA_OK;
}

/* ---- tensors */

static SoraTensor *
told (SoraContext *ctx, SoraTensor *tensor, GError *error)
{
  if (tensor == NULL)
    host_fail (ctx, "%s", error->message);
  g_clear_error (&error);
  return tensor;
}

static SoraTensor *
host_tensor_new (SoraContext *ctx, int dtype, int ndim, const int64_t *shape)
{
  GError *error = NULL;
  SoraTensor *tensor = sora_tensor_new ((SoraDtype)dtype, ndim, shape, &error);
  return told (ctx, tensor, error);
}

static SoraTensor *
host_make_writable (SoraContext *ctx, SoraTensor *tensor)
{
  GError *error = NULL;
  SoraTensor *writable = sora_tensor_make_writable (tensor, &error);
  return told (ctx, writable, error);
}

static int
host_pull (SoraContext *ctx, const char *port, SoraTensor **tensor)
{
  Input *input = g_hash_table_lookup (ctx->inputs, port);
  if (input == NULL || input->tensor == NULL || input->pulled)
    return SORA_EOS;
  input->pulled = TRUE;
  *tensor = sora_tensor_ref (input->tensor);
  return SORA_OK;
}

static int
host_push (SoraContext *ctx, const char *port, SoraTensor *tensor)
{
  g_hash_table_insert (ctx->outputs, g_strdup (port), tensor);
  return SORA_OK;
}

/* ---- work */

/* Flushes denormals on this thread, or puts back what this gave. */
static guint64
flush_denormals (guint64 saved, gboolean flush)
{
  guint64 before = 0;
#if defined(__x86_64__)
  before = __builtin_ia32_stmxcsr ();
  __builtin_ia32_ldmxcsr (flush ? (guint32)before | 0x8040u : (guint32)saved); /* FTZ, DAZ */
#elif defined(__aarch64__)
  __asm__ volatile("mrs %0, fpcr" : "=r"(before));
  const guint64 after = flush ? before | 1u << 24 : saved; /* FZ */
  __asm__ volatile("msr fpcr, %0" : : "r"(after));
#endif
  return before;
}

static int
host_compute (SoraContext *ctx, int (*fn) (SoraContext *ctx, void *data, int threads), void *data)
{
  if (ctx->measuring)
    bench_meter_poll (&ctx->meter);
  const guint64 saved = flush_denormals (0, TRUE);
  const int result = fn (ctx, data, ctx->threads);
  flush_denormals (saved, FALSE);
  return result;
}

static int
host_cancelled (SoraContext *ctx)
{
  return 0;
}

static void
host_progress (SoraContext *ctx, double fraction, uint32_t step, uint32_t steps)
{
  if (!ctx->measuring || g_thread_self () != ctx->thread)
    return;
  if (step == ctx->step)
    bench_meter_poll (&ctx->meter);
  else
    bench_meter_mark (&ctx->meter);
  ctx->step = step;
}

static int
host_seed (SoraContext *ctx, uint64_t *seed)
{
  *seed = 1;
  return SORA_OK;
}

static int
host_random_key (SoraContext *ctx, const char *name, uint8_t key[32])
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  gsize size = 32;
  g_checksum_update (sum, (const guchar *)name, -1);
  g_checksum_get_digest (sum, key, &size);
  return SORA_OK;
}

/* ---- models */

static int
host_model_file (SoraContext *ctx, const char *slot, const char *name, const void **data,
                 size_t *size)
{
  GBytes *file = g_hash_table_lookup (ctx->files, name);
  if (file == NULL)
    {
      file = bench_model_file (ctx->model, name);
      if (file == NULL)
        return SORA_NOT_FOUND;
      g_hash_table_insert (ctx->files, g_strdup (name), file);
    }
  *data = g_bytes_get_data (file, size);
  return SORA_OK;
}

static int
host_model_tensor_info (SoraContext *ctx, const char *slot, const char *component,
                        const char *tensor, SoraTensorView *view)
{
  return bench_model_info (ctx->model, component, tensor, view) ? SORA_OK : SORA_NOT_FOUND;
}

static int
host_weights_open (SoraContext *ctx, const char *slot, const char *component, SoraWeights **weights)
{
  g_autoptr (GError) error = NULL;
  *weights = (SoraWeights *)bench_weights_open (ctx->model, component, &error);
  return *weights != NULL ? SORA_OK : host_fail (ctx, "%s", error->message);
}

static int
host_weights_tensor (SoraWeights *weights, const char *tensor, SoraTensorView *view)
{
  return bench_weights_get ((BenchWeights *)weights, tensor, view) ? SORA_OK : SORA_NOT_FOUND;
}

static int
host_weights_tensor_name (SoraWeights *weights, size_t index, const char **name)
{
  *name = bench_weights_name ((BenchWeights *)weights, index);
  return *name != NULL ? SORA_OK : SORA_NOT_FOUND;
}

static void
host_weights_done (SoraWeights *weights, const char *tensor)
{
  bench_weights_done ((BenchWeights *)weights, tensor);
}

static void
host_weights_close (SoraWeights *weights)
{
  bench_weights_close ((BenchWeights *)weights);
}

/* ---- memory, state, results */

static int
host_reserve (SoraContext *ctx, int kind, uint64_t bytes)
{
  return SORA_OK;
}

static int
host_checkpoint_save (SoraContext *ctx, const void *data, size_t size)
{
  return SORA_UNAVAILABLE;
}

static int
host_checkpoint_load (SoraContext *ctx, const void **data, size_t *size)
{
  return SORA_NOT_FOUND;
}

static int
host_scratch (SoraContext *ctx, uint64_t bytes, int *fd)
{
  char name[] = "/var/tmp/sora-bench-XXXXXX";
  *fd = g_mkstemp (name);
  if (*fd < 0)
    return host_fail (ctx, "no scratch file can be made: %s", g_strerror (errno));
  if (unlink (name) == 0 && ftruncate (*fd, (off_t)bytes) == 0)
    return SORA_OK;
  close (*fd);
  return host_fail (ctx, "no scratch file of %" G_GUINT64_FORMAT " bytes can be made", bytes);
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
host_file_create (SoraContext *ctx, const char *port, const char *name, const char *media_type,
                  int *fd)
{
  return host_fail (ctx, "stages that write files are not run alone here");
}

static int
host_info (SoraContext *ctx, const char *key, const char **value)
{
  return SORA_NOT_FOUND;
}

/* As a job's: 80 % of what is available. */
static int
host_memory_limit (SoraContext *ctx, uint64_t *bytes)
{
  g_autofree char *text = NULL;
  *bytes = UINT64_MAX;
  if (!g_file_get_contents ("/proc/meminfo", &text, NULL, NULL))
    return SORA_OK;
  const char *line = strstr (text, "MemAvailable:");
  if (line != NULL)
    *bytes = g_ascii_strtoull (line + strlen ("MemAvailable:"), NULL, 10) * 1024 / 5 * 4;
  return SORA_OK;
}

const SoraHost bench_host = {
  .struct_size = sizeof (SoraHost),
  .abi_major = SORA_ABI_MAJOR,
  .abi_minor = SORA_ABI_MINOR,
  .version = PACKAGE_VERSION,
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
  .input_attr_string = host_input_attr_string,
  .set_output_attr_i64 = host_set_output_attr_i64,
  .set_output_attr_f64 = host_set_output_attr_f64,
  .set_output_attr_string = host_set_output_attr_string,
  .tensor_new = host_tensor_new,
  .tensor_ref = sora_tensor_ref,
  .tensor_unref = sora_tensor_unref,
  .tensor_view = sora_tensor_get_view,
  .make_writable = host_make_writable,
  .tensor_slice = sora_tensor_slice,
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
  .unreserve = host_reserve,
  .checkpoint_save = host_checkpoint_save,
  .checkpoint_load = host_checkpoint_load,
  .scratch = host_scratch,
  .preview_wanted = host_preview_wanted,
  .preview = host_preview,
  .file_create = host_file_create,
  .info = host_info,
  .memory_limit = host_memory_limit,
};
