/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Model folders in the Diffusers layout: model_index.json, components in subfolders, weights in one or more
 * safetensors files (index files for shards).  Read by mmap, used in place.  Pickles are refused with what to do.
 * Single safetensors files (transformer, text encoder, VAE) in one folder, or named by its model.conf, with original or
 * Diffusers names, look the same once they are open.  One safetensors file alone is a model of one component, where its
 * tensors tell what it is: "taehv", the tiny decoder of TAEHV.
 *
 * A model's id is its folder's name, or the file's without ".safetensors"; its digest is SHA-256 over (relative path,
 * NUL, size, space, SHA-256, newline) of model_index.json and all files of its components, or of the one file, sorted
 * by path; hidden files and pickles, which are never read, do not count.  For single files in one model it is over
 * those files, called by their components.  It is made once, and kept in the user's cache by (dev, ino, size, mtime,
 * ctime) of each file.
 */
#pragma once
#include "sora-safetensors.h"

G_BEGIN_DECLS

typedef struct SoraModel SoraModel;

/**
 * sora_model_open:
 * @path: a folder in the Diffusers layout, or of the single files of a model; a safetensors file of a known kind, or a
 *   folder that holds one and no model_index.json
 * @error: (out) (optional): where to put it
 *
 * Reads model_index.json (or model.conf, or what is in the folder) and the header of every weights file; all shards
 * must be there and be what the index says.
 *
 * Returns: (transfer full): the model; NULL on SORA_ERROR_INVALID_MODEL or _NOT_FOUND
 */
SoraModel *sora_model_open (const char *path, GError **error);

/**
 * sora_model_make_conf:
 * @paths: (array zero-terminated=1): single safetensors files; one that ends in ".model" is the tokenizer
 * @error: (out) (optional): where to put it
 *
 * What the model.conf of a model of these files says: with it in a folder, that folder is the model.
 *
 * Returns: (transfer full): its text; NULL on SORA_ERROR_INVALID_MODEL (a pickle, two of one kind, a part is missing)
 *   or _NOT_FOUND
 */
char *sora_model_make_conf (const char *const *paths, GError **error);

/**
 * sora_model_ref:
 * @model: a model
 *
 * Returns: (transfer full): @model
 */
SoraModel *sora_model_ref (SoraModel *model);

/**
 * sora_model_unref:
 * @model: (nullable) (transfer full): a model; views from sora_model_tensor_info() end with it
 */
void sora_model_unref (SoraModel *model);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraModel, sora_model_unref)

/**
 * sora_model_id:
 * @model: a model
 *
 * Returns: its folder's or its file's name: "sora-shapes-1", "taew2_1"
 */
const char *sora_model_id (SoraModel *model);

/**
 * sora_model_path:
 * @model: a model
 *
 * Returns: its folder or file, absolute
 */
const char *sora_model_path (SoraModel *model);

/**
 * sora_model_is_single:
 * @model: a model
 *
 * Returns: whether it is one file: a part for a stage, and no whole model
 */
gboolean sora_model_is_single (SoraModel *model);

/**
 * sora_model_family:
 * @model: a model
 *
 * Returns: _class_name of model_index.json: "WanPipeline"; of a single file "TAEHV"
 */
const char *sora_model_family (SoraModel *model);

/**
 * SORA_MODEL_DEFAULTS:
 *
 * A file of a model's folder: a JSON object of public parameters and what suits the model, such as
 * {"width": 96, "height": 96, "frames": 17}.
 */
#define SORA_MODEL_DEFAULTS "sora_defaults.json"

/**
 * sora_model_defaults:
 * @model: a model
 * @error: (out) (optional): where to put it
 *
 * Returns: (transfer full): public parameter -> its value as text, empty if the model has no SORA_MODEL_DEFAULTS;
 *   NULL on SORA_ERROR_INVALID_MODEL.  Whether a pipeline has such parameters, and the values fit, is the plan's to see
 */
GHashTable *sora_model_defaults (SoraModel *model, GError **error);

/**
 * sora_model_components:
 * @model: a model
 *
 * Returns: (transfer none): "text_encoder" ..., NULL-terminated, in the order of model_index.json
 */
const char *const *sora_model_components (SoraModel *model);

/**
 * sora_model_component_class:
 * @model: a model
 * @component: a name
 *
 * Returns: (nullable): "AutoencoderKLWan"; NULL if there is no such component
 */
const char *sora_model_component_class (SoraModel *model, const char *component);

/**
 * sora_model_has_component:
 * @model: a model
 * @component: a name
 *
 * Returns: whether it has that component
 */
gboolean sora_model_has_component (SoraModel *model, const char *component);

/**
 * sora_model_digest:
 * @model: a model
 * @error: (out) (optional): where to put it
 *
 * May read all of the model the first time; later each file's part comes from $XDG_CACHE_HOME/sorad/digests, or from
 * where sora_model_set_digest_dirs() says. Any thread.
 *
 * Returns: (transfer none): 64 hexadecimal digits; NULL on SORA_ERROR_INVALID_MODEL (also when a file changed
 *   since open)
 */
const char *sora_model_digest (SoraModel *model, GError **error);

/**
 * sora_model_digest_stoppable:
 * @model: a model
 * @stopped: (nullable): asked for each block that is read: TRUE gives up
 * @data: for @stopped
 * @error: (out) (optional): where to put it
 *
 * sora_model_digest() that can be stopped.
 *
 * Returns: (transfer none): the digest; NULL also on SORA_ERROR_CANCELLED
 */
const char *sora_model_digest_stoppable (SoraModel *model, gboolean (*stopped) (gpointer data), gpointer data,
                                         GError **error);

/**
 * sora_model_set_digest_dirs:
 * @kept: (nullable): the folder where digests of files are kept, and looked for; NULL: $XDG_CACHE_HOME/sorad/digests
 * @believed: (nullable): a folder of digests that others made, looked into first and never written; NULL: none
 *
 * Of the whole process: before a second thread asks for a digest. Who can write into either can give a model any digest.
 */
void sora_model_set_digest_dirs (const char *kept, const char *believed);

/**
 * SoraModelProgress:
 * @done: bytes that were read
 * @total: bytes that there are
 * @data: the caller's
 *
 * Returns: FALSE to stop
 */
typedef gboolean (*SoraModelProgress) (uint64_t done, uint64_t total, gpointer data);

/**
 * sora_model_make_digest:
 * @model: a model
 * @fresh: read every byte now, whatever the cache knows; what is found replaces it there
 * @progress: (nullable): told for every block that is read, and at the end
 * @data: for @progress
 * @error: (out) (optional): where to put it
 *
 * sora_model_digest() for those who wait for it, or who ask whether the files still are what they were.
 *
 * Returns: (transfer full): 64 hexadecimal digits; NULL as sora_model_digest(), or on SORA_ERROR_CANCELLED
 */
char *sora_model_make_digest (SoraModel *model, gboolean fresh, SoraModelProgress progress, gpointer data,
                              GError **error);

/**
 * sora_model_size:
 * @model: a model
 * @component: (nullable): one of its components; NULL: all
 * @bytes: (out): of weights, as stored
 * @parameters: (out): number of elements
 * @error: (out) (optional): where to put it
 *
 * Reads nothing: the headers are known.
 *
 * Returns: FALSE (SORA_ERROR_INVALID_MODEL) if there is no such component
 */
gboolean sora_model_size (SoraModel *model, const char *component, uint64_t *bytes, uint64_t *parameters,
                          GError **error);

/**
 * sora_model_read_file:
 * @model: a model
 * @name: "transformer/config.json": no "..", no symbolic link out of the folder, at most 64 MiB
 * @error: (out) (optional): where to put it
 *
 * Returns: (transfer full): its bytes, followed by a NUL that does not count; NULL on SORA_ERROR_INVALID_MODEL
 *   or _NOT_FOUND
 */
GBytes *sora_model_read_file (SoraModel *model, const char *name, GError **error);

/**
 * sora_model_tensor_info:
 * @model: a model
 * @component: one of its components
 * @tensor: a tensor's name
 * @view: (out): dtype and shape from the headers, as long as the model lives; data is NULL
 * @error: (out) (optional): where to put it
 *
 * Returns: FALSE (SORA_ERROR_INVALID_MODEL) if there is none, or the component has no weights
 */
gboolean sora_model_tensor_info (SoraModel *model, const char *component, const char *tensor,
                                 SoraTensorView *view, GError **error);

/**
 * sora_model_unchanged:
 * @model: a model
 * @error: (out) (optional): where to put it
 *
 * Returns: TRUE if (dev, ino, size, mtime, ctime) of all files that were read are what they were then; else
 *   FALSE (SORA_ERROR_INVALID_MODEL), naming the file
 */
gboolean sora_model_unchanged (SoraModel *model, GError **error);

/* One component's weights, all shards mapped. */
typedef struct SoraModelWeights SoraModelWeights;

/**
 * sora_model_weights_open:
 * @model: a model
 * @component: one of its components
 * @error: (out) (optional): where to put it
 *
 * Opens the shards again, checks that they are those whose headers were read, and maps each when it is first
 * used.
 *
 * Returns: (transfer full): the weights; NULL on SORA_ERROR_INVALID_MODEL
 */
SoraModelWeights *sora_model_weights_open (SoraModel *model, const char *component, GError **error);

/**
 * sora_model_weights_close:
 * @weights: (nullable) (transfer full): weights; their mappings go, and all views of them
 */
void sora_model_weights_close (SoraModelWeights *weights);

/**
 * sora_model_weights_get:
 * @weights: open weights
 * @tensor: a tensor's name, in any shard
 * @view: (out): mapped bytes as stored, read-only, until the weights are closed
 * @error: (out) (optional): where to put it
 *
 * Returns: FALSE (SORA_ERROR_INVALID_MODEL) if there is none of that name
 */
gboolean sora_model_weights_get (SoraModelWeights *weights, const char *tensor, SoraTensorView *view, GError **error);

/**
 * sora_model_weights_name:
 * @weights: open weights
 * @index: 0 and up
 *
 * Returns: (nullable): the index-th tensor's name, shard by shard; NULL past the end
 */
const char *sora_model_weights_name (SoraModelWeights *weights, size_t index);

/**
 * sora_model_weights_done:
 * @weights: open weights
 * @tensor: a tensor whose pages are not needed again for now
 */
void sora_model_weights_done (SoraModelWeights *weights, const char *tensor);

/**
 * sora_model_default_dirs:
 * @user: for a program of the user's own: also $SORA_MODEL_PATH (colon-separated) and
 *   ~/.local/share/sorad/models
 *
 * Returns: (transfer full): the search path, the system's folder last; free with g_strfreev()
 */
char **sora_model_default_dirs (gboolean user);

/**
 * sora_model_list:
 * @dirs: (array zero-terminated=1): folders that hold model folders and files; the first wins for an id
 * @warnings: (nullable): a list of char*, to which the reason of each model that is left out is appended
 *
 * Returns: (transfer full): SoraModel, sorted by id
 */
GPtrArray *sora_model_list (const char *const *dirs, GPtrArray *warnings);

/**
 * sora_model_find:
 * @dirs: (array zero-terminated=1): folders
 * @name: an id, or a path if it has a slash
 * @error: (out) (optional): where to put it
 *
 * Returns: (transfer full): the model; NULL on SORA_ERROR_INVALID_MODEL or _NOT_FOUND (which lists what there
 *   is)
 */
SoraModel *sora_model_find (const char *const *dirs, const char *name, GError **error);

G_END_DECLS
