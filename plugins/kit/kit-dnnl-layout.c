/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * How operands lie in memory, as oneDNN describes it; and what it says of itself.
 */
#include "kit-dnnl-private.h"

#include <stdio.h>

const char *
sora_kit_dnnl_status (dnnl_status_t status)
{
  switch (status)
    {
    case dnnl_success:
      return "success";
    case dnnl_out_of_memory:
      return "out of memory";
    case dnnl_invalid_arguments:
      return "invalid arguments";
    case dnnl_unimplemented:
      return "no implementation for this shape and machine";
    case dnnl_runtime_error:
      return "run-time error";
    case dnnl_not_required:
      return "not required";
    default:
      return "unknown status";
    }
}

const char *
sora_kit_dnnl_version (void)
{
  static char text[32];
  const dnnl_version_t *version = dnnl_version ();
  (void)snprintf (text, sizeof text, "%d.%d.%d", version->major, version->minor, version->patch);
  return text;
}

/* oneDNN 2.6 wants arrays of DNNL_MAX_NDIMS entries, whatever the rank.  */
static void
dims_fill (dnnl_dims_t to, const int64_t *from, int n)
{
  memset (to, 0, sizeof (dnnl_dims_t));
  for (int i = 0; i < n; i++)
    to[i] = from[i];
}

static SoraKitLayout *
layout_check (SoraKitLayout *layout, dnnl_status_t status, const char *what, SoraKitTeam *team)
{
  if (status == dnnl_success)
    return layout;
  sora_kit_team_fail (team, "oneDNN: memory layout '%s': %s", what, sora_kit_dnnl_status (status));
  free (layout);
  return NULL;
}

static SoraKitLayout *
layout_empty (int ndim, SoraKitTeam *team)
{
  SoraKitLayout *layout = NULL;
  if (ndim < 1 || ndim > 6)
    sora_kit_team_fail (team, "oneDNN: memory layout of rank %d, expected 1 to 6", ndim);
  else if ((layout = calloc (1, sizeof *layout)) == NULL)
    sora_kit_team_fail (team, "out of memory for a memory layout");
  return layout;
}

SoraKitLayout *
sora_kit_layout_new (int ndim, const int64_t *dims, dnnl_data_type_t dtype, const int64_t *strides,
                     SoraKitTeam *team)
{
  SoraKitLayout *layout = layout_empty (ndim, team);
  if (layout == NULL)
    return NULL;
  dnnl_dims_t full, full_strides;
  dims_fill (full, dims, ndim);
  dims_fill (full_strides, strides, ndim);
  return layout_check (layout, md_init_strides (layout, ndim, full, dtype, full_strides), "strides",
                       team);
}

SoraKitLayout *
sora_kit_layout_any (int ndim, const int64_t *dims, SoraKitTeam *team)
{
  SoraKitLayout *layout = layout_empty (ndim, team);
  if (layout == NULL)
    return NULL;
  dnnl_dims_t full;
  dims_fill (full, dims, ndim);
  return layout_check (layout, md_init_any (layout, ndim, full, dnnl_f32), "any", team);
}

SoraKitLayout *
sora_kit_layout_copy (Md md, SoraKitTeam *team)
{
  SoraKitLayout *layout = layout_empty (1, team);
  return layout == NULL ? NULL : layout_check (layout, md_copy (layout, md), "copy", team);
}

void
sora_kit_layout_free (SoraKitLayout *layout)
{
  if (layout == NULL)
    return;
  md_clear (layout);
  free (layout);
}

/* FNV-1a, 64 bits, of numbers: Fowler, Noll, Vo, Eastlake, "The FNV Non-Cryptographic Hash Algorithm".  */
static void
sum_numbers (uint64_t *sum, const dnnl_dim_t *numbers, int n)
{
  for (int i = 0; i < n; i++)
    for (int byte = 0; byte < 8; byte++)
      *sum = (*sum ^ ((uint64_t)numbers[i] >> 8 * byte & 255)) * UINT64_C (0x100000001b3);
}

void
sora_kit_layout_sum (const SoraKitLayout *layout, uint64_t *sum)
{
  LayoutForm form;
  md_form (layout, &form);
  const dnnl_dim_t head[] = { form.ndim, form.kind, form.n_blocks,
                              (dnnl_dim_t)sora_kit_layout_bytes (layout) };
  sum_numbers (sum, head, 4);
  sum_numbers (sum, form.padded, form.ndim);
  sum_numbers (sum, form.strides, form.ndim);
  sum_numbers (sum, form.blocks, form.n_blocks);
  sum_numbers (sum, form.indices, form.n_blocks);
}

uint64_t
sora_kit_layout_bytes (const SoraKitLayout *layout)
{
  return dnnl_memory_desc_get_size (LAYOUT_MD (layout));
}
