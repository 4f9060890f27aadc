/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Private to libsora-core: the names of tensors in single files of the Wan family (those of the original repositories,
 * which ComfyUI keeps) and the names that Diffusers and Transformers give to the same tensors.  Pure: texts in, texts
 * out.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

typedef enum
{
  SORA_WAN_NAMES_TRANSFORMER,
  SORA_WAN_NAMES_TEXT,  /* UMT5's encoder: original, and Transformers' */
  SORA_WAN_NAMES_VAE,   /* Wan 2.1: blocks in one row */
  SORA_WAN_NAMES_VAE22, /* Wan 2.2 5B: blocks in blocks */
  SORA_WAN_N_NAMES,
} SoraWanNames;

/* The Diffusers name of the tensor that original files call @name; NULL if no such tensor is known. */
char *sora_wan_name_to_diffusers (SoraWanNames names, const char *name);
/* And back.  NULL if Diffusers has no such tensor, or original files have none. */
char *sora_wan_name_to_original (SoraWanNames names, const char *name);
/* Is it the Diffusers name of a known tensor? */
gboolean sora_wan_name_is_diffusers (SoraWanNames names, const char *name);

G_END_DECLS
