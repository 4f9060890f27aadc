/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target: the tiny decoder's geometry, which is told by the shapes of its tensors alone, and
 * the check of all of them.  The input is a header in short, as table.h has it; a line "latents"
 * is the shape of the stage's input.
 */
#include "config.h"
#include <math.h>
#include <string.h>
#include "plugins/vae-tiny/tiny-request.h"
#include "table.h"

static SoraSafetensorsTable table;
static gboolean failed;

static int
host_fail (SoraContext *ctx, const char *format, ...)
{
  char text[1024];
  va_list args;
  va_start (args, format);
  (void)g_vsnprintf (text, sizeof text, format, args);
  va_end (args);
  MUST (text[0] != '\0');
  failed = TRUE;
  return SORA_FAILED;
}

static int
host_tensor_info (SoraContext *ctx, const char *slot, const char *component, const char *tensor,
                  SoraTensorView *view)
{
  const SoraSafetensorsEntry *entry = g_hash_table_lookup (table.by_name, tensor);
  if (entry == NULL)
    return SORA_NOT_FOUND;
  view->dtype = entry->dtype;
  view->shape = entry->extents;
  view->strides = entry->extents + entry->ndim;
  view->ndim = entry->ndim;
  view->nbytes = 4;
  return SORA_OK;
}

static int
host_input_spec (SoraContext *ctx, const char *port, SoraSpec *spec)
{
  static const int64_t usual[] = { 16, 5, 30, 52 };
  const SoraSafetensorsEntry *entry = g_hash_table_lookup (table.by_name, "latents");
  spec->dtype = SORA_F32;
  spec->shape = entry != NULL ? entry->extents : usual;
  spec->ndim = entry != NULL ? entry->ndim : 4;
  return SORA_OK;
}

static int
host_param_string (SoraContext *ctx, const char *name, const char **value)
{
  *value = "u8";
  return SORA_OK;
}

static int
host_param_f64 (SoraContext *ctx, const char *name, double *value)
{
  *value = 16;
  return SORA_OK;
}

static int
host_input_attr_i64 (SoraContext *ctx, const char *port, const char *name, int64_t *value)
{
  const SoraSafetensorsEntry *entry = g_hash_table_lookup (table.by_name, name);
  if (entry == NULL || entry->ndim == 0)
    return SORA_NOT_FOUND;
  *value = entry->extents[0];
  return SORA_OK;
}

/* Numbers of no use as a rate, too. */
static int
host_input_attr_f64 (SoraContext *ctx, const char *port, const char *name, double *value)
{
  int64_t whole;
  if (host_input_attr_i64 (ctx, port, name, &whole) != SORA_OK)
    return SORA_NOT_FOUND;
  *value = whole == 1 ? NAN : whole == 2 ? INFINITY : (double)whole / 4;
  return SORA_OK;
}

static int
host_param_is_set (SoraContext *ctx, const char *name)
{
  return g_hash_table_contains (table.by_name, "set");
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const SoraHost host = { .struct_size = sizeof host,
                                 .fail = host_fail,
                                 .model_tensor_info = host_tensor_info,
                                 .input_spec = host_input_spec,
                                 .param_string = host_param_string,
                                 .param_f64 = host_param_f64,
                                 .param_is_set = host_param_is_set,
                                 .input_attr_i64 = host_input_attr_i64,
                                 .input_attr_f64 = host_input_attr_f64 };
  SoraTinyRequest request;
  uint64_t bytes = 0;
  failed = FALSE;
  fuzz_table_init (&table, data, size);
  int r = sora_tiny_request_read (&host, NULL, &request);
  MUST ((r == SORA_OK) != failed);
  if (r == SORA_OK)
    {
      const SoraTinyConfig *c = &request.config;
      MUST (c->z_dim >= 1 && c->z_dim <= SORA_TINY_MAX_Z);
      MUST (c->patch >= 1 && c->patch <= SORA_TINY_MAX_PATCH && c->spatial == 8 * c->patch);
      MUST (request.frames >= 1 && request.t >= 1 && request.h >= 1 && request.w >= 1);
      MUST (request.frames <= request.t * SORA_TINY_TEMPORAL);
      MUST (request.fps > 0 && request.fps <= 1000);
      r = sora_tiny_check_tensors (&host, NULL, c, &bytes);
      MUST ((r == SORA_OK) != failed && (r != SORA_OK || bytes > 0));
    }
  sora_safetensors_table_clear (&table);
  return 0;
}
