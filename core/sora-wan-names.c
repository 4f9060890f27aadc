/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The names of Wan's tensors, both ways, as a table of patterns.
 *
 * Sources: diffusers 0.42.1, loaders/single_file_utils.py, convert_wan_transformer_to_diffusers and
 * convert_wan_vae_to_diffusers (tests/golden/wan-names.txt is made by them); Wan2.1,
 * wan/modules/t5.py for the text encoder.  A table is longer than replacing parts of names, as they
 * do, but it knows what it does not know: a tensor of another kind of model is no tensor of the
 * table, and cannot be taken for one.
 */
#include "config.h"
#include <string.h>
#include "sora-wan-names.h"

/* In a pattern, besides letters that are themselves:
 *   #  a number, the same on both sides (the n-th here is the n-th there);
 *   %  a number i with i % 4 < 3 in the original, and "R" of "B.....R" (see <) in Diffusers, i = 4B
 * + R; ^  a number i with i % 4 = 3 in the original, i = 4B + 3; <  the B of both in Diffusers;
 *   *  at the end: ".weight" or ".bias".
 * A row without an original is of Diffusers alone. */
typedef struct
{
  const char *original, *diffusers;
} Row;

static const Row transformer_rows[] = {
  { "patch_embedding*", "patch_embedding*" },
  { "text_embedding.0*", "condition_embedder.text_embedder.linear_1*" },
  { "text_embedding.2*", "condition_embedder.text_embedder.linear_2*" },
  { "time_embedding.0*", "condition_embedder.time_embedder.linear_1*" },
  { "time_embedding.2*", "condition_embedder.time_embedder.linear_2*" },
  { "time_projection.1*", "condition_embedder.time_proj*" },
  { "head.modulation", "scale_shift_table" },
  { "head.head*", "proj_out*" },
  { "blocks.#.modulation", "blocks.#.scale_shift_table" },
  { "blocks.#.self_attn.q*", "blocks.#.attn1.to_q*" },
  { "blocks.#.self_attn.k*", "blocks.#.attn1.to_k*" },
  { "blocks.#.self_attn.v*", "blocks.#.attn1.to_v*" },
  { "blocks.#.self_attn.o*", "blocks.#.attn1.to_out.0*" },
  { "blocks.#.self_attn.norm_q.weight", "blocks.#.attn1.norm_q.weight" },
  { "blocks.#.self_attn.norm_k.weight", "blocks.#.attn1.norm_k.weight" },
  { "blocks.#.cross_attn.q*", "blocks.#.attn2.to_q*" },
  { "blocks.#.cross_attn.k*", "blocks.#.attn2.to_k*" },
  { "blocks.#.cross_attn.v*", "blocks.#.attn2.to_v*" },
  { "blocks.#.cross_attn.o*", "blocks.#.attn2.to_out.0*" },
  { "blocks.#.cross_attn.norm_q.weight", "blocks.#.attn2.norm_q.weight" },
  { "blocks.#.cross_attn.norm_k.weight", "blocks.#.attn2.norm_k.weight" },
  { "blocks.#.norm3*",
    "blocks.#.norm2*" }, /* the second norm has no weights, the third is the second's heir */
  { "blocks.#.ffn.0*", "blocks.#.ffn.net.0.proj*" },
  { "blocks.#.ffn.2*", "blocks.#.ffn.net.2*" },
  /* Image to video. */
  { "img_emb.emb_pos", "condition_embedder.image_embedder.pos_embed" },
  { "img_emb.proj.0*", "condition_embedder.image_embedder.norm1*" },
  { "img_emb.proj.1*", "condition_embedder.image_embedder.ff.net.0.proj*" },
  { "img_emb.proj.3*", "condition_embedder.image_embedder.ff.net.2*" },
  { "img_emb.proj.4*", "condition_embedder.image_embedder.norm2*" },
  { "blocks.#.cross_attn.k_img*", "blocks.#.attn2.add_k_proj*" },
  { "blocks.#.cross_attn.v_img*", "blocks.#.attn2.add_v_proj*" },
  { "blocks.#.cross_attn.norm_k_img.weight", "blocks.#.attn2.norm_added_k.weight" },
  { NULL, "blocks.#.attn2.norm_added_q.weight" },
  /* VACE: its blocks are named as the others, with "vace_" before them. */
  { "vace_patch_embedding*", "vace_patch_embedding*" },
  { "vace_blocks.#.before_proj*", "vace_blocks.#.proj_in*" },
  { "vace_blocks.#.after_proj*", "vace_blocks.#.proj_out*" },
  { NULL, NULL },
};

static const Row text_rows[] = {
  { "token_embedding.weight", "shared.weight" },
  { NULL, "encoder.embed_tokens.weight" },
  { "blocks.#.norm1.weight", "encoder.block.#.layer.0.layer_norm.weight" },
  { "blocks.#.attn.q.weight", "encoder.block.#.layer.0.SelfAttention.q.weight" },
  { "blocks.#.attn.k.weight", "encoder.block.#.layer.0.SelfAttention.k.weight" },
  { "blocks.#.attn.v.weight", "encoder.block.#.layer.0.SelfAttention.v.weight" },
  { "blocks.#.attn.o.weight", "encoder.block.#.layer.0.SelfAttention.o.weight" },
  { "blocks.#.pos_embedding.embedding.weight",
    "encoder.block.#.layer.0.SelfAttention.relative_attention_bias.weight" },
  { "blocks.#.norm2.weight", "encoder.block.#.layer.1.layer_norm.weight" },
  { "blocks.#.ffn.gate.0.weight", "encoder.block.#.layer.1.DenseReluDense.wi_0.weight" },
  { "blocks.#.ffn.fc1.weight", "encoder.block.#.layer.1.DenseReluDense.wi_1.weight" },
  { "blocks.#.ffn.fc2.weight", "encoder.block.#.layer.1.DenseReluDense.wo.weight" },
  { "norm.weight", "encoder.final_layer_norm.weight" },
  { NULL, NULL },
};

#define VAE_MIDDLE(half)                                                                           \
  { half ".middle.0.residual.0.gamma", half ".mid_block.resnets.0.norm1.gamma" },                  \
      { half ".middle.0.residual.2*", half ".mid_block.resnets.0.conv1*" },                        \
      { half ".middle.0.residual.3.gamma", half ".mid_block.resnets.0.norm2.gamma" },              \
      { half ".middle.0.residual.6*", half ".mid_block.resnets.0.conv2*" },                        \
      { half ".middle.1.norm.gamma", half ".mid_block.attentions.0.norm.gamma" },                  \
      { half ".middle.1.to_qkv*", half ".mid_block.attentions.0.to_qkv*" },                        \
      { half ".middle.1.proj*", half ".mid_block.attentions.0.proj*" },                            \
      { half ".middle.2.residual.0.gamma", half ".mid_block.resnets.1.norm1.gamma" },              \
      { half ".middle.2.residual.2*", half ".mid_block.resnets.1.conv1*" },                        \
      { half ".middle.2.residual.3.gamma", half ".mid_block.resnets.1.norm2.gamma" },              \
      { half ".middle.2.residual.6*", half ".mid_block.resnets.1.conv2*" },                        \
      { half ".conv1*", half ".conv_in*" }, { half ".head.0.gamma", half ".norm_out.gamma" },      \
  {                                                                                                \
    half ".head.2*", half ".conv_out*"                                                             \
  }
#define VAE_RESIDUAL(original, diffusers)                                                          \
  { original ".residual.0.gamma", diffusers ".norm1.gamma" },                                      \
      { original ".residual.2*", diffusers ".conv1*" },                                            \
      { original ".residual.3.gamma", diffusers ".norm2.gamma" },                                  \
      { original ".residual.6*", diffusers ".conv2*" },                                            \
  {                                                                                                \
    original ".shortcut*", diffusers ".conv_shortcut*"                                             \
  }
#define VAE_RESAMPLE(original, diffusers)                                                          \
  { original ".resample.1*", diffusers ".resample.1*" },                                           \
  {                                                                                                \
    original ".time_conv*", diffusers ".time_conv*"                                                \
  }

static const Row vae_rows[] = {
  VAE_MIDDLE ("encoder"),
  VAE_MIDDLE ("decoder"),
  { "conv1*", "quant_conv*" },
  { "conv2*", "post_quant_conv*" },
  VAE_RESIDUAL ("encoder.downsamples.#", "encoder.down_blocks.#"),
  VAE_RESAMPLE ("encoder.downsamples.#", "encoder.down_blocks.#"),
  VAE_RESIDUAL ("decoder.upsamples.%", "decoder.up_blocks.<.resnets.%"),
  VAE_RESAMPLE ("decoder.upsamples.^", "decoder.up_blocks.<.upsamplers.0"),
  { NULL, NULL },
};

/* Two residual blocks on the way down, three on the way up, then the resampler. */
static const Row vae22_rows[] = {
  VAE_MIDDLE ("encoder"),
  VAE_MIDDLE ("decoder"),
  { "conv1*", "quant_conv*" },
  { "conv2*", "post_quant_conv*" },
  VAE_RESIDUAL ("encoder.downsamples.#.downsamples.#", "encoder.down_blocks.#.resnets.#"),
  VAE_RESAMPLE ("encoder.downsamples.#.downsamples.2", "encoder.down_blocks.#.downsampler"),
  VAE_RESIDUAL ("decoder.upsamples.#.upsamples.#", "decoder.up_blocks.#.resnets.#"),
  VAE_RESAMPLE ("decoder.upsamples.#.upsamples.3", "decoder.up_blocks.#.upsampler"),
  { NULL, NULL },
};

static const Row *const tables[SORA_WAN_N_NAMES] = {
  [SORA_WAN_NAMES_TRANSFORMER] = transformer_rows,
  [SORA_WAN_NAMES_TEXT] = text_rows,
  [SORA_WAN_NAMES_VAE] = vae_rows,
  [SORA_WAN_NAMES_VAE22] = vae22_rows,
};

#define MAX_DIGITS 5
#define MAX_NUMBER 99999u
#define MAX_NUMBERS 2

/* What a name has where its pattern has signs. */
typedef struct
{
  guint numbers[MAX_NUMBERS]; /* of #, in order */
  guint n_numbers;
  guint block, place; /* 4 block + place */
  const char *rest;   /* of *; points into the name */
} Match;

/* Decimal digits as a program writes them: no sign, no zero before others. */
static gboolean
take_number (const char **at, guint *number)
{
  const char *p = *at;
  *number = 0;
  while (g_ascii_isdigit (*p) && p - *at < MAX_DIGITS)
    *number = 10 * *number + (guint)(*p++ - '0');
  if (p == *at || g_ascii_isdigit (*p) || (**at == '0' && p - *at > 1))
    return FALSE;
  *at = p;
  return TRUE;
}

static gboolean
take_sign (char sign, const char **at, gboolean original, Match *match)
{
  guint number;
  if (!take_number (at, &number))
    return FALSE;
  switch (sign)
    {
    case '#':
      match->numbers[match->n_numbers++] = number;
      return TRUE;
    case '<':
      match->block = number;
      return number <= MAX_NUMBER / 4; /* so that 4B + 3 has no more digits */
    case '^':
      match->block = number / 4;
      match->place = number % 4;
      return match->place == 3;
    default: /* % */
      if (original)
        match->block = number / 4;
      match->place = original ? number % 4 : number;
      return match->place < 3;
    }
}

static gboolean
matches (const char *pattern, const char *name, gboolean original, Match *match)
{
  *match = (Match){ 0 };
  for (; *pattern != '\0'; pattern++)
    {
      if (*pattern == '*')
        {
          match->rest = name;
          return strcmp (name, ".weight") == 0 || strcmp (name, ".bias") == 0;
        }
      if (strchr ("#%^<", *pattern) != NULL)
        {
          if (!take_sign (*pattern, &name, original, match))
            return FALSE;
        }
      else if (*pattern != *name++)
        return FALSE;
    }
  return *name == '\0';
}

static char *
fill (const char *pattern, gboolean original, const Match *match)
{
  GString *name = g_string_new (NULL);
  guint n = 0;
  for (; *pattern != '\0'; pattern++)
    switch (*pattern)
      {
      case '#':
        g_string_append_printf (name, "%u", match->numbers[n++]);
        break;
      case '<':
        g_string_append_printf (name, "%u", match->block);
        break;
      case '^':
        g_string_append_printf (name, "%u", 4 * match->block + 3);
        break;
      case '%':
        g_string_append_printf (name, "%u", match->place + (original ? 4 * match->block : 0));
        break;
      case '*':
        g_string_append (name, match->rest);
        break;
      default:
        g_string_append_c (name, *pattern);
      }
  return g_string_free (name, FALSE);
}

static char *
translate_in (const Row *row, const char *name, gboolean to_original)
{
  for (Match match; row->diffusers != NULL; row++)
    {
      const char *from = to_original ? row->diffusers : row->original;
      const char *to = to_original ? row->original : row->diffusers;
      if (from != NULL && to != NULL && matches (from, name, !to_original, &match))
        return fill (to, to_original, &match);
    }
  return NULL;
}

static const char *
strip_vace (SoraWanNames names, const char *name)
{
  gboolean vace = names == SORA_WAN_NAMES_TRANSFORMER && g_str_has_prefix (name, "vace_blocks.");
  return vace ? name + strlen ("vace_") : name;
}

static char *
translate (SoraWanNames names, const char *name, gboolean to_original)
{
  const char *bare = strip_vace (names, name);
  char *found = translate_in (tables[names], name, to_original);
  if (found != NULL || bare == name)
    return found;
  g_autofree char *of_block = translate_in (tables[names], bare, to_original);
  return of_block != NULL ? g_strconcat ("vace_", of_block, NULL) : NULL;
}

char *
sora_wan_name_to_diffusers (SoraWanNames names, const char *name)
{
  return translate (names, name, FALSE);
}

char *
sora_wan_name_to_original (SoraWanNames names, const char *name)
{
  return translate (names, name, TRUE);
}

gboolean
sora_wan_name_is_diffusers (SoraWanNames names, const char *name)
{
  const char *bare = strip_vace (names, name);
  Match match;
  for (const Row *row = tables[names]; row->diffusers != NULL; row++)
    if (matches (row->diffusers, name, FALSE, &match)
        || (bare != name && matches (row->diffusers, bare, FALSE, &match)))
      return TRUE;
  return FALSE;
}
