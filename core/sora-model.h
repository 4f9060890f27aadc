/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Model folders in the Diffusers layout: model_index.json, components in subfolders, weights in one or more
 * safetensors files (index files for shards).  Read by mmap, used in place.  Pickles are refused with what to do.
 *
 * A model's id is its folder's name; its digest is SHA-256 over (relative path, NUL, size, space, SHA-256, newline) of
 * model_index.json and all files of its components, sorted by path; hidden files and pickles, which are never read,
 * do not count.  It is made once, and kept in the user's cache by (dev, ino, size, mtime, ctime) of each file.
 */
#pragma once
#include "sora-safetensors.h"

G_BEGIN_DECLS

typedef struct SoraModel SoraModel;

SoraModel *sora_model_open (const char *path, GError **error);
SoraModel *sora_model_ref (SoraModel *model);
void sora_model_unref (SoraModel *model);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraModel, sora_model_unref)

const char *sora_model_id (SoraModel *model);       /* "sora-shapes-1" */
const char *sora_model_path (SoraModel *model);
const char *sora_model_family (SoraModel *model);   /* _class_name of model_index.json: "WanPipeline" */
const char *const *sora_model_components (SoraModel *model); /* "text_encoder" ..., NULL-terminated */
const char *sora_model_component_class (SoraModel *model, const char *component); /* "AutoencoderKLWan"; NULL */
gboolean sora_model_has_component (SoraModel *model, const char *component);
/* Hex SHA-256 as above; may read all of it the first time. */
const char *sora_model_digest (SoraModel *model, GError **error);
/* Bytes of weights and number of parameters of one component, or of all (@component NULL), from the headers. */
gboolean sora_model_size (SoraModel *model, const char *component, uint64_t *bytes, uint64_t *parameters,
                          GError **error);
/* A small file, "transformer/config.json"; at most 64 MiB; no ".." and no symlink out of the folder. */
GBytes *sora_model_read_file (SoraModel *model, const char *name, GError **error);
/* dtype and shape of one tensor from the headers (view->data stays NULL); the view lives as long as the model. */
gboolean sora_model_tensor_info (SoraModel *model, const char *component, const char *tensor,
                                 SoraTensorView *view, GError **error);
/* TRUE if (dev, ino, size, mtime, ctime) of all opened files are what they were at open. */
gboolean sora_model_unchanged (SoraModel *model, GError **error);

/* One component's weights, all shards mapped. */
typedef struct SoraModelWeights SoraModelWeights;
SoraModelWeights *sora_model_weights_open (SoraModel *model, const char *component, GError **error);
void sora_model_weights_close (SoraModelWeights *weights);
gboolean sora_model_weights_get (SoraModelWeights *weights, const char *tensor, SoraTensorView *view, GError **error);
const char *sora_model_weights_name (SoraModelWeights *weights, size_t index); /* NULL past the end */
void sora_model_weights_done (SoraModelWeights *weights, const char *tensor);

/* Search path: @user TRUE: $SORA_MODEL_PATH (colon-separated), ~/.local/share/sorad/models, then the system's. */
char **sora_model_default_dirs (gboolean user);
/* All models in the folders of @dirs (NULL-terminated; folders that do not exist are skipped), sorted by id; a
 * broken one is left out and its reason appended to @warnings (may be NULL). */
GPtrArray *sora_model_list (const char *const *dirs, GPtrArray *warnings); /* of SoraModel */
/* By id in @dirs, or by path if @name contains a slash. */
SoraModel *sora_model_find (const char *const *dirs, const char *name, GError **error);

G_END_DECLS
