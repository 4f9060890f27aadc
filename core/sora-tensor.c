/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The tensor: one allocation for the struct with its shape and strides, one for the data.  A slice
 * has no data of its own: it holds a reference to the tensor that has (never to another slice), so
 * "does anybody else hold this buffer" is one look at the owner's count.
 */
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include "sora-error.h"
#include "sora-tensor-private.h"
#include <sys/mman.h>

#define ALIGNMENT 64

struct SoraTensor
{
  int refs; /* atomic */
  SoraDtype dtype;
  int ndim;
  SoraTensor *owner; /* of the memory, for a slice; else NULL */
  void *data;
  gboolean mapped; /* read-only; munmap() frees it */
  uint64_t nbytes;
  int64_t extents[]; /* ndim of the shape, then ndim strides in elements */
};

static const struct
{
  const char *name;
  size_t size;
} dtypes[] = {
  [SORA_F32] = { "f32", 4 },   [SORA_F16] = { "f16", 2 }, [SORA_BF16] = { "bf16", 2 },
  [SORA_F64] = { "f64", 8 },   [SORA_U8] = { "u8", 1 },   [SORA_I8] = { "i8", 1 },
  [SORA_I16] = { "i16", 2 },   [SORA_I32] = { "i32", 4 }, [SORA_I64] = { "i64", 8 },
  [SORA_BOOL] = { "bool", 1 },
};

size_t
sora_dtype_size (SoraDtype dtype)
{
  return (unsigned)dtype < G_N_ELEMENTS (dtypes) ? dtypes[dtype].size : 0;
}

const char *
sora_dtype_name (SoraDtype dtype)
{
  return (unsigned)dtype < G_N_ELEMENTS (dtypes) ? dtypes[dtype].name : NULL;
}

SoraDtype
sora_dtype_from_name (const char *name)
{
  for (unsigned i = 1; i < G_N_ELEMENTS (dtypes); i++)
    if (g_strcmp0 (dtypes[i].name, name) == 0)
      return (SoraDtype)i;
  return SORA_DTYPE_INVALID;
}

gboolean
sora_shape_bytes (SoraDtype dtype, int ndim, const int64_t *shape, uint64_t *bytes)
{
  uint64_t size = sora_dtype_size (dtype);
  gboolean empty = FALSE;
  if (size == 0 || ndim < 0 || (ndim > 0 && shape == NULL))
    return FALSE;
  /* An extent of zero counts as one here, as in NumPy: nothing is stored, but the strides of the
   * other axes are still products of their extents. */
  for (int i = 0; i < ndim; i++)
    {
      if (shape[i] < 0 || !g_uint64_checked_mul (&size, size, (uint64_t)MAX (shape[i], 1)))
        return FALSE;
      empty |= shape[i] == 0;
    }
  if (size > PTRDIFF_MAX)
    return FALSE;
  *bytes = empty ? 0 : size;
  return TRUE;
}

char *
sora_shape_to_string (int ndim, const int64_t *shape)
{
  GString *text = g_string_new ("[");
  for (int i = 0; i < ndim; i++)
    {
      if (i > 0)
        g_string_append_c (text, ',');
      if (shape[i] < 0)
        g_string_append_c (text, '?');
      else
        g_string_append_printf (text, "%" G_GINT64_FORMAT, shape[i]);
    }
  g_string_append_c (text, ']');
  return g_string_free (text, FALSE);
}

static SoraTensor *
tensor_alloc (SoraDtype dtype, int ndim, const int64_t *shape, uint64_t nbytes)
{
  SoraTensor *tensor = g_malloc0 (sizeof (SoraTensor) + 2 * (size_t)ndim * sizeof (int64_t));
  tensor->refs = 1;
  tensor->dtype = dtype;
  tensor->ndim = ndim;
  tensor->nbytes = nbytes;
  int64_t *strides = tensor->extents + ndim;
  uint64_t stride = 1;
  for (int i = ndim - 1; i >= 0; i--)
    {
      tensor->extents[i] = shape[i];
      strides[i] = (int64_t)stride;
      stride *= (uint64_t)MAX (shape[i], 1); /* sora_shape_bytes() has seen that it does not wrap */
    }
  return tensor;
}

SoraTensor *
sora_tensor_new (SoraDtype dtype, int ndim, const int64_t *shape, GError **error)
{
  uint64_t nbytes;
  if (!sora_shape_bytes (dtype, ndim, shape, &nbytes))
    {
      const char *name = sora_dtype_name (dtype);
      g_autofree char *text = ndim < 0 || (ndim > 0 && shape == NULL)
                                  ? g_strdup_printf ("of rank %d", ndim)
                                  : sora_shape_to_string (ndim, shape);
      sora_error_set (
          error, SORA_ERROR_FAILED,
          "a tensor %s of dtype %s (%d) cannot be: expected a known dtype, extents that are not "
          "negative and at most 2^63-1 bytes",
          text, name != NULL ? name : "?", (int)dtype);
      return NULL;
    }
  /* A multiple of the alignment, and never nothing: data is not NULL even for an empty tensor. */
  size_t size = nbytes > PTRDIFF_MAX - ALIGNMENT
                    ? 0
                    : MAX ((nbytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, ALIGNMENT);
  void *data = size > 0 ? aligned_alloc (ALIGNMENT, size) : NULL;
  if (data == NULL)
    {
      g_autofree char *text = sora_shape_to_string (ndim, shape);
      sora_error_set (error, SORA_ERROR_NO_MEMORY,
                      "no memory for a tensor %s of %s, %" G_GUINT64_FORMAT " bytes", text,
                      sora_dtype_name (dtype), (guint64)nbytes);
      return NULL;
    }
  SoraTensor *tensor = tensor_alloc (dtype, ndim, shape, nbytes);
  tensor->data = data;
  return tensor;
}

SoraTensor *
sora_tensor_new_mapped (SoraDtype dtype, int ndim, const int64_t *shape, void *data, guint64 nbytes)
{
  SoraTensor *tensor = tensor_alloc (dtype, ndim, shape, nbytes);
  tensor->data = data;
  tensor->mapped = TRUE;
  return tensor;
}

SoraTensor *
sora_tensor_ref (SoraTensor *tensor)
{
  g_atomic_int_inc (&tensor->refs);
  return tensor;
}

void
sora_tensor_unref (SoraTensor *tensor)
{
  if (tensor == NULL || !g_atomic_int_dec_and_test (&tensor->refs))
    return;
  if (tensor->owner != NULL)
    sora_tensor_unref (tensor->owner);
  else if (tensor->mapped)
    munmap (tensor->data, tensor->nbytes);
  else
    free (tensor->data);
  g_free (tensor);
}

void
sora_tensor_get_view (SoraTensor *tensor, SoraTensorView *view)
{
  *view = (SoraTensorView){
    .struct_size = sizeof *view,
    .dtype = tensor->dtype,
    .data = tensor->data,
    .shape = tensor->extents,
    .strides = tensor->extents + tensor->ndim,
    .ndim = tensor->ndim,
    .nbytes = tensor->nbytes,
  };
}

SoraTensor *
sora_tensor_make_writable (SoraTensor *tensor, GError **error)
{
  const SoraTensor *holder = tensor->owner != NULL ? tensor->owner : tensor;
  if (!holder->mapped && g_atomic_int_get (&tensor->refs) == 1
      && (tensor->owner == NULL || g_atomic_int_get (&tensor->owner->refs) == 1))
    return tensor;
  g_autoptr (SoraTensor) shared = tensor;
  SoraTensor *copy = sora_tensor_new (shared->dtype, shared->ndim, shared->extents, error);
  if (copy != NULL)
    memcpy (copy->data, shared->data, shared->nbytes);
  return copy;
}

SoraTensor *
sora_tensor_slice (SoraTensor *tensor, int64_t start, int64_t length)
{
  if (tensor->ndim == 0 || start < 0 || length < 0 || start > tensor->extents[0]
      || length > tensor->extents[0] - start)
    return NULL;
  uint64_t row = tensor->extents[0] > 0 ? tensor->nbytes / (uint64_t)tensor->extents[0] : 0;
  g_autofree int64_t *shape = g_memdup2 (tensor->extents, (size_t)tensor->ndim * sizeof (int64_t));
  shape[0] = length;
  SoraTensor *slice = tensor_alloc (tensor->dtype, tensor->ndim, shape, row * (uint64_t)length);
  slice->data = (char *)tensor->data + row * (uint64_t)start;
  slice->owner = sora_tensor_ref (tensor->owner != NULL ? tensor->owner : tensor);
  return slice;
}
