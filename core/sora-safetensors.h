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

SoraSafetensors *sora_safetensors_open (const char *path, GError **error);
SoraSafetensors *sora_safetensors_open_fd (int fd, const char *display_name, GError **error); /* fd stays the caller's */
SoraSafetensors *sora_safetensors_ref (SoraSafetensors *file);
void sora_safetensors_unref (SoraSafetensors *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraSafetensors, sora_safetensors_unref)

/* NULL-terminated, in file order; belongs to @file. */
const char *const *sora_safetensors_names (SoraSafetensors *file);
/* The mapped bytes of one tensor; FALSE (SORA_ERROR_INVALID_MODEL) if there is none of that name. */
gboolean sora_safetensors_get (SoraSafetensors *file, const char *name, SoraTensorView *view, GError **error);
/* The same without mapping anything: view->data is NULL. */
gboolean sora_safetensors_info (SoraSafetensors *file, const char *name, SoraTensorView *view, GError **error);
/* The pages of that tensor are not needed again (madvise DONTNEED on whole pages). */
void sora_safetensors_done (SoraSafetensors *file, const char *name);
/* Value of a __metadata__ key, or NULL. */
const char *sora_safetensors_metadata (SoraSafetensors *file, const char *key);
/* A copy of one tensor, for use as an input of a graph. */
SoraTensor *sora_safetensors_load (SoraSafetensors *file, const char *name, GError **error);

/* Writes names/tensors (same length @n) and string metadata (may be NULL) to @path: temporary file in the same
 * folder, fsync, rename.  Nothing is left behind on failure. */
gboolean sora_safetensors_write (const char *path, const char *const *names, SoraTensor *const *tensors,
                                 size_t n, GHashTable *metadata, GError **error);

G_END_DECLS
