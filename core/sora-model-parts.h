/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Private to libsora-core: models that are no Diffusers folder but single safetensors files, which lie in one folder or
 * are named by a `model.conf` there.  Once read they look like a Diffusers folder: the same components, tensors by
 * their Diffusers names, and the small files made from the headers.
 */
#pragma once
#include "sora-model-private.h"

G_BEGIN_DECLS

/* Has the folder, which has no model_index.json, a model.conf, or a file of a kind that goes into such a model?  (One
 * file that is a model by itself is of sora-model-single.c.) */
gboolean sora_model_parts_is (SoraModel *model);
/* Recognises the files, makes the small ones, fills the components. */
gboolean sora_model_parts_read (SoraModel *model, GError **error);
void sora_model_parts_free (SoraModelParts *parts);
/* A small file, as plugins name it: "transformer/config.json". */
GBytes *sora_model_parts_read_file (SoraModel *model, const char *name, GError **error);
/* What the digest covers: names of stored files, in order, and by which name each goes into it. */
GPtrArray *sora_model_parts_files (SoraModel *model);
const char *sora_model_parts_label (SoraModel *model, const char *file);

G_END_DECLS
