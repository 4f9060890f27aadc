/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Lists the tensors by their Diffusers names, with values that follow from the name alone, so that
 * every form of the model holds the same numbers.
 */
#include "config.h"
#include "tiny-wan.h"
#include <glib/gstdio.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include "sora-safetensors.h"
#include "sora-wan-names.h"

#define DIM 128
#define FFN 160
#define LAYERS 2
#define TEXT_DIM 32
#define FREQ 64
#define BASE 8
#define BASE_22 12 /* of Wan 2.2's decoder */
#define Z_21 16
#define Z_22 48
#define VOCAB 404
#define BUCKETS 32
#define HEADS 4
#define D_KV 8
#define D_FF 48

typedef struct
{
  GPtrArray *names, *tensors; /* Diffusers names; SoraTensor */
} Weights;

static void
weights_clear (Weights *weights)
{
  g_ptr_array_unref (weights->names);
  g_ptr_array_unref (weights->tensors);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Weights, weights_clear)

static Weights
weights_new (void)
{
  return (Weights){ g_ptr_array_new_with_free_func (g_free),
                    g_ptr_array_new_with_free_func ((GDestroyNotify)sora_tensor_unref) };
}

/* Norms are near 1, the rest near 0 and narrower the more is added up. */
static float
value_at (GRand *rand, const char *name, int64_t fan_in)
{
  float noise = (float)g_rand_double_range (rand, -1, 1);
  if (strstr (name, "norm") != NULL && !g_str_has_suffix (name, ".bias"))
    return 1 + noise / 8;
  return noise * (fan_in > 1 ? 1.7f / sqrtf ((float)fan_in) : 0.2f);
}

static void
add (Weights *weights, const char *name, int ndim, ...)
{
  int64_t shape[8], fan_in = 1;
  va_list args;
  va_start (args, ndim);
  for (int i = 0; i < ndim; i++)
    shape[i] = va_arg (args, int);
  va_end (args);
  for (int i = 1; i < ndim; i++)
    fan_in *= shape[i];
  SoraTensorView view;
  SoraTensor *tensor = sora_tensor_new (SORA_F32, ndim, shape, NULL);
  sora_tensor_get_view (tensor, &view);
  GRand *rand = g_rand_new_with_seed (g_str_hash (name));
  for (size_t i = 0; i < view.nbytes / 4; i++)
    ((float *)view.data)[i] = value_at (rand, name, fan_in);
  g_rand_free (rand);
  g_ptr_array_add (weights->names, g_strdup (name));
  g_ptr_array_add (weights->tensors, tensor);
}

static void
add_linear (Weights *weights, const char *prefix, const char *part, int out, int in)
{
  g_autofree char *weight = g_strconcat (prefix, part, ".weight", NULL);
  g_autofree char *bias = g_strconcat (prefix, part, ".bias", NULL);
  add (weights, weight, 2, out, in);
  add (weights, bias, 1, out);
}

static void
add_block (Weights *weights, int layer)
{
  static const char *const attentions[] = { "attn1.", "attn2." };
  static const char *const parts[] = { "to_q", "to_k", "to_v", "to_out.0" };
  g_autofree char *block = g_strdup_printf ("blocks.%d.", layer);
  g_autofree char *table = g_strconcat (block, "scale_shift_table", NULL);
  g_autofree char *norm_w = g_strconcat (block, "norm2.weight", NULL);
  g_autofree char *norm_b = g_strconcat (block, "norm2.bias", NULL);
  add (weights, table, 3, 1, 6, DIM);
  for (gsize a = 0; a < G_N_ELEMENTS (attentions); a++)
    {
      g_autofree char *attention = g_strconcat (block, attentions[a], NULL);
      g_autofree char *norm_q = g_strconcat (attention, "norm_q.weight", NULL);
      g_autofree char *norm_k = g_strconcat (attention, "norm_k.weight", NULL);
      for (gsize p = 0; p < G_N_ELEMENTS (parts); p++)
        add_linear (weights, attention, parts[p], DIM, DIM);
      add (weights, norm_q, 1, DIM);
      add (weights, norm_k, 1, DIM);
    }
  add_linear (weights, block, "ffn.net.0.proj", FFN, DIM);
  add_linear (weights, block, "ffn.net.2", DIM, FFN);
  add (weights, norm_w, 1, DIM);
  add (weights, norm_b, 1, DIM);
}

static int
latents_of (TinyWanFamily family)
{
  return family == TINY_WAN_21 ? Z_21 : Z_22;
}

static Weights
make_transformer (TinyWanFamily family)
{
  Weights weights = weights_new ();
  add (&weights, "patch_embedding.weight", 5, DIM, latents_of (family), 1, 2, 2);
  add (&weights, "patch_embedding.bias", 1, DIM);
  add_linear (&weights, "condition_embedder.", "text_embedder.linear_1", DIM, TEXT_DIM);
  add_linear (&weights, "condition_embedder.", "text_embedder.linear_2", DIM, DIM);
  add_linear (&weights, "condition_embedder.", "time_embedder.linear_1", DIM, FREQ);
  add_linear (&weights, "condition_embedder.", "time_embedder.linear_2", DIM, DIM);
  add_linear (&weights, "condition_embedder.", "time_proj", 6 * DIM, DIM);
  add (&weights, "scale_shift_table", 3, 1, 2, DIM);
  add_linear (&weights, "", "proj_out", latents_of (family) * 4, DIM);
  for (int layer = 0; layer < LAYERS; layer++)
    add_block (&weights, layer);
  return weights;
}

static Weights
make_text_encoder (void)
{
  static const struct
  {
    const char *name;
    int rows, columns; /* 0: a norm */
  } parts[] = {
    { "0.layer_norm", TEXT_DIM, 0 },
    { "0.SelfAttention.q", HEADS * D_KV, TEXT_DIM },
    { "0.SelfAttention.k", HEADS * D_KV, TEXT_DIM },
    { "0.SelfAttention.v", HEADS * D_KV, TEXT_DIM },
    { "0.SelfAttention.o", TEXT_DIM, HEADS * D_KV },
    { "0.SelfAttention.relative_attention_bias", BUCKETS, HEADS },
    { "1.layer_norm", TEXT_DIM, 0 },
    { "1.DenseReluDense.wi_0", D_FF, TEXT_DIM },
    { "1.DenseReluDense.wi_1", D_FF, TEXT_DIM },
    { "1.DenseReluDense.wo", TEXT_DIM, D_FF },
  };
  Weights weights = weights_new ();
  add (&weights, "shared.weight", 2, VOCAB, TEXT_DIM);
  for (int layer = 0; layer < LAYERS; layer++)
    for (gsize i = 0; i < G_N_ELEMENTS (parts); i++)
      {
        g_autofree char *name
            = g_strdup_printf ("encoder.block.%d.layer.%s.weight", layer, parts[i].name);
        add (&weights, name, parts[i].columns > 0 ? 2 : 1, parts[i].rows, parts[i].columns);
      }
  add (&weights, "encoder.final_layer_norm.weight", 1, TEXT_DIM);
  return weights;
}

/* A convolution of @taps frames and @side x @side pixels; rank 4: of pictures. */
static void
add_conv (Weights *weights, const char *prefix, const char *part, int rank, int out, int in,
          int taps, int side)
{
  g_autofree char *weight = g_strconcat (prefix, part, ".weight", NULL);
  g_autofree char *bias = g_strconcat (prefix, part, ".bias", NULL);
  if (rank == 5)
    add (weights, weight, 5, out, in, taps, side, side);
  else
    add (weights, weight, 4, out, in, side, side);
  add (weights, bias, 1, out);
}

static void
add_resnet (Weights *weights, const char *prefix, int in, int out)
{
  g_autofree char *norm1 = g_strconcat (prefix, "norm1.gamma", NULL);
  g_autofree char *norm2 = g_strconcat (prefix, "norm2.gamma", NULL);
  add (weights, norm1, 4, in, 1, 1, 1);
  add_conv (weights, prefix, "conv1", 5, out, in, 3, 3);
  add (weights, norm2, 4, out, 1, 1, 1);
  add_conv (weights, prefix, "conv2", 5, out, out, 3, 3);
  if (in != out)
    add_conv (weights, prefix, "conv_shortcut", 5, out, in, 1, 1);
}

static const int mult[] = { 1, 2, 4, 4 };

static void
add_middle (Weights *weights, const char *half, int dim)
{
  g_autofree char *first = g_strconcat (half, "mid_block.resnets.0.", NULL);
  g_autofree char *attention = g_strconcat (half, "mid_block.attentions.0.", NULL);
  g_autofree char *norm = g_strconcat (attention, "norm.gamma", NULL);
  g_autofree char *second = g_strconcat (half, "mid_block.resnets.1.", NULL);
  add_resnet (weights, first, dim, dim);
  add (weights, norm, 3, dim, 1, 1);
  add_conv (weights, attention, "to_qkv", 4, 3 * dim, dim, 1, 1);
  add_conv (weights, attention, "proj", 4, dim, dim, 1, 1);
  add_resnet (weights, second, dim, dim);
}

/* Downsamplers count with the blocks in Wan 2.1, and stand in them in 2.2. */
static void
add_encoder (Weights *weights, TinyWanFamily family, int picture, int z)
{
  int dim = BASE;
  add_conv (weights, "encoder.", "conv_in", 5, dim, picture, 3, 3);
  for (int level = 0, at = 0; level < 4; level++)
    {
      for (int i = 0; i < 2; i++, dim = BASE * mult[level])
        {
          g_autofree char *resnet
              = family == TINY_WAN_21
                    ? g_strdup_printf ("encoder.down_blocks.%d.", at++)
                    : g_strdup_printf ("encoder.down_blocks.%d.resnets.%d.", level, i);
          add_resnet (weights, resnet, dim, BASE * mult[level]);
        }
      if (level == 3)
        break;
      g_autofree char *down = family == TINY_WAN_21
                                  ? g_strdup_printf ("encoder.down_blocks.%d.", at++)
                                  : g_strdup_printf ("encoder.down_blocks.%d.downsampler.", level);
      add_conv (weights, down, "resample.1", 4, dim, dim, 1, 3);
      if (level > 0)
        add_conv (weights, down, "time_conv", 5, dim, dim, 3, 1);
    }
  add_middle (weights, "encoder.", dim);
  add (weights, "encoder.norm_out.gamma", 4, dim, 1, 1, 1);
  add_conv (weights, "encoder.", "conv_out", 5, 2 * z, dim, 3, 3);
}

/* Upsamplers halve the channels in Wan 2.1. */
static void
add_decoder (Weights *weights, TinyWanFamily family, int picture, int z)
{
  const int base = family == TINY_WAN_21 ? BASE : BASE_22, less = family == TINY_WAN_21 ? 2 : 1;
  int dim = base * mult[3];
  add_conv (weights, "decoder.", "conv_in", 5, dim, z, 3, 3);
  add_middle (weights, "decoder.", dim);
  for (int block = 0; block < 4; block++)
    {
      int out = base * mult[3 - block];
      for (int i = 0; i < 3; i++, dim = out)
        {
          g_autofree char *resnet = g_strdup_printf ("decoder.up_blocks.%d.resnets.%d.", block, i);
          add_resnet (weights, resnet, dim, out);
        }
      g_autofree char *up = g_strdup_printf ("decoder.up_blocks.%d.%s.", block,
                                             family == TINY_WAN_21 ? "upsamplers.0" : "upsampler");
      if (block == 3)
        break;
      if (block < 2)
        add_conv (weights, up, "time_conv", 5, 2 * dim, dim, 3, 1);
      add_conv (weights, up, "resample.1", 4, dim / less, dim, 1, 3);
      dim /= less;
    }
  add (weights, "decoder.norm_out.gamma", 4, dim, 1, 1, 1);
  add_conv (weights, "decoder.", "conv_out", 5, picture, dim, 3, 3);
}

static Weights
make_vae (TinyWanFamily family)
{
  const int z = latents_of (family), picture = family == TINY_WAN_21 ? 3 : 12;
  Weights weights = weights_new ();
  add_conv (&weights, "", "quant_conv", 5, 2 * z, 2 * z, 1, 1);
  add_conv (&weights, "", "post_quant_conv", 5, z, z, 1, 1);
  add_encoder (&weights, family, picture, z);
  add_decoder (&weights, family, picture, z);
  return weights;
}

/* ---- files */

static gboolean
write_weights (const char *dir, const char *file, const Weights *weights, int table,
               const char *prefix, SoraTensor *spiece, GError **error)
{
  g_autofree char *path = g_build_filename (dir, file, NULL);
  g_autofree char *folder = g_path_get_dirname (path);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) tensors = g_ptr_array_new ();
  g_mkdir_with_parents (folder, 0777);
  for (guint i = 0; i < weights->names->len; i++)
    {
      const char *name = g_ptr_array_index (weights->names, i);
      g_autofree char *own
          = table < 0 ? g_strdup (name) : sora_wan_name_to_original ((SoraWanNames)table, name);
      g_ptr_array_add (names, g_strconcat (prefix, own, NULL));
      g_ptr_array_add (tensors, g_ptr_array_index (weights->tensors, i));
    }
  if (spiece != NULL)
    {
      g_ptr_array_add (names, g_strdup ("spiece_model"));
      g_ptr_array_add (tensors, spiece);
    }
  return sora_safetensors_write (path, (const char *const *)names->pdata,
                                 (SoraTensor *const *)tensors->pdata, names->len, NULL, error);
}

static gboolean
write_text (const char *dir, const char *file, const char *text, GError **error)
{
  g_autofree char *path = g_build_filename (dir, file, NULL);
  g_autofree char *folder = g_path_get_dirname (path);
  g_mkdir_with_parents (folder, 0777);
  return g_file_set_contents (path, text, -1, error);
}

static gboolean
copy_spiece (const char *dir, const char *file, const char *spiece, GError **error)
{
  g_autofree char *path = g_build_filename (dir, file, NULL);
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *data = NULL;
  gsize size;
  g_mkdir_with_parents (folder, 0777);
  return g_file_get_contents (spiece, &data, &size, error)
         && g_file_set_contents (path, data, (gssize)size, error);
}

/* Written by hand, not by core: what core makes of the single files must mean the same. */
static const struct
{
  const char *file, *text, *text_22; /* NULL: the same */
} configs[] = {
  { "model_index.json",
    "{\"_class_name\": \"WanPipeline\", \"scheduler\": [\"diffusers\", "
    "\"UniPCMultistepScheduler\"],"
    " \"text_encoder\": [\"transformers\", \"UMT5EncoderModel\"],"
    " \"tokenizer\": [\"transformers\", \"T5TokenizerFast\"],"
    " \"transformer\": [\"diffusers\", \"WanTransformer3DModel\"],"
    " \"vae\": [\"diffusers\", \"AutoencoderKLWan\"]}",
    "{\"_class_name\": \"WanPipeline\", \"expand_timesteps\": true, \"scheduler\": "
    "[\"diffusers\", \"UniPCMultistepScheduler\"],"
    " \"text_encoder\": [\"transformers\", \"UMT5EncoderModel\"],"
    " \"tokenizer\": [\"transformers\", \"T5TokenizerFast\"],"
    " \"transformer\": [\"diffusers\", \"WanTransformer3DModel\"],"
    " \"vae\": [\"diffusers\", \"AutoencoderKLWan\"]}" },
  { "scheduler/scheduler_config.json",
    "{\"_class_name\": \"UniPCMultistepScheduler\", \"flow_shift\": 3.0, \"prediction_type\":"
    " \"flow_prediction\", \"use_flow_sigmas\": true, \"solver_order\": 2, \"solver_type\":"
    " \"bh2\"}",
    "{\"_class_name\": \"UniPCMultistepScheduler\", \"flow_shift\": 5.0, \"prediction_type\":"
    " \"flow_prediction\", \"use_flow_sigmas\": true, \"solver_order\": 2, \"solver_type\":"
    " \"bh2\"}" },
  { "transformer/config.json",
    "{\"_class_name\": \"WanTransformer3DModel\", \"num_attention_heads\": 1,"
    " \"attention_head_dim\": 128, \"num_layers\": 2, \"ffn_dim\": 160, \"text_dim\": 32,"
    " \"freq_dim\": 64, \"in_channels\": 16, \"out_channels\": 16, \"patch_size\": [1, 2, 2],"
    " \"qk_norm\": \"rms_norm_across_heads\", \"cross_attn_norm\": true, \"eps\": 1e-06,"
    " \"rope_max_seq_len\": 1024}",
    "{\"_class_name\": \"WanTransformer3DModel\", \"num_attention_heads\": 1,"
    " \"attention_head_dim\": 128, \"num_layers\": 2, \"ffn_dim\": 160, \"text_dim\": 32,"
    " \"freq_dim\": 64, \"in_channels\": 48, \"out_channels\": 48, \"patch_size\": [1, 2, 2],"
    " \"qk_norm\": \"rms_norm_across_heads\", \"cross_attn_norm\": true, \"eps\": 1e-06,"
    " \"rope_max_seq_len\": 1024}" },
  { "text_encoder/config.json",
    "{\"model_type\": \"umt5\", \"feed_forward_proj\": \"gated-gelu\", \"vocab_size\": 404,"
    " \"d_model\": 32, \"d_kv\": 8, \"d_ff\": 48, \"num_layers\": 2, \"num_heads\": 4,"
    " \"relative_attention_num_buckets\": 32, \"relative_attention_max_distance\": 128,"
    " \"layer_norm_epsilon\": 1e-06}",
    NULL },
  { "vae/config.json",
    "{\"_class_name\": \"AutoencoderKLWan\", \"base_dim\": 8, \"dim_mult\": [1, 2, 4, 4],"
    " \"num_res_blocks\": 2, \"z_dim\": 16, \"temperal_downsample\": [false, true, true],"
    " \"latents_mean\": [-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,"
    " 0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921],"
    " \"latents_std\": [2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687,"
    " 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160]}",
    "{\"_class_name\": \"AutoencoderKLWan\", \"base_dim\": 8, \"decoder_base_dim\": 12,"
    " \"dim_mult\": [1, 2, 4, 4], \"num_res_blocks\": 2, \"z_dim\": 48, \"is_residual\": true,"
    " \"in_channels\": 12, \"out_channels\": 12, \"patch_size\": 2, \"scale_factor_spatial\": 16,"
    " \"scale_factor_temporal\": 4, \"temperal_downsample\": [false, true, true],"
    " \"latents_mean\": ["
    " -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557,"
    " -0.1382, 0.0542, 0.2813, 0.0891, 0.1570, -0.0098, 0.0375, -0.1825,"
    " -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502,"
    " -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230,"
    " -0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520, 0.3748,"
    " 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667],"
    " \"latents_std\": ["
    " 0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013,"
    " 0.8158, 1.0344, 0.5894, 1.0901, 0.6885, 0.6165, 0.8454, 0.4978,"
    " 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,"
    " 0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093,"
    " 0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887,"
    " 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744]}" },
};

gboolean
tiny_wan_write_folder (const char *dir, TinyWanFamily family, const char *spiece, GError **error)
{
  g_auto (Weights) transformer = make_transformer (family);
  g_auto (Weights) text = make_text_encoder ();
  g_auto (Weights) vae = make_vae (family);
  for (gsize i = 0; i < G_N_ELEMENTS (configs); i++)
    {
      const char *config = family == TINY_WAN_22 && configs[i].text_22 != NULL ? configs[i].text_22
                                                                               : configs[i].text;
      if (!write_text (dir, configs[i].file, config, error))
        return FALSE;
    }
  return copy_spiece (dir, "tokenizer/spiece.model", spiece, error)
         && write_weights (dir, "transformer/diffusion_pytorch_model.safetensors", &transformer, -1,
                           "", NULL, error)
         && write_weights (dir, "text_encoder/model.safetensors", &text, -1, "", NULL, error)
         && write_weights (dir, "vae/diffusion_pytorch_model.safetensors", &vae, -1, "", NULL,
                           error);
}

static SoraTensor *
load_spiece (const char *path, GError **error)
{
  g_autofree char *data = NULL;
  gsize size;
  if (!g_file_get_contents (path, &data, &size, error))
    return NULL;
  const int64_t shape[] = { (int64_t)size };
  SoraTensor *tensor = sora_tensor_new (SORA_U8, 1, shape, error);
  SoraTensorView view;
  if (tensor == NULL)
    return NULL;
  sora_tensor_get_view (tensor, &view);
  memcpy (view.data, data, size);
  return tensor;
}

gboolean
tiny_wan_write_single (const char *dir, TinyWanFamily family, TinyWanNames names,
                       const char *spiece, GError **error)
{
  g_auto (Weights) transformer = make_transformer (family);
  g_auto (Weights) text = make_text_encoder ();
  g_auto (Weights) vae = make_vae (family);
  gboolean diffusers = names == TINY_WAN_DIFFUSERS_NAMES, comfy = names == TINY_WAN_COMFY_NAMES;
  g_autoptr (SoraTensor) inner = comfy ? load_spiece (spiece, error) : NULL;
  g_mkdir_with_parents (dir, 0777);
  if (comfy ? inner == NULL : !copy_spiece (dir, "spiece.model", spiece, error))
    return FALSE;
  return write_weights (dir, "dit.safetensors", &transformer,
                        diffusers ? -1 : SORA_WAN_NAMES_TRANSFORMER,
                        comfy ? "model.diffusion_model." : "", NULL, error)
         && write_weights (dir, "t5.safetensors", &text,
                           names == TINY_WAN_ORIGINAL_NAMES ? SORA_WAN_NAMES_TEXT : -1, "", inner,
                           error)
         && write_weights (dir, "ae.safetensors", &vae,
                           diffusers               ? -1
                           : family == TINY_WAN_21 ? SORA_WAN_NAMES_VAE
                                                   : SORA_WAN_NAMES_VAE22,
                           "", NULL, error);
}
