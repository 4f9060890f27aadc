/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Private to libsora-core: what a single safetensors file of the Wan family holds, told by its header alone, and the
 * configuration files that a Diffusers folder would have beside it.  Pure: a checked header in, texts out.
 */
#pragma once
#include "sora-error.h"
#include "sora-safetensors-header.h"
#include "sora-wan-names.h"

G_BEGIN_DECLS

typedef enum
{
  SORA_WAN_TRANSFORMER,
  SORA_WAN_TEXT_ENCODER,
  SORA_WAN_VAE,
  SORA_WAN_N_KINDS,
} SoraWanKind;

/* The U8 tensor of ComfyUI's text encoders: the tokenizer. */
#define SORA_WAN_SPIECE "spiece_model"

typedef struct
{
  SoraWanKind kind;
  SoraWanNames names;
  gboolean original;  /* else its names are those of Diffusers already */
  const char *prefix; /* before every name, or "" */
} SoraWanFile;

/* FALSE if it is no file of these kinds. */
gboolean sora_wan_detect (const SoraSafetensorsTable *table, SoraWanFile *file);
/* "transformer", which is the component's name too. */
const char *sora_wan_kind_component (SoraWanKind kind);
/* "a Wan transformer", for messages. */
const char *sora_wan_kind_words (SoraWanKind kind);
/* The Diffusers name of a tensor of @file that is stored as @name; NULL for one that is not known. */
char *sora_wan_file_name (const SoraWanFile *file, const char *name);
/* How the tensor with that Diffusers name is stored, if it is; NULL if @table has none. */
const SoraSafetensorsEntry *sora_wan_file_find (const SoraWanFile *file, const SoraSafetensorsTable *table,
                                                const char *diffusers);

/* config.json of the component that @file is; @display names the file in messages.  NULL and SORA_ERROR_INVALID_MODEL
 * for shapes that no Wan model has. */
char *sora_wan_config (const SoraWanFile *file, const SoraSafetensorsTable *table, const char *display, GError **error);
/* scheduler/scheduler_config.json; @files by kind. */
char *sora_wan_scheduler_config (const SoraWanFile *files);
/* model_index.json; @files and @tables by kind.  @experts: there is a second transformer, for low noise. */
char *sora_wan_model_index (const SoraWanFile *files, const SoraSafetensorsTable *const *tables, gboolean experts);
/* Is it a tensor that only FastVideo's video sparse attention has?  SORA_WAN_SPARSE ends a sentence on it: what such
 * weights are, and what to take instead. */
gboolean sora_wan_name_is_sparse (const char *name);
#define SORA_WAN_SPARSE                                                                                                \
  "FastVideo's video sparse attention (VSA): those weights were trained for an attention that leaves out most keys, "  \
  "which sorad does not run. Take the checkpoint that was distilled with full attention (FullAttn in its name)"

G_END_DECLS
