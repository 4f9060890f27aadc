/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The configuration files of a Diffusers folder, made from the shapes in single files' headers.
 * What a header does not tell is the same in all published Wan checkpoints: heads of 128, the
 * latents' mean and deviation, a flow shift of 5 for TI2V-5B and of 3 for the others (Diffusers'
 * values; 5 for 720p is left to the job's `flow-shift`).
 */
#include "config.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "sora-wan-detect.h"

#define CODE SORA_ERROR_INVALID_MODEL
#define HEAD_DIM 128
#define FLOW_SHIFT 3.0
#define FLOW_SHIFT_5B 5.0
/* Of Wan 2.2 A14B's two experts (diffusers, scripts/convert_wan_to_diffusers.py). */
#define TEXT_BOUNDARY 0.875
#define IMAGE_BOUNDARY 0.9
#define IMAGE_CHANNELS 36
#define MAX_LEVELS 8
#define DUMP (JSON_INDENT (2) | JSON_SORT_KEYS | JSON_REAL_PRECISION (15))

/* One file that is being looked at. */
typedef struct
{
  const SoraWanFile *file;
  const SoraSafetensorsTable *table;
  const char *display;
  GError **error;
} Source;

/* Wan 2.1's and 2.2's, from the configurations of their Diffusers repositories. */
static const double mean_21[16]
    = { -0.7571, -0.7089, -0.9113, 0.1075,  -0.1745, 0.9653,  -0.1517, 1.5508,
        0.4134,  -0.0715, 0.5517,  -0.3632, -0.1922, -0.9497, 0.2503,  -0.2921 };
static const double std_21[16] = { 2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
                                   3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160 };
static const double mean_22[48]
    = { -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174,  0.1838,  0.1557,  -0.1382, 0.0542,
        0.2813,  0.0891,  0.1570,  -0.0098, 0.0375,  -0.1825, -0.2246, -0.1207, -0.0698, 0.5109,
        0.2665,  -0.2108, -0.2158, 0.2502,  -0.2055, -0.0322, 0.1109,  0.1567,  -0.0729, 0.0899,
        -0.2799, -0.1230, -0.0313, -0.1649, 0.0117,  0.0723,  -0.2839, -0.2083, -0.0520, 0.3748,
        0.0152,  0.1957,  0.1433,  -0.2944, 0.3573,  -0.0548, -0.1681, -0.0667 };
static const double std_22[48]
    = { 0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344,
        0.5894, 1.0901, 0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804,
        0.5833, 1.4146, 0.8986, 0.5659, 0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999,
        0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887,
        0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744 };

G_GNUC_PRINTF (2, 3)
static json_t *
refuse (const Source *source, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *what = g_strdup_vprintf (format, args);
  va_end (args);
  sora_error_set (source->error, CODE, "'%s' is %s, but %s", source->display,
                  sora_wan_kind_words (source->file->kind), what);
  return NULL;
}

static const SoraSafetensorsEntry *
find (const Source *source, const char *name)
{
  return sora_wan_file_find (source->file, source->table, name);
}

/* The shape of a tensor that must be there; NULL and the error. */
static const int64_t *
shape_of (const Source *source, const char *name, int ndim)
{
  const SoraSafetensorsEntry *entry = find (source, name);
  if (entry == NULL)
    {
      g_autofree char *own = source->file->original
                                 ? sora_wan_name_to_original (source->file->names, name)
                                 : g_strdup (name);
      refuse (source, "its tensor '%s%s' is missing", source->file->prefix, own);
      return NULL;
    }
  gboolean good = entry->ndim == ndim;
  for (int i = 0; good && i < ndim; i++)
    good = entry->extents[i] > 0;
  if (good)
    return entry->extents;
  g_autofree char *shape = sora_shape_to_string (entry->ndim, entry->extents);
  refuse (source, "its tensor '%s' has the shape %s, expected %d axes, none of them empty",
          entry->name, shape, ndim);
  return NULL;
}

/* How many blocks there are: one more than the highest number behind @prefix.  A gap is found by
 * the stage, which names the tensors that are missing. */
static guint
count (const Source *source, const char *prefix)
{
  guint n = 0;
  for (guint i = 0; i < source->table->entries->len; i++)
    {
      const SoraSafetensorsEntry *entry = g_ptr_array_index (source->table->entries, i);
      g_autofree char *name = sora_wan_file_name (source->file, entry->name);
      if (name != NULL && g_str_has_prefix (name, prefix))
        n = MAX (n, (guint)g_ascii_strtoull (name + strlen (prefix), NULL, 10) + 1);
    }
  return n;
}

static json_t *
list_of (const double *values, guint n)
{
  json_t *list = json_array ();
  for (guint i = 0; i < n; i++)
    json_array_append_new (list, json_real (values[i]));
  return list;
}

static void
set_int (json_t *object, const char *key, int64_t value)
{
  json_object_set_new (object, key, json_integer (value));
}

/* ---- transformer */

static gboolean
is_vace (const SoraWanFile *file, const SoraSafetensorsTable *table)
{
  return sora_wan_file_find (file, table, "vace_patch_embedding.weight") != NULL;
}

static const char image_norm[] = "condition_embedder.image_embedder.norm1.bias";

static void
set_image (const Source *source, json_t *config, int64_t dim)
{
  const SoraSafetensorsEntry *norm = find (source, image_norm);
  const SoraSafetensorsEntry *place = find (source, "condition_embedder.image_embedder.pos_embed");
  if (norm == NULL || norm->ndim != 1)
    return;
  set_int (config, "image_dim", norm->extents[0]);
  set_int (config, "added_kv_proj_dim", dim);
  if (place != NULL && place->ndim == 3)
    set_int (config, "pos_embed_seq_len", place->extents[1]);
}

static json_t *
transformer_config (const Source *source)
{
  const int64_t *patch = shape_of (source, "patch_embedding.weight", 5);
  const int64_t *table = patch ? shape_of (source, "scale_shift_table", 3) : NULL;
  const int64_t *out = table ? shape_of (source, "proj_out.weight", 2) : NULL;
  const int64_t *ffn = out ? shape_of (source, "blocks.0.ffn.net.0.proj.weight", 2) : NULL;
  const int64_t *text
      = ffn ? shape_of (source, "condition_embedder.text_embedder.linear_1.weight", 2) : NULL;
  const int64_t *time
      = text ? shape_of (source, "condition_embedder.time_embedder.linear_1.weight", 2) : NULL;
  if (time == NULL)
    return NULL;
  int64_t dim = table[2], points = 1;
  for (int i = 2; i < 5; i++)
    points = patch[i] <= 16 ? points * patch[i] : 0;
  if (dim % HEAD_DIM != 0)
    return refuse (source,
                   "it is %" G_GINT64_FORMAT
                   " wide, expected a multiple of %d: Wan's heads have that width. A model with "
                   "others needs a Diffusers folder, whose configuration tells it",
                   dim, HEAD_DIM);
  if (points == 0 || out[0] % points != 0)
    return refuse (source,
                   "its output of %" G_GINT64_FORMAT
                   " is no multiple of its patch, %" G_GINT64_FORMAT " x %" G_GINT64_FORMAT
                   " x %" G_GINT64_FORMAT,
                   out[0], patch[2], patch[3], patch[4]);
  json_t *config = json_pack (
      "{s:s, s:i, s:b, s:f, s:s, s:i, s:[I,I,I]}", "_class_name",
      is_vace (source->file, source->table) ? "WanVACETransformer3DModel" : "WanTransformer3DModel",
      "attention_head_dim", HEAD_DIM, "cross_attn_norm",
      find (source, "blocks.0.norm2.weight") != NULL, "eps", 1e-6, "qk_norm",
      "rms_norm_across_heads", "rope_max_seq_len", 1024, "patch_size", (json_int_t)patch[2],
      (json_int_t)patch[3], (json_int_t)patch[4]);
  set_int (config, "num_attention_heads", dim / HEAD_DIM);
  set_int (config, "num_layers", count (source, "blocks."));
  set_int (config, "ffn_dim", ffn[0]);
  set_int (config, "text_dim", text[1]);
  set_int (config, "freq_dim", time[1]);
  set_int (config, "in_channels", patch[1]);
  set_int (config, "out_channels", out[0] / points);
  set_image (source, config, dim);
  return config;
}

/* ---- text encoder */

#define BIAS "encoder.block.%u.layer.0.SelfAttention.relative_attention_bias.weight"

/* UMT5 has the bias in every layer, T5 in the first alone. */
static gboolean
is_umt5 (const SoraWanFile *file, const SoraSafetensorsTable *table)
{
  g_autofree char *bias = g_strdup_printf (BIAS, 1u);
  return sora_wan_file_find (file, table, "encoder.block.1.layer.0.layer_norm.weight") == NULL
         || sora_wan_file_find (file, table, bias) != NULL;
}

static json_t *
text_config (const Source *source)
{
  g_autofree char *bias_name = g_strdup_printf (BIAS, 0u);
  gboolean older = find (source, "shared.weight") == NULL
                   && find (source, "encoder.embed_tokens.weight") != NULL;
  const int64_t *table
      = shape_of (source, older ? "encoder.embed_tokens.weight" : "shared.weight", 2);
  const int64_t *bias = table ? shape_of (source, bias_name, 2) : NULL;
  const int64_t *query
      = bias ? shape_of (source, "encoder.block.0.layer.0.SelfAttention.q.weight", 2) : NULL;
  const int64_t *wide
      = query ? shape_of (source, "encoder.block.0.layer.1.DenseReluDense.wi_0.weight", 2) : NULL;
  if (wide == NULL)
    return NULL;
  if (query[0] % bias[1] != 0)
    return refuse (source,
                   "its queries are %" G_GINT64_FORMAT " wide, which %" G_GINT64_FORMAT
                   " heads do not divide",
                   query[0], bias[1]);
  gboolean umt5 = is_umt5 (source->file, source->table);
  json_t *config
      = json_pack ("{s:[s], s:s, s:s, s:b, s:f, s:s, s:i, s:i, s:i, s:b}", "architectures",
                   umt5 ? "UMT5EncoderModel" : "T5EncoderModel", "dense_act_fn", "gelu_new",
                   "feed_forward_proj", "gated-gelu", "is_gated_act", 1, "layer_norm_epsilon", 1e-6,
                   "model_type", umt5 ? "umt5" : "t5", "eos_token_id", 1, "pad_token_id", 0,
                   "relative_attention_max_distance", 128, "tie_word_embeddings", 1);
  set_int (config, "relative_attention_num_buckets", bias[0]);
  set_int (config, "num_heads", bias[1]);
  set_int (config, "d_kv", query[0] / bias[1]);
  set_int (config, "d_model", table[1]);
  set_int (config, "d_ff", wide[0]);
  set_int (config, "vocab_size", table[0]);
  set_int (config, "num_layers", count (source, "encoder.block."));
  return config;
}

/* ---- VAE */

static gboolean
has_time_conv (const Source *source, guint block)
{
  g_autofree char *name = g_strdup_printf (
      "decoder.up_blocks.%u.%s.time_conv.weight", block,
      source->file->names == SORA_WAN_NAMES_VAE22 ? "upsampler" : "upsamplers.0");
  return find (source, name) != NULL;
}

/* dim_mult and temperal_downsample, which count from the picture inwards, as the decoder's blocks
 * count from the latents outwards. */
static gboolean
set_levels (const Source *source, json_t *config, int64_t base)
{
  guint levels = count (source, "decoder.up_blocks.");
  if (levels < 1 || levels > MAX_LEVELS)
    return refuse (source, "its decoder has %u blocks, expected 1 to %d", levels, MAX_LEVELS),
           FALSE;
  json_t *mult = json_array (), *times = json_array ();
  json_object_set_new (config, "dim_mult", mult);
  json_object_set_new (config, "temperal_downsample", times);
  int64_t temporal = 1;
  for (guint level = 0; level < levels; level++)
    {
      guint block = levels - 1 - level;
      g_autofree char *name
          = g_strdup_printf ("decoder.up_blocks.%u.resnets.0.conv1.weight", block);
      const int64_t *conv = shape_of (source, name, 5);
      if (conv == NULL)
        return FALSE;
      if (conv[0] % base != 0)
        return refuse (source,
                       "its tensor for '%s' has %" G_GINT64_FORMAT
                       " channels, expected a multiple of %" G_GINT64_FORMAT,
                       name, conv[0], base),
               FALSE;
      json_array_append_new (mult, json_integer (conv[0] / base));
      if (level == 0)
        continue;
      json_array_append_new (times, json_boolean (has_time_conv (source, block)));
      temporal *= has_time_conv (source, block) ? 2 : 1;
    }
  gboolean patched = source->file->names == SORA_WAN_NAMES_VAE22;
  set_int (config, "scale_factor_spatial", (int64_t)(patched ? 2 : 1) << (levels - 1));
  set_int (config, "scale_factor_temporal", temporal);
  set_int (config, "num_res_blocks", (int64_t)count (source, "decoder.up_blocks.0.resnets.") - 1);
  return TRUE;
}

static json_t *
vae_config (const Source *source)
{
  gboolean residual = source->file->names == SORA_WAN_NAMES_VAE22;
  const int64_t *quant = shape_of (source, "post_quant_conv.weight", 5);
  const int64_t *norm = quant ? shape_of (source, "decoder.norm_out.gamma", 4) : NULL;
  const int64_t *out = norm ? shape_of (source, "decoder.conv_out.weight", 5) : NULL;
  if (out == NULL)
    return NULL;
  guint z = residual ? G_N_ELEMENTS (mean_22) : G_N_ELEMENTS (mean_21);
  if (quant[0] != z)
    return refuse (source,
                   "its latents have %" G_GINT64_FORMAT
                   " channels, expected %u: the mean and deviation of others are not known. A "
                   "Diffusers folder tells them",
                   quant[0], z);
  /* A file may hold the decoder alone. */
  const SoraSafetensorsEntry *in = find (source, "encoder.conv_in.weight");
  json_t *config
      = json_pack ("{s:s, s:[], s:f, s:o, s:o}", "_class_name", "AutoencoderKLWan", "attn_scales",
                   "dropout", 0.0, "latents_mean", list_of (residual ? mean_22 : mean_21, z),
                   "latents_std", list_of (residual ? std_22 : std_21, z));
  set_int (config, "base_dim", in != NULL && in->ndim == 5 ? in->extents[0] : norm[0]);
  set_int (config, "decoder_base_dim", norm[0]);
  set_int (config, "z_dim", z);
  set_int (config, "out_channels", out[0]);
  if (residual)
    {
      set_int (config, "in_channels", in != NULL && in->ndim == 5 ? in->extents[1] : out[0]);
      set_int (config, "patch_size", 2);
      json_object_set_new (config, "is_residual", json_true ());
      json_object_set_new (config, "clip_output", json_false ());
    }
  if (set_levels (source, config, norm[0]))
    return config;
  json_decref (config);
  return NULL;
}

/* ---- texts */

/* Takes @root.  The result is g_free()d, as everything of core is. */
static char *
dump (json_t *root)
{
  char *text = json_dumps (root, DUMP);
  char *copy = g_strdup (text);
  free (text);
  json_decref (root);
  return copy;
}

char *
sora_wan_config (const SoraWanFile *file, const SoraSafetensorsTable *table, const char *display,
                 GError **error)
{
  const Source source = { file, table, display, error };
  json_t *config = file->kind == SORA_WAN_TRANSFORMER    ? transformer_config (&source)
                   : file->kind == SORA_WAN_TEXT_ENCODER ? text_config (&source)
                                                         : vae_config (&source);
  return config != NULL ? dump (config) : NULL;
}

char *
sora_wan_scheduler_config (const SoraWanFile *files)
{
  gboolean ti2v = files[SORA_WAN_VAE].names == SORA_WAN_NAMES_VAE22;
  return dump (json_pack ("{s:s, s:i, s:s, s:b, s:f, s:i, s:s, s:b, s:b, s:s, s:s}", "_class_name",
                          "UniPCMultistepScheduler", "num_train_timesteps", 1000, "prediction_type",
                          "flow_prediction", "use_flow_sigmas", 1, "flow_shift",
                          ti2v ? FLOW_SHIFT_5B : FLOW_SHIFT, "solver_order", 2, "solver_type",
                          "bh2", "predict_x0", 1, "lower_order_final", 1, "final_sigmas_type",
                          "zero", "timestep_spacing", "linspace"));
}

/* Latents and a picture's beside them in, latents out: image to video, as in Wan 2.2, which has no
 * embedder for pictures any more. */
static gboolean
takes_image (const SoraWanFile *dit, const SoraSafetensorsTable *table)
{
  const SoraSafetensorsEntry *patch = sora_wan_file_find (dit, table, "patch_embedding.weight");
  return sora_wan_file_find (dit, table, image_norm) != NULL
         || (patch != NULL && patch->ndim == 5 && patch->extents[1] == IMAGE_CHANNELS);
}

char *
sora_wan_model_index (const SoraWanFile *files, const SoraSafetensorsTable *const *tables,
                      gboolean experts)
{
  const SoraWanFile *dit = &files[SORA_WAN_TRANSFORMER];
  const SoraSafetensorsTable *table = tables[SORA_WAN_TRANSFORMER];
  gboolean vace = is_vace (dit, table), image = takes_image (dit, table);
  gboolean umt5 = is_umt5 (&files[SORA_WAN_TEXT_ENCODER], tables[SORA_WAN_TEXT_ENCODER]);
  const char *dit_class = vace ? "WanVACETransformer3DModel" : "WanTransformer3DModel";
  json_t *index = json_pack ("{s:s, s:[s,s], s:[s,s], s:[s,s], s:[s,s], s:[s,s]}", "_class_name",
                             vace    ? "WanVACEPipeline"
                             : image ? "WanImageToVideoPipeline"
                                     : "WanPipeline",
                             "scheduler", "diffusers", "UniPCMultistepScheduler", "text_encoder",
                             "transformers", umt5 ? "UMT5EncoderModel" : "T5EncoderModel",
                             "tokenizer", "transformers", "T5TokenizerFast", "transformer",
                             "diffusers", dit_class, "vae", "diffusers", "AutoencoderKLWan");
  /* Wan 2.2 5B gives every token its own timestep; nothing else of the family works on its VAE's
   * latents. */
  if (files[SORA_WAN_VAE].names == SORA_WAN_NAMES_VAE22)
    json_object_set_new (index, "expand_timesteps", json_true ());
  if (experts)
    {
      json_object_set_new (index, "transformer_2", json_pack ("[s,s]", "diffusers", dit_class));
      json_object_set_new (index, "boundary_ratio",
                           json_real (image ? IMAGE_BOUNDARY : TEXT_BOUNDARY));
    }
  return dump (index);
}
