/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Names and shapes are those of diffusers' and transformers' classes, and of TAEHV's own module;
 * tests/bench compares them with what the stages' infer asks for, by running it.  A stage that
 * finds one missing says so.
 */
#include "bench-shapes.h"
#include "sora-plugin.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DIM 1536
#define FFN 8960
#define BLOCKS 30
#define TEXT 4096
#define TEXT_INNER 4096
#define TEXT_FF 10240
#define TEXT_BLOCKS 24
#define VOCABULARY 256384

static void
tensor_free (gpointer data)
{
  BenchTensor *tensor = data;
  g_free (tensor->name);
  g_free (tensor);
}

static BenchTensor *add (GPtrArray *all, int dtype, const char *shape, const char *format, ...)
    G_GNUC_PRINTF (4, 5);

/* @shape: "1536,4096".  Matrices and convolutions keep what flows through them at an order of one;
 * vectors are biases unless somebody says otherwise. */
static BenchTensor *
add (GPtrArray *all, int dtype, const char *shape, const char *format, ...)
{
  va_list args;
  BenchTensor *tensor = g_new0 (BenchTensor, 1);
  gint64 inputs = 1, stride = 1;
  va_start (args, format);
  tensor->name = g_strdup_vprintf (format, args);
  va_end (args);
  tensor->dtype = dtype;
  g_auto (GStrv) parts = g_strsplit (shape, ",", -1);
  for (char **p = parts; *p != NULL; p++)
    tensor->shape[tensor->ndim++] = g_ascii_strtoll (*p, NULL, 10);
  for (int i = tensor->ndim - 1; i >= 0; i--)
    {
      tensor->strides[i] = stride;
      stride *= tensor->shape[i];
      inputs *= i > 0 ? tensor->shape[i] : 1;
    }
  tensor->deviation = tensor->ndim > 1 ? 1 / sqrt ((double)inputs) : 0.1;
  g_ptr_array_add (all, tensor);
  return tensor;
}

static void
add_scale (GPtrArray *all, int dtype, const char *shape, const char *name)
{
  BenchTensor *tensor = add (all, dtype, shape, "%s", name);
  tensor->mean = 1;
  tensor->deviation = 0.1;
}

static void
add_linear (GPtrArray *all, const char *name, int out, int in)
{
  g_autofree char *weight = g_strdup_printf ("%d,%d", out, in), *bias = g_strdup_printf ("%d", out);
  add (all, SORA_BF16, weight, "%s.weight", name);
  add (all, SORA_BF16, bias, "%s.bias", name);
}

static void
add_transformer (GPtrArray *all, int blocks)
{
  add (all, SORA_BF16, "1536,16,1,2,2", "patch_embedding.weight");
  add (all, SORA_BF16, "1536", "patch_embedding.bias");
  add_linear (all, "condition_embedder.text_embedder.linear_1", DIM, TEXT);
  add_linear (all, "condition_embedder.text_embedder.linear_2", DIM, DIM);
  add_linear (all, "condition_embedder.time_embedder.linear_1", DIM, 256);
  add_linear (all, "condition_embedder.time_embedder.linear_2", DIM, DIM);
  add_linear (all, "condition_embedder.time_proj", 6 * DIM, DIM);
  add (all, SORA_BF16, "1,2,1536", "scale_shift_table")->deviation = 0.3;
  add_linear (all, "proj_out", 64, DIM);
  for (int i = 0; i < blocks; i++)
    {
      static const char *const linears[]
          = { "attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0",
              "attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0" };
      static const char *const norms[]
          = { "attn1.norm_q", "attn1.norm_k", "attn2.norm_q", "attn2.norm_k", "norm2" };
      g_autofree char *up = g_strdup_printf ("blocks.%d.ffn.net.0.proj", i),
                      *down = g_strdup_printf ("blocks.%d.ffn.net.2", i);
      add (all, SORA_BF16, "1,6,1536", "blocks.%d.scale_shift_table", i)->deviation = 0.3;
      for (gsize k = 0; k < G_N_ELEMENTS (linears); k++)
        {
          g_autofree char *name = g_strdup_printf ("blocks.%d.%s", i, linears[k]);
          add_linear (all, name, DIM, DIM);
        }
      for (gsize k = 0; k < G_N_ELEMENTS (norms); k++)
        {
          g_autofree char *name = g_strdup_printf ("blocks.%d.%s.weight", i, norms[k]);
          add_scale (all, SORA_BF16, "1536", name);
        }
      add (all, SORA_BF16, "1536", "blocks.%d.norm2.bias", i);
      add_linear (all, up, FFN, DIM);
      add_linear (all, down, DIM, FFN);
    }
}

static void
add_text_encoder (GPtrArray *all, int blocks)
{
  add (all, SORA_BF16, "256384,4096", "shared.weight")->deviation = 1;
  for (int i = 0; i < blocks; i++)
    {
      g_autofree char *layer = g_strdup_printf ("encoder.block.%d.layer", i);
      g_autofree char *first = g_strdup_printf ("%s.0.layer_norm.weight", layer),
                      *second = g_strdup_printf ("%s.1.layer_norm.weight", layer);
      /* Scores are not divided by the root of a head's width. */
      add (all, SORA_BF16, "4096,4096", "%s.0.SelfAttention.q.weight", layer)->deviation /= 8;
      add (all, SORA_BF16, "4096,4096", "%s.0.SelfAttention.k.weight", layer);
      add (all, SORA_BF16, "4096,4096", "%s.0.SelfAttention.v.weight", layer);
      add (all, SORA_BF16, "4096,4096", "%s.0.SelfAttention.o.weight", layer);
      add (all, SORA_BF16, "32,64", "%s.0.SelfAttention.relative_attention_bias.weight", layer)
          ->deviation
          = 1;
      add_scale (all, SORA_BF16, "4096", first);
      add (all, SORA_BF16, "10240,4096", "%s.1.DenseReluDense.wi_0.weight", layer);
      add (all, SORA_BF16, "10240,4096", "%s.1.DenseReluDense.wi_1.weight", layer);
      add (all, SORA_BF16, "4096,10240", "%s.1.DenseReluDense.wo.weight", layer);
      add_scale (all, SORA_BF16, "4096", second);
    }
  add_scale (all, SORA_BF16, "4096", "encoder.final_layer_norm.weight");
}

static void
add_conv (GPtrArray *all, const char *name, int out, int in, const char *kernel)
{
  g_autofree char *weight = g_strdup_printf ("%d,%d,%s", out, in, kernel),
                  *bias = g_strdup_printf ("%d", out);
  add (all, SORA_F32, weight, "%s.weight", name);
  add (all, SORA_F32, bias, "%s.bias", name);
}

static void
add_resnet (GPtrArray *all, const char *name, int in, int out)
{
  g_autofree char *first
      = g_strdup_printf ("%s.norm1.gamma", name),
      *second = g_strdup_printf ("%s.norm2.gamma", name),
      *in_shape = g_strdup_printf ("%d,1,1,1", in), *out_shape = g_strdup_printf ("%d,1,1,1", out),
      *conv_1 = g_strdup_printf ("%s.conv1", name), *conv_2 = g_strdup_printf ("%s.conv2", name),
      *shortcut = g_strdup_printf ("%s.conv_shortcut", name);
  add_scale (all, SORA_F32, in_shape, first);
  add_conv (all, conv_1, out, in, "3,3,3");
  add_scale (all, SORA_F32, out_shape, second);
  add_conv (all, conv_2, out, out, "3,3,3");
  if (in != out)
    add_conv (all, shortcut, out, in, "1,1,1");
}

/* The decoder alone. */
static void
add_vae (GPtrArray *all)
{
  static const int widths[] = { 384, 384, 192, 96 };
  int dim = 384;
  add_conv (all, "post_quant_conv", 16, 16, "1,1,1");
  add_conv (all, "decoder.conv_in", 384, 16, "3,3,3");
  add_resnet (all, "decoder.mid_block.resnets.0", 384, 384);
  add_scale (all, SORA_F32, "384,1,1", "decoder.mid_block.attentions.0.norm.gamma");
  add_conv (all, "decoder.mid_block.attentions.0.to_qkv", 1152, 384, "1,1");
  add_conv (all, "decoder.mid_block.attentions.0.proj", 384, 384, "1,1");
  add_resnet (all, "decoder.mid_block.resnets.1", 384, 384);
  for (int i = 0; i < 4; i++)
    {
      g_autofree char *resample
          = g_strdup_printf ("decoder.up_blocks.%d.upsamplers.0.resample.1", i),
          *time = g_strdup_printf ("decoder.up_blocks.%d.upsamplers.0.time_conv", i);
      for (int j = 0; j < 3; j++, dim = widths[i])
        {
          g_autofree char *name = g_strdup_printf ("decoder.up_blocks.%d.resnets.%d", i, j);
          add_resnet (all, name, dim, widths[i]);
        }
      if (i < 2)
        add_conv (all, time, 2 * dim, dim, "3,1,1");
      if (i < 3)
        {
          add_conv (all, resample, dim / 2, dim, "3,3");
          dim /= 2;
        }
    }
  add_scale (all, SORA_F32, "96,1,1,1", "decoder.norm_out.gamma");
  add_conv (all, "decoder.conv_out", 3, 96, "3,3,3");
}

static void
add_tiny (GPtrArray *all)
{
  static const int widths[] = { 256, 128, 64, 64 };
  add_conv (all, "decoder.1", 256, 16, "3,3");
  for (int i = 0; i < 3; i++)
    {
      g_autofree char *stretch
          = g_strdup_printf ("%d,%d,1,1", widths[i] * (i == 0 ? 1 : 2), widths[i]),
          *next = g_strdup_printf ("%d,%d,3,3", widths[i + 1], widths[i]);
      for (int block = 0; block < 3; block++)
        for (int k = 0; k < 3; k++)
          {
            g_autofree char *name
                = g_strdup_printf ("decoder.%d.conv.%d", 3 + 6 * i + block, 2 * k);
            add_conv (all, name, widths[i], (k == 0 ? 2 : 1) * widths[i], "3,3");
          }
      add (all, SORA_F32, stretch, "decoder.%d.conv.weight", 7 + 6 * i);
      add (all, SORA_F32, next, "decoder.%d.weight", 8 + 6 * i);
    }
  add_conv (all, "decoder.22", 3, 64, "3,3");
}

int
bench_shapes_blocks (const char *component)
{
  return g_str_equal (component, "transformer")    ? BLOCKS
         : g_str_equal (component, "text_encoder") ? TEXT_BLOCKS
                                                   : 0;
}

/* No more than there are. */
static int
blocks_of (const char *component, int blocks)
{
  const int all = bench_shapes_blocks (component);
  return blocks > 0 && blocks < all ? blocks : all;
}

GPtrArray *
bench_shapes_new (const char *component, int blocks)
{
  GPtrArray *all = g_ptr_array_new_with_free_func (tensor_free);
  if (g_str_equal (component, "transformer"))
    add_transformer (all, blocks_of (component, blocks));
  else if (g_str_equal (component, "text_encoder"))
    add_text_encoder (all, blocks_of (component, blocks));
  else if (g_str_equal (component, "vae"))
    add_vae (all);
  else if (g_str_equal (component, BENCH_TINY))
    add_tiny (all);
  return all;
}

/* ---- small files */

/* One field of a protocol buffer: bytes. */
static void
put_bytes (GByteArray *to, int field, const void *bytes, gsize size)
{
  const guint8 head[2] = { (guint8)(field << 3 | 2), (guint8)size };
  g_byte_array_append (to, head, sizeof head);
  g_byte_array_append (to, bytes, (guint)size);
}

static void
put_piece (GByteArray *model, const char *text, guint8 kind)
{
  g_autoptr (GByteArray) piece = g_byte_array_new ();
  const float score = -1;
  put_bytes (piece, 1, text, strlen (text));
  const guint8 score_head = 2 << 3 | 5, kind_field[2] = { 3 << 3, kind };
  g_byte_array_append (piece, &score_head, 1);
  g_byte_array_append (piece, (const guint8 *)&score, sizeof score);
  g_byte_array_append (piece, kind_field, sizeof kind_field);
  put_bytes (model, 1, piece->data, piece->len);
}

/* A SentencePiece model of one word, "a": so a prompt has as many tokens as it has words, and one
 * for its end. */
static GBytes *
make_tokenizer (void)
{
  g_autoptr (GByteArray) model = g_byte_array_new ();
  put_piece (model, "<pad>", 3);
  put_piece (model, "</s>", 3);
  put_piece (model, "<unk>", 2);
  put_piece (model,
             "\xe2\x96\x81"
             "a",
             1);
  static const guint8 trainer[] = { 3 << 3, 1 }; /* model_type: unigram */
  put_bytes (model, 2, trainer, sizeof trainer);
  static const char normalizer[] = "\x0a\x08identity";
  put_bytes (model, 3, normalizer, sizeof normalizer - 1);
  return g_byte_array_free_to_bytes (g_steal_pointer (&model));
}

GBytes *
bench_shapes_file (const char *name, int blocks)
{
  g_autofree char *text = NULL;
  if (g_str_equal (name, "tokenizer/spiece.model"))
    return make_tokenizer ();
  if (g_str_equal (name, "transformer/config.json"))
    text = g_strdup_printf (
        "{\"_class_name\": \"WanTransformer3DModel\", \"num_attention_heads\": 12,"
        " \"attention_head_dim\": 128, \"num_layers\": %d, \"ffn_dim\": %d, \"text_dim\": %d,"
        " \"freq_dim\": 256, \"in_channels\": 16, \"out_channels\": 16, \"patch_size\": [1, 2, 2],"
        " \"rope_max_seq_len\": 1024, \"cross_attn_norm\": true, \"eps\": 1e-06,"
        " \"qk_norm\": \"rms_norm_across_heads\"}",
        blocks_of ("transformer", blocks), FFN, TEXT);
  else if (g_str_equal (name, "text_encoder/config.json"))
    text = g_strdup_printf (
        "{\"model_type\": \"umt5\", \"feed_forward_proj\": \"gated-gelu\", \"vocab_size\": %d,"
        " \"d_model\": %d, \"d_kv\": 64, \"d_ff\": %d, \"num_layers\": %d, \"num_heads\": %d,"
        " \"relative_attention_num_buckets\": 32, \"relative_attention_max_distance\": 128,"
        " \"layer_norm_epsilon\": 1e-06}",
        VOCABULARY, TEXT, TEXT_FF, blocks_of ("text_encoder", blocks), TEXT_INNER / 64);
  else if (g_str_equal (name, "vae/config.json"))
    text = g_strdup ("{\"_class_name\": \"AutoencoderKLWan\", \"base_dim\": 96, \"z_dim\": 16,"
                     " \"dim_mult\": [1, 2, 4, 4], \"num_res_blocks\": 2, \"attn_scales\": [],"
                     " \"temperal_downsample\": [false, true, true], \"is_residual\": false}");
  else if (g_str_equal (name, "scheduler/scheduler_config.json"))
    text = g_strdup (
        "{\"_class_name\": \"UniPCMultistepScheduler\", \"num_train_timesteps\": 1000,"
        " \"prediction_type\": \"flow_prediction\", \"use_flow_sigmas\": true, \"flow_shift\": 3.0,"
        " \"solver_order\": 2, \"solver_type\": \"bh2\", \"predict_x0\": true,"
        " \"lower_order_final\": true, \"timestep_spacing\": \"linspace\", \"final_sigmas_type\": "
        "\"zero\"}");
  else if (g_str_equal (name, "model_index.json"))
    text = g_strdup ("{\"_class_name\": \"WanPipeline\"}");
  if (text == NULL)
    return NULL;
  const gsize size = strlen (text);
  return g_bytes_new_take (g_steal_pointer (&text), size);
}
