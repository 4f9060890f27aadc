/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The table of tensors.
 */
#include "dit-tensors.h"

#include "kit-stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shapes, a letter an axis: D width, F of the feed-forward layer, X of the text, Q of the
 * sinusoids, S = 6 D, C channels in, O channels out times the patch, t h w the patch; digits are
 * themselves.  */
static const struct
{
  const char *name;
  const char *shape;
} tensors[DIT_N_TENSORS] = {
  [DIT_PATCH_W] = { "patch_embedding.weight", "DCthw" },
  [DIT_PATCH_B] = { "patch_embedding.bias", "D" },
  [DIT_TEXT_1_W] = { "condition_embedder.text_embedder.linear_1.weight", "DX" },
  [DIT_TEXT_1_B] = { "condition_embedder.text_embedder.linear_1.bias", "D" },
  [DIT_TEXT_2_W] = { "condition_embedder.text_embedder.linear_2.weight", "DD" },
  [DIT_TEXT_2_B] = { "condition_embedder.text_embedder.linear_2.bias", "D" },
  [DIT_TIME_1_W] = { "condition_embedder.time_embedder.linear_1.weight", "DQ" },
  [DIT_TIME_1_B] = { "condition_embedder.time_embedder.linear_1.bias", "D" },
  [DIT_TIME_2_W] = { "condition_embedder.time_embedder.linear_2.weight", "DD" },
  [DIT_TIME_2_B] = { "condition_embedder.time_embedder.linear_2.bias", "D" },
  [DIT_TIME_PROJ_W] = { "condition_embedder.time_proj.weight", "SD" },
  [DIT_TIME_PROJ_B] = { "condition_embedder.time_proj.bias", "S" },
  [DIT_OUT_TABLE] = { "scale_shift_table", "12D" },
  [DIT_OUT_W] = { "proj_out.weight", "OD" },
  [DIT_OUT_B] = { "proj_out.bias", "O" },
  [DIT_TABLE] = { "blocks.%lld.scale_shift_table", "16D" },
  [DIT_SELF_Q_W] = { "blocks.%lld.attn1.to_q.weight", "DD" },
  [DIT_SELF_Q_B] = { "blocks.%lld.attn1.to_q.bias", "D" },
  [DIT_SELF_K_W] = { "blocks.%lld.attn1.to_k.weight", "DD" },
  [DIT_SELF_K_B] = { "blocks.%lld.attn1.to_k.bias", "D" },
  [DIT_SELF_V_W] = { "blocks.%lld.attn1.to_v.weight", "DD" },
  [DIT_SELF_V_B] = { "blocks.%lld.attn1.to_v.bias", "D" },
  [DIT_SELF_O_W] = { "blocks.%lld.attn1.to_out.0.weight", "DD" },
  [DIT_SELF_O_B] = { "blocks.%lld.attn1.to_out.0.bias", "D" },
  [DIT_SELF_NORM_Q] = { "blocks.%lld.attn1.norm_q.weight", "D" },
  [DIT_SELF_NORM_K] = { "blocks.%lld.attn1.norm_k.weight", "D" },
  [DIT_CROSS_Q_W] = { "blocks.%lld.attn2.to_q.weight", "DD" },
  [DIT_CROSS_Q_B] = { "blocks.%lld.attn2.to_q.bias", "D" },
  [DIT_CROSS_K_W] = { "blocks.%lld.attn2.to_k.weight", "DD" },
  [DIT_CROSS_K_B] = { "blocks.%lld.attn2.to_k.bias", "D" },
  [DIT_CROSS_V_W] = { "blocks.%lld.attn2.to_v.weight", "DD" },
  [DIT_CROSS_V_B] = { "blocks.%lld.attn2.to_v.bias", "D" },
  [DIT_CROSS_O_W] = { "blocks.%lld.attn2.to_out.0.weight", "DD" },
  [DIT_CROSS_O_B] = { "blocks.%lld.attn2.to_out.0.bias", "D" },
  [DIT_CROSS_NORM_Q] = { "blocks.%lld.attn2.norm_q.weight", "D" },
  [DIT_CROSS_NORM_K] = { "blocks.%lld.attn2.norm_k.weight", "D" },
  [DIT_FF_1_W] = { "blocks.%lld.ffn.net.0.proj.weight", "FD" },
  [DIT_FF_1_B] = { "blocks.%lld.ffn.net.0.proj.bias", "F" },
  [DIT_FF_2_W] = { "blocks.%lld.ffn.net.2.weight", "DF" },
  [DIT_FF_2_B] = { "blocks.%lld.ffn.net.2.bias", "D" },
  [DIT_NORM_2_W] = { "blocks.%lld.norm2.weight", "D" },
  [DIT_NORM_2_B] = { "blocks.%lld.norm2.bias", "D" },
};

const char *
dit_tensor_name (DitTensor tensor, int64_t layer, char name[DIT_NAME_SIZE])
{
  static const char prefix[] = "blocks.%lld.";
  const char *pattern = tensors[tensor].name;
  if (tensor < DIT_N_GLOBAL)
    (void)snprintf (name, DIT_NAME_SIZE, "%s", pattern);
  else
    (void)snprintf (name, DIT_NAME_SIZE, "blocks.%lld.%s", (long long)layer,
                    pattern + sizeof prefix - 1);
  return name;
}

int
dit_tensor_shape (DitTensor tensor, const DitConfig *config, int64_t shape[DIT_MAX_RANK])
{
  int rank = 0;
  for (const char *axis = tensors[tensor].shape; *axis != '\0'; axis++)
    switch (*axis)
      {
      case 'D':
        shape[rank++] = config->dim;
        break;
      case 'S':
        shape[rank++] = 6 * config->dim;
        break;
      case 'F':
        shape[rank++] = config->ffn_dim;
        break;
      case 'X':
        shape[rank++] = config->text_dim;
        break;
      case 'Q':
        shape[rank++] = config->freq_dim;
        break;
      case 'C':
        shape[rank++] = config->in_channels;
        break;
      case 'O':
        shape[rank++]
            = config->out_channels * config->patch[0] * config->patch[1] * config->patch[2];
        break;
      case 't':
        shape[rank++] = config->patch[0];
        break;
      case 'h':
        shape[rank++] = config->patch[1];
        break;
      case 'w':
        shape[rank++] = config->patch[2];
        break;
      default:
        shape[rank++] = *axis - '0';
        break;
      }
  return rank;
}

DitTensor
dit_tensors_end (const DitConfig *config)
{
  return config->cross_norm ? DIT_N_TENSORS : DIT_NORM_2_W;
}

static int
check_one (SoraKitTensorCheck *check, const DitConfig *config, DitTensor tensor, int64_t layer)
{
  char name[DIT_NAME_SIZE];
  int64_t shape[DIT_MAX_RANK];
  int ndim = dit_tensor_shape (tensor, config, shape);
  return sora_kit_check_tensor (check, dit_tensor_name (tensor, layer, name), ndim, shape);
}

/* FastVideo's gates: told before all that may be missing or of another shape. */
static int
refuse_sparse (const SoraHost *host, SoraContext *ctx, const DitConfig *config)
{
  static const char *const names[]
      = { "blocks.0.to_gate_compress.weight", "blocks.0.to_gate_compress.bias",
          "blocks.0.attn1.to_gate_compress.weight", "blocks.0.attn1.to_gate_compress.bias" };
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    {
      SoraTensorView view = { .struct_size = sizeof view };
      int result = host->model_tensor_info (ctx, "model", config->component, names[i], &view);
      if (result == SORA_OK)
        return host->fail (ctx,
                           "%s: tensor '%s' is one of FastVideo's video sparse attention (VSA): "
                           "those weights were trained for an attention that leaves out most keys, "
                           "which sorad does not run. Take the checkpoint that was distilled with "
                           "full attention (FullAttn in its name)",
                           config->component, names[i]);
      if (result != SORA_NOT_FOUND)
        return result;
    }
  return SORA_OK;
}

int
dit_tensors_check (const SoraHost *host, SoraContext *ctx, const DitConfig *config,
                   uint64_t *stored_bytes)
{
  SoraKitTensorCheck check = { .host = host, .ctx = ctx, .component = config->component };
  int result = refuse_sparse (host, ctx, config);
  for (int t = 0; t < DIT_N_GLOBAL && result == SORA_OK; t++)
    result = check_one (&check, config, (DitTensor)t, 0);
  for (int64_t layer = 0; layer < config->layers && result == SORA_OK; layer++)
    for (int t = DIT_N_GLOBAL; t < (int)dit_tensors_end (config) && result == SORA_OK; t++)
      result = check_one (&check, config, (DitTensor)t, layer);
  *stored_bytes = check.bytes;
  return result == SORA_OK ? sora_kit_check_end (&check) : result;
}

/* norm_added_q is in some files and used by nobody, in the reference neither.  */
int
dit_tensors_known (const DitConfig *config, const char *name)
{
  char candidate[DIT_NAME_SIZE];
  long long layer = -1;
  if (strstr (name, "norm_added_q") != NULL)
    return 1;
  int of_layer = strncmp (name, "blocks.", 7) == 0;
  if (of_layer)
    {
      char *end;
      layer = strtoll (name + 7, &end, 10);
      if (layer < 0 || layer >= config->layers || *end != '.')
        return 0;
    }
  int first = of_layer ? DIT_N_GLOBAL : 0,
      end = of_layer ? (int)dit_tensors_end (config) : DIT_N_GLOBAL;
  for (int t = first; t < end; t++)
    if (strcmp (dit_tensor_name ((DitTensor)t, layer, candidate), name) == 0)
      return 1;
  return 0;
}
