/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Private to libsora-core: the parts of a model folder.
 */
#pragma once
#include <jansson.h>
#include "sora-file.h"
#include "sora-model.h"

G_BEGIN_DECLS

#define SORA_MODEL_INDEX "model_index.json"
#define SORA_MODEL_CONF "model.conf" /* names single files that make a model */
#define SORA_MODEL_MAX_JSON (16u << 20)
#define SORA_MODEL_MAX_FILE (64u << 20)

/* One safetensors file of a component.  Its descriptor is closed: a hundred models may be listed at once. */
typedef struct
{
  char *name; /* "transformer/model-00001-of-00002.safetensors" */
  SoraSafetensors *header;
} SoraModelShard;

typedef struct
{
  const char *name;   /* by which it is asked for */
  const char *stored; /* the header's; another one in single files with original names */
  guint shard;
} SoraModelTensor;

typedef struct
{
  char *name, *class_name;
  GPtrArray *shards;   /* of SoraModelShard; empty for schedulers and tokenizers */
  GArray *tensors;     /* of SoraModelTensor, shard by shard */
  GHashTable *by_name; /* name -> index + 1 into tensors */
  GStringChunk *names; /* those that are no header's; NULL */
  uint64_t bytes, parameters;
} SoraModelComponent;

/* What only models of single files have; of sora-model-parts.c. */
typedef struct SoraModelParts SoraModelParts;

struct SoraModel
{
  int refs; /* atomic */
  int dirfd;
  char *path, *id, *family;
  char *folder;               /* what dirfd is; path, but for a file that was named itself */
  char *single;               /* the name in it of the file that all of the model is; else NULL */
  GPtrArray *components;      /* of SoraModelComponent */
  GPtrArray *component_names; /* NULL-terminated */
  GMutex lock;                /* opened */
  GHashTable *opened;         /* name below the folder, or absolute -> SoraFileIdentity */
  SoraModelParts *parts; /* NULL: a Diffusers folder */
  GMutex digest_lock;
  char *digest;
};

/* An empty model; takes both.  @dirfd may be -1 for one that is only parsed. */
SoraModel *sora_model_new (int dirfd, char *path);
/* Opens a file of the model and remembers what it was; a file that is not what it was before is an error. */
int sora_model_open_file (SoraModel *model, const char *name, struct stat *st, GError **error);
/* What the files of @components ("text_encoder,tokenizer"; %NULL: all) are: names, devices, inodes, sizes, times.
 * NULL without an error if one was changed so lately that it may be again. */
char *sora_model_describe_files (SoraModel *model, const char *components, GError **error);
/* What messages call the file that the model calls @name. */
char *sora_model_display (SoraModel *model, const char *name);
/* Are @a and @b, opened at different times, one and the same?  The folder and the weights that were chosen in it, and
 * all files that both have read.  Of the files of @a sora_model_unchanged() tells whether they still are. */
gboolean sora_model_is_same (SoraModel *a, SoraModel *b);
/* NULL and an error that lists what there is. */
SoraModelComponent *sora_model_find_component (SoraModel *model, const char *component, GError **error);
/* Appends a component without weights. */
SoraModelComponent *sora_model_add_component (SoraModel *model, const char *name, const char *class_name);
/* After the last one: component_names. */
void sora_model_name_components (SoraModel *model);
/* The one file that is all of the component's weights; @name is relative to the model's folder. */
gboolean sora_model_read_whole (SoraModel *model, SoraModelComponent *component, const char *name, GError **error);
/* A model that is one file of a kind that is known by its tensors. */
SoraModel *sora_model_open_single (const char *path, GError **error);
/* The same for a folder without model_index.json; takes @model, which is new. */
SoraModel *sora_model_take_single (SoraModel *model, GError **error);
/* Does the folder hold a weights file, of whatever kind? */
gboolean sora_model_holds_weights (const char *folder);
/* Finds and checks the weights in the component's folder. */
gboolean sora_model_read_component (SoraModel *model, SoraModelComponent *component, GError **error);
/* A tensor of the last shard. */
void sora_model_component_add (SoraModelComponent *component, const char *name, const char *stored);
void sora_model_component_free (SoraModelComponent *component);
/* Names in a folder of the model, sorted, without hidden ones. */
GPtrArray *sora_model_list_dir (SoraModel *model, const char *name, GError **error);
/* A JSON object, duplicates refused. */
json_t *sora_model_parse_json (const char *text, gsize length, const char *display_name, GError **error);
/* The pure parts of two files, which the fuzzer calls too. */
gboolean sora_model_parse_index (SoraModel *model, const char *text, gsize length, const char *display_name,
                                 GError **error);
GHashTable *sora_model_parse_weight_map (const char *text, gsize length, const char *display_name,
                                         GError **error); /* tensor -> shard */
GHashTable *sora_model_parse_defaults (const char *text, gsize length, const char *display_name,
                                       GError **error); /* parameter -> text */
gboolean sora_model_is_pickle_name (const char *name);

G_END_DECLS
