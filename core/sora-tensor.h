/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tensors: refcounted, 64-byte aligned, C-contiguous buffers of any rank, allocated by the host alone.
 * The struct is opaque; SoraTensorView of the plugin ABI is the one way to look at it.  Any thread.
 */
#pragma once
#include <glib.h>
#include "sora-plugin.h"

G_BEGIN_DECLS

/**
 * sora_dtype_size:
 * @dtype: a dtype
 *
 * Returns: bytes of one element; 0 for an unknown dtype
 */
size_t sora_dtype_size (SoraDtype dtype);

/**
 * sora_dtype_name:
 * @dtype: a dtype
 *
 * Returns: (nullable): "f32", "u8" ...; NULL if unknown
 */
const char *sora_dtype_name (SoraDtype dtype);

/**
 * sora_dtype_from_name:
 * @name: (nullable): "f32", "u8" ...
 *
 * Returns: the dtype; SORA_DTYPE_INVALID if there is none of that name
 */
SoraDtype sora_dtype_from_name (const char *name);

/**
 * sora_shape_bytes:
 * @dtype: a dtype
 * @ndim: rank, 0 for a scalar
 * @shape: (array length=ndim): extents of 0 or more
 * @bytes: (out): the product, in bytes
 *
 * Multiplies with checks.  Extents of 0 are left out of the bound, since strides are products of the others.
 *
 * Returns: FALSE on an unknown dtype, a negative extent, or more than 2^63-1 bytes
 */
gboolean sora_shape_bytes (SoraDtype dtype, int ndim, const int64_t *shape, uint64_t *bytes);

/**
 * sora_shape_to_string:
 * @ndim: rank
 * @shape: extents; a negative one is written as '?'
 *
 * Returns: (transfer full): "[16,5,8,8]" for messages
 */
char *sora_shape_to_string (int ndim, const int64_t *shape);

/**
 * sora_tensor_new:
 * @dtype: of its elements
 * @ndim: rank, without limit; 0 for a scalar
 * @shape: extents of 0 or more
 * @error: (out) (optional): where to put it
 *
 * The memory is uninitialised, C-contiguous and aligned to 64 bytes; it is never NULL, also where the tensor is
 * empty.
 *
 * Returns: (transfer full): the tensor; NULL on SORA_ERROR_NO_MEMORY, or _FAILED for a shape that cannot be
 */
SoraTensor *sora_tensor_new (SoraDtype dtype, int ndim, const int64_t *shape, GError **error);

/**
 * sora_tensor_ref:
 * @tensor: a tensor
 *
 * Any thread.
 *
 * Returns: (transfer full): @tensor
 */
SoraTensor *sora_tensor_ref (SoraTensor *tensor);

/**
 * sora_tensor_unref:
 * @tensor: (nullable) (transfer full): a tensor
 *
 * Any thread.
 */
void sora_tensor_unref (SoraTensor *tensor);

/**
 * sora_tensor_get_view:
 * @tensor: a tensor
 * @view: (out): its memory, dtype, shape and strides, as long as a reference is held
 */
void sora_tensor_get_view (SoraTensor *tensor, SoraTensorView *view);

/**
 * sora_tensor_make_writable:
 * @tensor: (transfer full): consumed, also on failure
 * @error: (out) (optional): where to put it
 *
 * Returns: (transfer full): the same buffer if nobody else holds it (nor a slice of it), else a copy; NULL on
 *   SORA_ERROR_NO_MEMORY
 */
SoraTensor *sora_tensor_make_writable (SoraTensor *tensor, GError **error);

/**
 * sora_tensor_slice:
 * @tensor: a tensor of rank 1 or more
 * @start: first row of the first axis
 * @length: how many rows, 0 or more
 *
 * Returns: (transfer full) (nullable): a tensor that shares the memory and holds a reference; NULL if out of
 *   range
 */
SoraTensor *sora_tensor_slice (SoraTensor *tensor, int64_t start, int64_t length);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraTensor, sora_tensor_unref)

/* A spec that owns its shape, with attributes: what a port will carry. */
typedef struct {
  SoraDtype dtype;
  int ndim;
  int64_t *shape;  /* -1: unknown until run */
  int64_t chunk;   /* streams: the largest first extent of one tensor; 0: whole */
  GHashTable *attrs; /* char* -> GVariant* (x, d or s) */
} SoraPortSpec;

/**
 * sora_port_spec_new:
 * @dtype: a dtype; SORA_DTYPE_INVALID where it is not known
 * @ndim: rank
 * @shape: extents, copied; -1: unknown until run
 *
 * Returns: (transfer full): a spec without attributes, chunk 0
 */
SoraPortSpec *sora_port_spec_new (SoraDtype dtype, int ndim, const int64_t *shape);

/**
 * sora_port_spec_free:
 * @spec: (nullable) (transfer full): a spec
 */
void sora_port_spec_free (SoraPortSpec *spec);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraPortSpec, sora_port_spec_free)

G_END_DECLS
