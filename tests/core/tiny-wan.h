/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A tiny random model of the Wan family, written as a Diffusers folder or as single files of the same weights: what
 * tests of single files compare.  Its sizes are those that a header can tell: heads of 128, 16 or 48 latent channels.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

typedef enum
{
  TINY_WAN_21,
  TINY_WAN_22, /* TI2V-5B: 48 channels, a residual VAE of patches, a timestep for each token */
} TinyWanFamily;

typedef enum
{
  TINY_WAN_DIFFUSERS_NAMES, /* of all three files */
  TINY_WAN_ORIGINAL_NAMES,
  TINY_WAN_COMFY_NAMES, /* transformer with a prefix, text encoder in Transformers' names with its tokenizer inside */
} TinyWanNames;

/* Writes DIR as a Diffusers folder; @spiece is the tokenizer's file. */
gboolean tiny_wan_write_folder (const char *dir, TinyWanFamily family, const char *spiece, GError **error);
/* Writes dit.safetensors, t5.safetensors, ae.safetensors and, unless the tokenizer is inside, spiece.model into DIR. */
gboolean tiny_wan_write_single (const char *dir, TinyWanFamily family, TinyWanNames names, const char *spiece, GError **error);

G_END_DECLS
