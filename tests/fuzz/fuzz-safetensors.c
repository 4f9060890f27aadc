/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target: a whole safetensors file.  What is accepted must be readable to its last byte, and
 * must be the same when it is written and read again.
 */
#include "config.h"
#include <jansson.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "arena.h"
#include "mutate.h"
#include "sora-safetensors.h"

/* One file in memory for all runs: making one costs as much as reading a header. */
static SoraSafetensors *
open_bytes (const uint8_t *data, size_t size)
{
  static int fd = -1;
  g_autoptr (GError) error = NULL;
  if (fd < 0)
    fd = memfd_create ("fuzz", MFD_CLOEXEC);
  MUST (fd >= 0 && pwrite (fd, data, size, 0) == (ssize_t)size && ftruncate (fd, (off_t)size) == 0);
  SoraSafetensors *file = sora_safetensors_open_fd (fd, "input", &error);
  MUST_TELL (file, error);
  return file;
}

static void
try_tensors (SoraSafetensors *file, size_t size)
{
  uint64_t total = 0;
  volatile unsigned sum = 0;
  for (const char *const *name = sora_safetensors_names (file); *name != NULL; name++)
    {
      SoraTensorView view, info;
      MUST (sora_safetensors_info (file, *name, &info, NULL));
      MUST (sora_safetensors_get (file, *name, &view, NULL));
      MUST (view.nbytes == info.nbytes && view.ndim == info.ndim && info.data == NULL);
      MUST ((uintptr_t)view.data % sora_dtype_size ((SoraDtype)view.dtype) == 0);
      for (int axis = 0; axis < view.ndim; axis++)
        MUST (view.shape[axis] >= 0 && view.strides[axis] >= 1);
      for (uint64_t i = 0; i < view.nbytes; i++)
        sum += ((const uint8_t *)view.data)[i];
      g_autoptr (SoraTensor) tensor = sora_safetensors_load (file, *name, NULL);
      SoraTensorView copy;
      MUST (tensor != NULL);
      sora_tensor_get_view (tensor, &copy);
      MUST (copy.nbytes == view.nbytes
            && (view.nbytes == 0 || memcmp (copy.data, view.data, view.nbytes) == 0));
      sora_safetensors_done (file, *name);
      total += view.nbytes;
    }
  MUST (total < size);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  fuzz_arena_begin ();
  SoraSafetensors *file = open_bytes (data, size);
  if (file != NULL)
    try_tensors (file, size);
  sora_safetensors_unref (file);
  fuzz_arena_end ();
  return 0;
}

/* ---- mutation: a header of the right length before data of the right size, most of the time */

static const char *const words[]
    = { "dtype", "shape", "data_offsets", "__metadata__", "F32",  "F16",     "BF16", "F64", "U8",
        "I8",    "I16",   "I32",          "I64",          "BOOL", "F8_E4M3", "a",    "b",   "pt",
        NULL };

static void
set_length (Mutation *m, uint64_t length)
{
  for (int i = 0; i < 8 && m->size >= 8; i++)
    m->data[i] = (uint8_t)(length >> (8 * i));
}

static uint64_t
get_length (const Mutation *m)
{
  uint64_t length = 0;
  for (int i = 0; i < 8 && m->size >= 8; i++)
    length |= (uint64_t)m->data[i] << (8 * i);
  return m->size >= 8 ? MIN (length, m->size - 8) : 0;
}

static void
set_header (Mutation *m, size_t old_length, const char *text, size_t length)
{
  if (mutation_splice (m, 8, 8 + old_length, text, length))
    set_length (m, length);
}

static void
change_header (Mutation *m, size_t length)
{
  g_autofree uint8_t *copy = g_malloc (m->max);
  memcpy (copy, m->data + 8, length);
  Mutation header = { copy, length, m->max - (m->size - length), m->state };
  mutation_json (&header, words);
  m->state = header.state;
  set_header (m, length, (char *)copy, header.size);
}

/* Offsets that follow each other, as the shapes say, and as much data. */
static void
lay_out (Mutation *m, size_t length)
{
  static const struct
  {
    const char *name;
    uint64_t size;
  } sizes[] = { { "F64", 8 },  { "I64", 8 }, { "F32", 4 }, { "I32", 4 }, { "F16", 2 },
                { "BF16", 2 }, { "I16", 2 }, { "U8", 1 },  { "I8", 1 },  { "BOOL", 1 } };
  json_t *root = json_loadb ((char *)m->data + 8, length, 0, NULL), *value;
  const char *key;
  uint64_t at = 0;
  json_object_foreach (root, key, value)
  {
    const char *dtype = json_string_value (json_object_get (value, "dtype"));
    json_t *shape = json_object_get (value, "shape"), *extent;
    uint64_t bytes = 1;
    size_t i;
    if (dtype == NULL)
      continue;
    for (i = 0; i < G_N_ELEMENTS (sizes); i++)
      if (strcmp (sizes[i].name, dtype) == 0)
        bytes = sizes[i].size;
    json_array_foreach (shape, i, extent) { bytes *= (uint64_t)json_integer_value (extent); }
    if (at + (bytes & 0xFFFFFF) > m->max)
      bytes = 0;
    json_object_set_new (value, "data_offsets",
                         json_pack ("[I,I]", (json_int_t)at, (json_int_t)(at + bytes)));
    at += bytes;
  }
  g_autofree uint8_t *made = g_malloc0 (m->max);
  size_t size = root != NULL ? json_dumpb (root, (char *)made + 8, m->max - 8, JSON_COMPACT) : 0;
  json_decref (root);
  if (size == 0 || 8 + size + at > m->max)
    return;
  memcpy (m->data, made, 8 + size);
  memset (m->data + 8 + size, (int)(m->state & 0xFF), at);
  m->size = 8 + size + at;
  set_length (m, size);
}

size_t
LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
  Mutation m = mutation_begin (data, size, max_size, seed);
  size_t length = (size_t)get_length (&m);
  uint32_t what = mutation_random (&m, 8);
  if (size < 10 || max_size < 16 || what == 0)
    return LLVMFuzzerMutate (data, size, max_size);
  if (what == 1)
    mutation_bytes (&m, 8 + length, m.size, m.size - 8 - length + 8);
  else
    change_header (&m, length);
  if (what >= 5)
    lay_out (&m, (size_t)get_length (&m));
  return m.size;
}
