/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * safetensors files: a bounded, checked reader over mmap, and a writer that is atomic.
 *
 * Format: u64 little-endian header length, a JSON header (16 MiB at most), then the data.  Checked before any
 * use: header bounds, duplicate keys, dtype names, shape products, offsets that are contiguous, non-overlapping
 * and cover the data exactly.  Regular files only.
 */
#pragma once
#include "sora-tensor.h"

G_BEGIN_DECLS

typedef struct SoraSafetensors SoraSafetensors;

/**
 * sora_safetensors_open:
 * @path: a regular file; any other kind is refused
 * @error: (out) (optional): where to put it
 *
 * Reads and checks the header; nothing is mapped yet.
 *
 * Returns: (transfer full): the file; NULL on SORA_ERROR_INVALID_MODEL (a lie in the header, a pickle, ...) or
 *   _NOT_FOUND
 */
SoraSafetensors *sora_safetensors_open (const char *path, GError **error);

/**
 * sora_safetensors_open_fd:
 * @fd: a descriptor of a regular file; it stays the caller's
 * @display_name: what messages call it
 * @error: (out) (optional): where to put it
 *
 * Returns: (transfer full): as sora_safetensors_open()
 */
SoraSafetensors *sora_safetensors_open_fd (int fd, const char *display_name, GError **error);

/**
 * sora_safetensors_unref:
 * @file: (nullable) (transfer full): a file; with the last reference its mapping goes, and all views of it
 */
void sora_safetensors_unref (SoraSafetensors *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraSafetensors, sora_safetensors_unref)

/**
 * sora_safetensors_names:
 * @file: a file
 *
 * Returns: (transfer none): the names, NULL-terminated, in the order of their data
 */
const char *const *sora_safetensors_names (SoraSafetensors *file);

/**
 * sora_safetensors_get:
 * @file: a file
 * @name: a tensor of it
 * @view: (out): the mapped bytes, read-only, aligned for their dtype, C-contiguous; as long as @file lives
 * @error: (out) (optional): where to put it
 *
 * Maps the file the first time.  Any thread.
 *
 * Returns: FALSE (SORA_ERROR_INVALID_MODEL) if there is none of that name, or the mapping fails
 */
gboolean sora_safetensors_get (SoraSafetensors *file, const char *name, SoraTensorView *view, GError **error);

/**
 * sora_safetensors_info:
 * @file: a file
 * @name: a tensor of it
 * @view: (out): its dtype and shape; data is NULL
 * @error: (out) (optional): where to put it
 *
 * As sora_safetensors_get(), without mapping anything.
 *
 * Returns: FALSE (SORA_ERROR_INVALID_MODEL) if there is none of that name
 */
gboolean sora_safetensors_info (SoraSafetensors *file, const char *name, SoraTensorView *view, GError **error);

/**
 * sora_safetensors_done:
 * @file: a file
 * @name: a tensor of it, whose pages are not needed again for now
 *
 * Gives whole pages back to the system; the view stays valid, and reading it reads the file again.
 */
void sora_safetensors_done (SoraSafetensors *file, const char *name);

/**
 * sora_safetensors_metadata:
 * @file: a file
 * @key: a key of its __metadata__
 *
 * Returns: (nullable) (transfer none): the value
 */
const char *sora_safetensors_metadata (SoraSafetensors *file, const char *key);

/**
 * sora_safetensors_load:
 * @file: a file
 * @name: a tensor of it
 * @error: (out) (optional): where to put it
 *
 * A copy that is read, not mapped, for use as an input of a graph.
 *
 * Returns: (transfer full): the tensor; NULL on SORA_ERROR_INVALID_MODEL or _NO_MEMORY
 */
SoraTensor *sora_safetensors_load (SoraSafetensors *file, const char *name, GError **error);

/**
 * sora_safetensors_write:
 * @path: the file to make or replace
 * @names: @n different names
 * @tensors: @n tensors, of any dtype and rank
 * @n: how many
 * @metadata: (nullable): char* to char*, UTF-8
 * @error: (out) (optional): where to put it
 *
 * Writes a temporary file in the same folder, syncs it and renames it: @path has its old content or all of the
 * new one, also after a power cut.  Tensors are aligned in the file, those of wider elements first.
 *
 * Returns: FALSE on SORA_ERROR_NO_SPACE, _DENIED, _NOT_FOUND (the folder) or _FAILED; then nothing is left
 *   behind
 */
gboolean sora_safetensors_write (const char *path, const char *const *names, SoraTensor *const *tensors,
                                 size_t n, GHashTable *metadata, GError **error);

G_END_DECLS
