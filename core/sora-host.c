/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The table of host functions that every call of a plugin receives, and its words: log and fail.
 */
#include "config.h"
#include "sora-host-private.h"
#include "sora-tensor.h"
#include <string.h>

#define MAX_MESSAGE 4096

static void G_GNUC_PRINTF (3, 4) host_log (SoraContext *ctx, int level, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_autofree char *valid = g_utf8_make_valid (text, -1);

  if (strlen (valid) > MAX_MESSAGE)
    *g_utf8_find_prev_char (valid, valid + MAX_MESSAGE) = '\0';
  level = CLAMP (level, SORA_LOG_DEBUG, SORA_LOG_WARNING);
  if (ctx != NULL && ctx->log != NULL)
    ctx->log (ctx, level, valid);
  else if (level >= SORA_LOG_WARNING)
    g_message ("%s", valid);
  else
    g_debug ("%s", valid);
}

gboolean
sora_host_give (void *to, const void *from, gsize size_1_0)
{
  uint32_t size, known;

  memcpy (&size, to, sizeof size);
  memcpy (&known, from, sizeof known);
  if (size < size_1_0)
    return FALSE;
  size = MIN (size, known);
  memcpy (to, from, size);
  memcpy (to, &size, sizeof size);
  return TRUE;
}

static int G_GNUC_PRINTF (2, 3) host_fail (SoraContext *ctx, const char *format, ...)
{
  /* From any thread of the stage: a worker of a parallel loop may be the one that finds the fault.
   */
  if (ctx == NULL || !sora_context_enter (ctx, "fail", SORA_PHASES_ALL, SORA_CALL_ANY_THREAD))
    return SORA_FAILED;
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  return sora_context_fail (ctx, -1, "%s", text);
}

static const SoraHost host = {
  .struct_size = sizeof (SoraHost),
  .abi_major = SORA_ABI_MAJOR,
  .abi_minor = SORA_ABI_MINOR,
  .version = PACKAGE_VERSION,
  .log = host_log,
  .fail = host_fail,
  .param_is_set = sora_host_param_is_set,
  .param_bool = sora_host_param_bool,
  .param_i64 = sora_host_param_i64,
  .param_f64 = sora_host_param_f64,
  .param_string = sora_host_param_string,
  .param_strings = sora_host_param_strings,
  .param_f64s = sora_host_param_f64s,
  .param_file = sora_host_param_file,
  .input_spec = sora_host_input_spec,
  .set_output_spec = sora_host_set_output_spec,
  .set_cost = sora_host_set_cost,
  .input_attr_i64 = sora_host_input_attr_i64,
  .input_attr_f64 = sora_host_input_attr_f64,
  .input_attr_string = sora_host_input_attr_string,
  .set_output_attr_i64 = sora_host_set_output_attr_i64,
  .set_output_attr_f64 = sora_host_set_output_attr_f64,
  .set_output_attr_string = sora_host_set_output_attr_string,
  .tensor_new = sora_host_tensor_new,
  .tensor_ref = sora_tensor_ref,
  .tensor_unref = sora_tensor_unref,
  .tensor_view = sora_host_tensor_view,
  .make_writable = sora_host_make_writable,
  .tensor_slice = sora_tensor_slice,
  .pull = sora_host_pull,
  .push = sora_host_push,
  .compute = sora_host_compute,
  .cancelled = sora_host_cancelled,
  .progress = sora_host_progress,
  .seed = sora_host_seed,
  .random_key = sora_host_random_key,
  .model_file = sora_host_model_file,
  .model_tensor_info = sora_host_model_tensor_info,
  .weights_open = sora_host_weights_open,
  .weights_tensor = sora_host_weights_tensor,
  .weights_tensor_name = sora_host_weights_tensor_name,
  .weights_done = sora_host_weights_done,
  .weights_close = sora_host_weights_close,
  .reserve = sora_host_reserve,
  .unreserve = sora_host_unreserve,
  .checkpoint_save = sora_host_checkpoint_save,
  .checkpoint_load = sora_host_checkpoint_load,
  .scratch = sora_host_scratch,
  .preview_wanted = sora_host_preview_wanted,
  .preview = sora_host_preview,
  .file_create = sora_host_file_create,
  .info = sora_host_info,
  .memory_limit = sora_host_memory_limit,
  .packed_open = sora_host_packed_open,
  .packed_new = sora_host_packed_new,
  .packed_seal = sora_host_packed_seal,
  .packed_close = sora_host_packed_close,
};

const SoraHost *
sora_host_table (void)
{
  return &host;
}
