/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Which kind of file a header is of.  A kind is told by one tensor that every file of the kind has
 * and no other kind does; that the rest is there as well is checked where it is used, since there a
 * better message can be given than "unknown".
 */
#include "config.h"
#include <string.h>
#include "sora-wan-detect.h"

static const struct
{
  SoraWanKind kind;
  SoraWanNames names;
  gboolean original;
  const char *mark;
} marks[] = {
  { SORA_WAN_TRANSFORMER, SORA_WAN_NAMES_TRANSFORMER, TRUE, "head.modulation" },
  { SORA_WAN_TRANSFORMER, SORA_WAN_NAMES_TRANSFORMER, FALSE,
    "condition_embedder.time_proj.weight" },
  { SORA_WAN_TEXT_ENCODER, SORA_WAN_NAMES_TEXT, TRUE, "blocks.0.pos_embedding.embedding.weight" },
  { SORA_WAN_TEXT_ENCODER, SORA_WAN_NAMES_TEXT, FALSE,
    "encoder.block.0.layer.0.SelfAttention.q.weight" },
  { SORA_WAN_VAE, SORA_WAN_NAMES_VAE, TRUE, "decoder.upsamples.0.residual.0.gamma" },
  { SORA_WAN_VAE, SORA_WAN_NAMES_VAE22, TRUE, "decoder.upsamples.0.upsamples.0.residual.0.gamma" },
  { SORA_WAN_VAE, SORA_WAN_NAMES_VAE22, FALSE, "decoder.up_blocks.0.upsampler.resample.1.weight" },
  { SORA_WAN_VAE, SORA_WAN_NAMES_VAE, FALSE, "decoder.up_blocks.0.upsamplers.0.resample.1.weight" },
};

static const struct
{
  const char *component, *words;
} kinds[SORA_WAN_N_KINDS] = {
  [SORA_WAN_TRANSFORMER] = { "transformer", "a Wan transformer" },
  [SORA_WAN_TEXT_ENCODER] = { "text_encoder", "a T5 text encoder" },
  [SORA_WAN_VAE] = { "vae", "a Wan VAE" },
};

const char *
sora_wan_kind_component (SoraWanKind kind)
{
  return kinds[kind].component;
}

const char *
sora_wan_kind_words (SoraWanKind kind)
{
  return kinds[kind].words;
}

gboolean
sora_wan_detect (const SoraSafetensorsTable *table, SoraWanFile *file)
{
  static const char *const prefixes[] = { "", "model.diffusion_model." };
  for (gsize p = 0; p < G_N_ELEMENTS (prefixes); p++)
    for (gsize m = 0; m < G_N_ELEMENTS (marks); m++)
      {
        g_autofree char *name = g_strconcat (prefixes[p], marks[m].mark, NULL);
        if (!g_hash_table_contains (table->by_name, name))
          continue;
        *file = (SoraWanFile){ .kind = marks[m].kind,
                               .names = marks[m].names,
                               .original = marks[m].original,
                               .prefix = prefixes[p] };
        return TRUE;
      }
  return FALSE;
}

/* "blocks.0.to_gate_compress.weight", or as part of an attention. */
gboolean
sora_wan_name_is_sparse (const char *name)
{
  return strstr (name, ".to_gate_compress.") != NULL;
}

char *
sora_wan_file_name (const SoraWanFile *file, const char *name)
{
  if (!g_str_has_prefix (name, file->prefix))
    return NULL;
  name += strlen (file->prefix);
  if (file->original)
    return sora_wan_name_to_diffusers (file->names, name);
  return sora_wan_name_is_diffusers (file->names, name) ? g_strdup (name) : NULL;
}

const SoraSafetensorsEntry *
sora_wan_file_find (const SoraWanFile *file, const SoraSafetensorsTable *table,
                    const char *diffusers)
{
  g_autofree char *own
      = file->original ? sora_wan_name_to_original (file->names, diffusers) : g_strdup (diffusers);
  g_autofree char *stored = own != NULL ? g_strconcat (file->prefix, own, NULL) : NULL;
  return stored != NULL ? g_hash_table_lookup (table->by_name, stored) : NULL;
}
