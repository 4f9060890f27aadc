/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the files of the bridge to oneDNN share.  What differs between 2.6 and 3.x stands first, in
 * one block; the rest is written against that block.  See docs/onednn.md.
 */
#ifndef SORA_KIT_DNNL_PRIVATE_H
#define SORA_KIT_DNNL_PRIVATE_H

#include "kit-dnnl.h"

#include <stdlib.h>
#include <string.h>

/* Where elements lie: extents with their padding, strides of the blocks, and the blocks. */
typedef struct
{
  int ndim, kind, n_blocks;
  dnnl_dims_t padded, strides, blocks, indices;
} LayoutForm;

#if DNNL_VERSION_MAJOR >= 3

typedef const_dnnl_memory_desc_t Md; /* a look at a descriptor that somebody else owns */

struct SoraKitLayout
{
  dnnl_memory_desc_t md;
};

#define LAYOUT_MD(layout) ((layout)->md)

static inline dnnl_status_t
md_copy (SoraKitLayout *layout, Md md)
{
  return dnnl_memory_desc_clone (&layout->md, md);
}

static inline void
md_clear (SoraKitLayout *layout)
{
  if (layout->md != NULL)
    (void)dnnl_memory_desc_destroy (layout->md);
  layout->md = NULL;
}

static inline dnnl_status_t
md_init_strides (SoraKitLayout *layout, int ndim, const dnnl_dims_t dims, dnnl_data_type_t dtype,
                 const dnnl_dims_t strides)
{
  return dnnl_memory_desc_create_with_strides (&layout->md, ndim, dims, dtype, strides);
}

static inline dnnl_status_t
md_init_any (SoraKitLayout *layout, int ndim, const dnnl_dims_t dims, dnnl_data_type_t dtype)
{
  return dnnl_memory_desc_create_with_tag (&layout->md, ndim, dims, dtype, dnnl_format_tag_any);
}

/* What a query does not know (an order of no blocks) is zero. */
static inline void
md_form (const SoraKitLayout *layout, LayoutForm *form)
{
  const dnnl_query_t queries[]
      = { dnnl_query_padded_dims, dnnl_query_strides, dnnl_query_inner_blks, dnnl_query_inner_idxs };
  dnnl_dims_t *const to[] = { &form->padded, &form->strides, &form->blocks, &form->indices };
  dnnl_format_kind_t kind = dnnl_format_kind_undef;
  const dnnl_dims_t *numbers;
  memset (form, 0, sizeof *form);
  (void)dnnl_memory_desc_query (layout->md, dnnl_query_ndims_s32, &form->ndim);
  (void)dnnl_memory_desc_query (layout->md, dnnl_query_format_kind, &kind);
  (void)dnnl_memory_desc_query (layout->md, dnnl_query_inner_nblks_s32, &form->n_blocks);
  form->kind = (int)kind;
  for (int i = 0; i < 4; i++)
    if (dnnl_memory_desc_query (layout->md, queries[i], (void *)&numbers) == dnnl_success)
      memcpy (*to[i], *numbers, sizeof *numbers);
}

static inline dnnl_status_t
append_eltwise (dnnl_post_ops_t ops, dnnl_alg_kind_t algorithm, float alpha)
{
  return dnnl_post_ops_append_eltwise (ops, algorithm, alpha, 0.0f);
}

static inline dnnl_status_t
append_sum (dnnl_post_ops_t ops)
{
  return dnnl_post_ops_append_sum (ops, 1.0f, 0, dnnl_data_type_undef);
}

static inline dnnl_status_t
matmul_desc (dnnl_primitive_desc_t *pd, dnnl_engine_t engine, Md src, Md weights, Md bias, Md dst,
             dnnl_primitive_attr_t attr)
{
  return dnnl_matmul_primitive_desc_create (pd, engine, src, weights, bias, dst, attr);
}

#else

typedef const dnnl_memory_desc_t *Md;

struct SoraKitLayout
{
  dnnl_memory_desc_t md;
};

#define LAYOUT_MD(layout) (&(layout)->md)

static inline dnnl_status_t
md_copy (SoraKitLayout *layout, Md md)
{
  layout->md = *md;
  return dnnl_success;
}

static inline void
md_clear (SoraKitLayout *layout)
{
  memset (&layout->md, 0, sizeof layout->md);
}

static inline dnnl_status_t
md_init_strides (SoraKitLayout *layout, int ndim, const dnnl_dims_t dims, dnnl_data_type_t dtype,
                 const dnnl_dims_t strides)
{
  return dnnl_memory_desc_init_by_strides (&layout->md, ndim, dims, dtype, strides);
}

static inline dnnl_status_t
md_init_any (SoraKitLayout *layout, int ndim, const dnnl_dims_t dims, dnnl_data_type_t dtype)
{
  return dnnl_memory_desc_init_by_tag (&layout->md, ndim, dims, dtype, dnnl_format_tag_any);
}

/* An order of no blocks has none to tell. */
static inline void
md_form (const SoraKitLayout *layout, LayoutForm *form)
{
  const dnnl_memory_desc_t *md = &layout->md;
  memset (form, 0, sizeof *form);
  form->ndim = md->ndims;
  form->kind = (int)md->format_kind;
  memcpy (form->padded, md->padded_dims, sizeof form->padded);
  if (md->format_kind != dnnl_blocked)
    return;
  form->n_blocks = md->format_desc.blocking.inner_nblks;
  memcpy (form->strides, md->format_desc.blocking.strides, sizeof form->strides);
  memcpy (form->blocks, md->format_desc.blocking.inner_blks, sizeof form->blocks);
  memcpy (form->indices, md->format_desc.blocking.inner_idxs, sizeof form->indices);
}

static inline dnnl_status_t
append_eltwise (dnnl_post_ops_t ops, dnnl_alg_kind_t algorithm, float alpha)
{
  return dnnl_post_ops_append_eltwise (ops, 1.0f, algorithm, alpha, 0.0f);
}

static inline dnnl_status_t
append_sum (dnnl_post_ops_t ops)
{
  return dnnl_post_ops_append_sum (ops, 1.0f);
}

static inline dnnl_status_t
matmul_desc (dnnl_primitive_desc_t *pd, dnnl_engine_t engine, Md src, Md weights, Md bias, Md dst,
             dnnl_primitive_attr_t attr)
{
  dnnl_matmul_desc_t desc;
  dnnl_status_t status = dnnl_matmul_desc_init (&desc, src, weights, bias, dst);
  return status != dnnl_success ? status
                                : dnnl_primitive_desc_create (pd, &desc, attr, engine, NULL);
}

#endif

/* How a status is told. */
const char *sora_kit_dnnl_status (dnnl_status_t status);

/* The order in memory is left to the primitive. */
SoraKitLayout *sora_kit_layout_any (int ndim, const int64_t *dims, SoraKitTeam *team);
/* Of a descriptor that somebody else owns. */
SoraKitLayout *sora_kit_layout_copy (Md md, SoraKitTeam *team);

/* A product outside any cache; B lies as @packed says, or as oneDNN likes it best where that is
 * NULL. */
SoraKitPrimitive *sora_kit_matmul_new (const SoraKitMatmul *matmul, const SoraKitLayout *packed,
                                       SoraKitTeam *team);

#endif
