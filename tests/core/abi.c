/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The layout of plugin ABI 1.0, in numbers, for x86-64: where each member of each struct stands, and what each value
 * of each enum is.  These numbers never change; a member that a later minor appends gets a line of its own below the
 * others of its struct, and the struct's size grows.  A failure here means that plugins which exist would break.
 */
#include "config.h"
#include <stdio.h>
#include <stdlib.h>
#include "sora-plugin.h"

#if !defined(__x86_64__) || !defined(__LP64__)
int
main (void)
{
  puts ("the numbers are those of x86-64");
  return 77; /* skipped */
}
#else

#define SIZE(type, bytes) { #type, sizeof (type), bytes }
#define PLACE(type, member, bytes) { #type "." #member, offsetof (type, member), bytes }
#define VALUE(name, number) { #name, (size_t)(long)(name), (size_t)(long)(number) }

static const struct
{
  const char *what;
  size_t is, was;
} table[] = {
  SIZE (SoraTensorView, 48),
  PLACE (SoraTensorView, struct_size, 0),
  PLACE (SoraTensorView, dtype, 4),
  PLACE (SoraTensorView, data, 8),
  PLACE (SoraTensorView, shape, 16),
  PLACE (SoraTensorView, strides, 24),
  PLACE (SoraTensorView, ndim, 32),
  PLACE (SoraTensorView, flags, 36),
  PLACE (SoraTensorView, nbytes, 40),
  SIZE (SoraSpec, 32),
  PLACE (SoraSpec, struct_size, 0),
  PLACE (SoraSpec, dtype, 4),
  PLACE (SoraSpec, shape, 8),
  PLACE (SoraSpec, ndim, 16),
  PLACE (SoraSpec, flags, 20),
  PLACE (SoraSpec, chunk, 24),
  SIZE (SoraCost, 64),
  PLACE (SoraCost, struct_size, 0),
  PLACE (SoraCost, flags, 4),
  PLACE (SoraCost, weights_bytes, 8),
  PLACE (SoraCost, packed_bytes, 16),
  PLACE (SoraCost, work_bytes, 24),
  PLACE (SoraCost, scratch_bytes, 32),
  PLACE (SoraCost, output_bytes, 40),
  PLACE (SoraCost, flops, 48),
  PLACE (SoraCost, steps, 56),
  PLACE (SoraCost, reserved, 60),
  SIZE (SoraPort, 48),
  PLACE (SoraPort, struct_size, 0),
  PLACE (SoraPort, flags, 4),
  PLACE (SoraPort, name, 8),
  PLACE (SoraPort, semantic, 16),
  PLACE (SoraPort, dtypes, 24),
  PLACE (SoraPort, reserved, 28),
  PLACE (SoraPort, dims, 32),
  PLACE (SoraPort, help, 40),
  SIZE (SoraParam, 112),
  PLACE (SoraParam, struct_size, 0),
  PLACE (SoraParam, type, 4),
  PLACE (SoraParam, flags, 8),
  PLACE (SoraParam, reserved, 12),
  PLACE (SoraParam, name, 16),
  PLACE (SoraParam, unit, 24),
  PLACE (SoraParam, help, 32),
  PLACE (SoraParam, i64_default, 40),
  PLACE (SoraParam, i64_min, 48),
  PLACE (SoraParam, i64_max, 56),
  PLACE (SoraParam, f64_default, 64),
  PLACE (SoraParam, f64_min, 72),
  PLACE (SoraParam, f64_max, 80),
  PLACE (SoraParam, str_default, 88),
  PLACE (SoraParam, choices, 96),
  PLACE (SoraParam, i64_multiple, 104),
  SIZE (SoraModelSlot, 24),
  PLACE (SoraModelSlot, struct_size, 0),
  PLACE (SoraModelSlot, flags, 4),
  PLACE (SoraModelSlot, name, 8),
  PLACE (SoraModelSlot, components, 16),
  SIZE (SoraStageClass, 104),
  PLACE (SoraStageClass, struct_size, 0),
  PLACE (SoraStageClass, flags, 4),
  PLACE (SoraStageClass, id, 8),
  PLACE (SoraStageClass, kind, 16),
  PLACE (SoraStageClass, summary, 24),
  PLACE (SoraStageClass, inputs, 32),
  PLACE (SoraStageClass, outputs, 40),
  PLACE (SoraStageClass, params, 48),
  PLACE (SoraStageClass, models, 56),
  PLACE (SoraStageClass, infer, 64),
  PLACE (SoraStageClass, create, 72),
  PLACE (SoraStageClass, run, 80),
  PLACE (SoraStageClass, release, 88),
  PLACE (SoraStageClass, destroy, 96),
  SIZE (SoraPlugin, 64),
  PLACE (SoraPlugin, magic, 0),
  PLACE (SoraPlugin, struct_size, 4),
  PLACE (SoraPlugin, abi_major, 8),
  PLACE (SoraPlugin, abi_minor, 10),
  PLACE (SoraPlugin, needs_minor, 12),
  PLACE (SoraPlugin, flags, 14),
  PLACE (SoraPlugin, id, 16),
  PLACE (SoraPlugin, version, 24),
  PLACE (SoraPlugin, licence, 32),
  PLACE (SoraPlugin, summary, 40),
  PLACE (SoraPlugin, stages, 48),
  PLACE (SoraPlugin, probe, 56),
  SIZE (SoraHost, 440), /* 1.0: 400 */
  PLACE (SoraHost, struct_size, 0),
  PLACE (SoraHost, abi_major, 4),
  PLACE (SoraHost, abi_minor, 6),
  PLACE (SoraHost, version, 8),
  PLACE (SoraHost, log, 16),
  PLACE (SoraHost, fail, 24),
  PLACE (SoraHost, param_is_set, 32),
  PLACE (SoraHost, param_bool, 40),
  PLACE (SoraHost, param_i64, 48),
  PLACE (SoraHost, param_f64, 56),
  PLACE (SoraHost, param_string, 64),
  PLACE (SoraHost, param_strings, 72),
  PLACE (SoraHost, param_f64s, 80),
  PLACE (SoraHost, param_file, 88),
  PLACE (SoraHost, input_spec, 96),
  PLACE (SoraHost, set_output_spec, 104),
  PLACE (SoraHost, set_cost, 112),
  PLACE (SoraHost, input_attr_i64, 120),
  PLACE (SoraHost, input_attr_f64, 128),
  PLACE (SoraHost, input_attr_string, 136),
  PLACE (SoraHost, set_output_attr_i64, 144),
  PLACE (SoraHost, set_output_attr_f64, 152),
  PLACE (SoraHost, set_output_attr_string, 160),
  PLACE (SoraHost, tensor_new, 168),
  PLACE (SoraHost, tensor_ref, 176),
  PLACE (SoraHost, tensor_unref, 184),
  PLACE (SoraHost, tensor_view, 192),
  PLACE (SoraHost, make_writable, 200),
  PLACE (SoraHost, tensor_slice, 208),
  PLACE (SoraHost, pull, 216),
  PLACE (SoraHost, push, 224),
  PLACE (SoraHost, compute, 232),
  PLACE (SoraHost, cancelled, 240),
  PLACE (SoraHost, progress, 248),
  PLACE (SoraHost, seed, 256),
  PLACE (SoraHost, random_key, 264),
  PLACE (SoraHost, model_file, 272),
  PLACE (SoraHost, model_tensor_info, 280),
  PLACE (SoraHost, weights_open, 288),
  PLACE (SoraHost, weights_tensor, 296),
  PLACE (SoraHost, weights_tensor_name, 304),
  PLACE (SoraHost, weights_done, 312),
  PLACE (SoraHost, weights_close, 320),
  PLACE (SoraHost, reserve, 328),
  PLACE (SoraHost, unreserve, 336),
  PLACE (SoraHost, checkpoint_save, 344),
  PLACE (SoraHost, checkpoint_load, 352),
  PLACE (SoraHost, scratch, 360),
  PLACE (SoraHost, preview_wanted, 368),
  PLACE (SoraHost, preview, 376),
  PLACE (SoraHost, file_create, 384),
  PLACE (SoraHost, info, 392),
  PLACE (SoraHost, memory_limit, 400), /* 1.1 */
  PLACE (SoraHost, packed_open, 408),  /* 1.2 */
  PLACE (SoraHost, packed_new, 416),
  PLACE (SoraHost, packed_seal, 424),
  PLACE (SoraHost, packed_close, 432),
  VALUE (SORA_OK, 0),
  VALUE (SORA_EOS, 1),
  VALUE (SORA_FAILED, -1),
  VALUE (SORA_CANCELLED, -2),
  VALUE (SORA_NOT_FOUND, -3),
  VALUE (SORA_UNAVAILABLE, -4),
  VALUE (SORA_DTYPE_INVALID, 0),
  VALUE (SORA_F32, 1),
  VALUE (SORA_F16, 2),
  VALUE (SORA_BF16, 3),
  VALUE (SORA_F64, 4),
  VALUE (SORA_U8, 5),
  VALUE (SORA_I8, 6),
  VALUE (SORA_I16, 7),
  VALUE (SORA_I32, 8),
  VALUE (SORA_I64, 9),
  VALUE (SORA_BOOL, 10),
  VALUE (SORA_PORT_STREAM, 1),
  VALUE (SORA_PORT_OPTIONAL, 2),
  VALUE (SORA_PORT_CACHEABLE, 4),
  VALUE (SORA_PARAM_BOOL, 1),
  VALUE (SORA_PARAM_I64, 2),
  VALUE (SORA_PARAM_F64, 3),
  VALUE (SORA_PARAM_STRING, 4),
  VALUE (SORA_PARAM_ENUM, 5),
  VALUE (SORA_PARAM_STRING_LIST, 6),
  VALUE (SORA_PARAM_F64_LIST, 7),
  VALUE (SORA_PARAM_FILE, 8),
  VALUE (SORA_PARAM_LOAD, 1),
  VALUE (SORA_PARAM_REQUIRED, 2),
  VALUE (SORA_PARAM_SECRET, 4),
  VALUE (SORA_LOG_DEBUG, 0),
  VALUE (SORA_LOG_INFO, 1),
  VALUE (SORA_LOG_WARNING, 2),
  VALUE (SORA_MEMORY_WEIGHTS, 0),
  VALUE (SORA_MEMORY_WORK, 1),
  VALUE (SORA_PLUGIN_MAGIC, 0x41524f53),
  VALUE (SORA_ABI_MAJOR, 1),
};

int
main (void)
{
  int wrong = 0;
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
    if (table[i].is != table[i].was)
      {
        fprintf (stderr, "%s is %zu, was %zu in ABI 1.0\n", table[i].what, table[i].is, table[i].was);
        wrong++;
      }
  return wrong > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
#endif
