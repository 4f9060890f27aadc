/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tensors: refcounted, 64-byte aligned, C-contiguous buffers of any rank, allocated by the host alone.
 * The struct is opaque; SoraTensorView of the plugin ABI is the one way to look at it.  Any thread.
 */
#pragma once
#include <glib.h>
#include "sora-plugin.h"

G_BEGIN_DECLS

/* Bytes of one element, 0 for an unknown dtype. */
size_t sora_dtype_size (SoraDtype dtype);
/* "f32", "u8" ...; NULL if unknown; and back (SORA_DTYPE_INVALID). */
const char *sora_dtype_name (SoraDtype dtype);
SoraDtype sora_dtype_from_name (const char *name);
/* Number of bytes of that shape, with checked multiplication.  FALSE on overflow or a negative extent. */
gboolean sora_shape_bytes (SoraDtype dtype, int ndim, const int64_t *shape, uint64_t *bytes);
/* "[16,5,8,8]" for messages. */
char *sora_shape_to_string (int ndim, const int64_t *shape);

SoraTensor *sora_tensor_new (SoraDtype dtype, int ndim, const int64_t *shape, GError **error);
SoraTensor *sora_tensor_ref (SoraTensor *tensor);
void sora_tensor_unref (SoraTensor *tensor);
void sora_tensor_get_view (SoraTensor *tensor, SoraTensorView *view);
/* Consumes the reference: the same buffer if nobody else holds it (nor a slice of it), else a copy. */
SoraTensor *sora_tensor_make_writable (SoraTensor *tensor, GError **error);
/* Rows [start, start+length) of the first axis; shares memory and holds a reference.  NULL if out of range. */
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
SoraPortSpec *sora_port_spec_new (SoraDtype dtype, int ndim, const int64_t *shape);
SoraPortSpec *sora_port_spec_copy (const SoraPortSpec *spec);
void sora_port_spec_free (SoraPortSpec *spec);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraPortSpec, sora_port_spec_free)

G_END_DECLS
