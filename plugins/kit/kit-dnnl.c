/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The bridge to oneDNN 2.6 and 3.x.  What differs between them stands first, in one block; the rest
 * is written against that block.  See docs/onednn.md.
 */
#include "kit-dnnl.h"

#include "kit-memory.h"

#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LAYOUTS 4

/* ---- what differs: 2.x and 3.x */

#if DNNL_VERSION_MAJOR >= 3

typedef const_dnnl_memory_desc_t Md; /* a look at a descriptor that somebody else owns */

struct SoraKitLayout
{
  dnnl_memory_desc_t md;
};

#define LAYOUT_MD(layout) ((layout)->md)

static dnnl_status_t
md_copy (SoraKitLayout *layout, Md md)
{
  return dnnl_memory_desc_clone (&layout->md, md);
}

static void
md_clear (SoraKitLayout *layout)
{
  if (layout->md != NULL)
    (void)dnnl_memory_desc_destroy (layout->md);
  layout->md = NULL;
}

static dnnl_status_t
md_init_strides (SoraKitLayout *layout, int ndim, const dnnl_dims_t dims, dnnl_data_type_t dtype,
                 const dnnl_dims_t strides)
{
  return dnnl_memory_desc_create_with_strides (&layout->md, ndim, dims, dtype, strides);
}

static dnnl_status_t
md_init_any (SoraKitLayout *layout, int ndim, const dnnl_dims_t dims, dnnl_data_type_t dtype)
{
  return dnnl_memory_desc_create_with_tag (&layout->md, ndim, dims, dtype, dnnl_format_tag_any);
}

static dnnl_status_t
append_eltwise (dnnl_post_ops_t ops, dnnl_alg_kind_t algorithm, float alpha)
{
  return dnnl_post_ops_append_eltwise (ops, algorithm, alpha, 0.0f);
}

static dnnl_status_t
append_sum (dnnl_post_ops_t ops)
{
  return dnnl_post_ops_append_sum (ops, 1.0f, 0, dnnl_data_type_undef);
}

static dnnl_status_t
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

static dnnl_status_t
md_copy (SoraKitLayout *layout, Md md)
{
  layout->md = *md;
  return dnnl_success;
}

static void
md_clear (SoraKitLayout *layout)
{
  memset (&layout->md, 0, sizeof layout->md);
}

static dnnl_status_t
md_init_strides (SoraKitLayout *layout, int ndim, const dnnl_dims_t dims, dnnl_data_type_t dtype,
                 const dnnl_dims_t strides)
{
  return dnnl_memory_desc_init_by_strides (&layout->md, ndim, dims, dtype, strides);
}

static dnnl_status_t
md_init_any (SoraKitLayout *layout, int ndim, const dnnl_dims_t dims, dnnl_data_type_t dtype)
{
  return dnnl_memory_desc_init_by_tag (&layout->md, ndim, dims, dtype, dnnl_format_tag_any);
}

static dnnl_status_t
append_eltwise (dnnl_post_ops_t ops, dnnl_alg_kind_t algorithm, float alpha)
{
  return dnnl_post_ops_append_eltwise (ops, 1.0f, algorithm, alpha, 0.0f);
}

static dnnl_status_t
append_sum (dnnl_post_ops_t ops)
{
  return dnnl_post_ops_append_sum (ops, 1.0f);
}

static dnnl_status_t
matmul_desc (dnnl_primitive_desc_t *pd, dnnl_engine_t engine, Md src, Md weights, Md bias, Md dst,
             dnnl_primitive_attr_t attr)
{
  dnnl_matmul_desc_t desc;
  dnnl_status_t status = dnnl_matmul_desc_init (&desc, src, weights, bias, dst);
  return status != dnnl_success ? status
                                : dnnl_primitive_desc_create (pd, &desc, attr, engine, NULL);
}

#endif

/* ---- engine and layouts */

typedef struct
{
  dnnl_memory_t memory[MAX_LAYOUTS], scratch;
  void *scratch_data;
  dnnl_stream_t stream;
} Slot;

struct SoraKitPrimitive
{
  dnnl_primitive_t primitive;
  SoraKitLayout *layouts[MAX_LAYOUTS], *scratch;
  int is_reorder;
  char impl[64];
  Slot *slots[SORA_KIT_MAX_THREADS];
};

static pthread_once_t engine_once = PTHREAD_ONCE_INIT;
static dnnl_engine_t engine;

static void
engine_init (void)
{
  if (dnnl_engine_create (&engine, dnnl_cpu, 0) != dnnl_success)
    engine = NULL;
}

static const char *
status_name (dnnl_status_t status)
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
  sora_kit_team_fail (team, "oneDNN: memory layout '%s': %s", what, status_name (status));
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

/* The order is left to the primitive.  */
static SoraKitLayout *
layout_any (int ndim, const int64_t *dims, SoraKitTeam *team)
{
  SoraKitLayout *layout = layout_empty (ndim, team);
  if (layout == NULL)
    return NULL;
  dnnl_dims_t full;
  dims_fill (full, dims, ndim);
  return layout_check (layout, md_init_any (layout, ndim, full, dnnl_f32), "any", team);
}

static SoraKitLayout *
layout_copy (Md md, SoraKitTeam *team)
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

uint64_t
sora_kit_layout_bytes (const SoraKitLayout *layout)
{
  return dnnl_memory_desc_get_size (LAYOUT_MD (layout));
}

/* ---- primitives */

static void
slot_free (Slot *slot)
{
  if (slot == NULL)
    return;
  for (int i = 0; i < MAX_LAYOUTS; i++)
    if (slot->memory[i] != NULL)
      (void)dnnl_memory_destroy (slot->memory[i]);
  if (slot->scratch != NULL)
    (void)dnnl_memory_destroy (slot->scratch);
  if (slot->stream != NULL)
    (void)dnnl_stream_destroy (slot->stream);
  sora_kit_free (slot->scratch_data);
  free (slot);
}

void
sora_kit_primitive_free (SoraKitPrimitive *primitive)
{
  if (primitive == NULL)
    return;
  for (int i = 0; i < SORA_KIT_MAX_THREADS; i++)
    slot_free (primitive->slots[i]);
  for (int i = 0; i < MAX_LAYOUTS; i++)
    sora_kit_layout_free (primitive->layouts[i]);
  sora_kit_layout_free (primitive->scratch);
  if (primitive->primitive != NULL)
    (void)dnnl_primitive_destroy (primitive->primitive);
  free (primitive);
}

const SoraKitLayout *
sora_kit_primitive_layout (const SoraKitPrimitive *primitive, SoraKitRole role)
{
  return primitive->layouts[role];
}

const char *
sora_kit_primitive_impl (const SoraKitPrimitive *primitive)
{
  return primitive->impl;
}

static int
keep_layout (SoraKitPrimitive *primitive, SoraKitRole role, const_dnnl_primitive_desc_t pd,
             dnnl_query_t what, SoraKitTeam *team)
{
  Md md = dnnl_primitive_desc_query_md (pd, what, 0);
  if (md == NULL)
    return sora_kit_team_fail (team, "oneDNN: %s does not tell the layout of operand %d",
                               primitive->impl, role);
  primitive->layouts[role] = layout_copy (md, team);
  return primitive->layouts[role] == NULL ? SORA_FAILED : SORA_OK;
}

/* Takes the descriptor: checks what code it stands for, and makes the primitive.  */
static SoraKitPrimitive *
primitive_finish (dnnl_primitive_desc_t pd, const char *what, int has_weights, int has_bias,
                  int is_reorder, SoraKitTeam *team)
{
  SoraKitPrimitive *self = calloc (1, sizeof *self);
  int result = SORA_OK;
  const char *impl = NULL;
  if (self == NULL)
    result = sora_kit_team_fail (team, "out of memory for a primitive");
  else if (dnnl_primitive_desc_query (pd, dnnl_query_impl_info_str, 0, &impl) != dnnl_success
           || impl == NULL)
    result = sora_kit_team_fail (team, "oneDNN: %s has no name of its code", what);
  else
    {
      (void)snprintf (self->impl, sizeof self->impl, "%s", impl);
      self->is_reorder = is_reorder;
      if (!is_reorder && strstr (impl, "ref") != NULL)
        result = sora_kit_team_fail (
            team,
            "oneDNN %s: %s: only the reference code '%s' is there for this shape and "
            "machine, which is too slow to use",
            sora_kit_dnnl_version (), what, impl);
    }
  if (result == SORA_OK)
    result = keep_layout (self, SORA_KIT_ROLE_SRC, pd, dnnl_query_src_md, team);
  if (result == SORA_OK && has_weights)
    result = keep_layout (self, SORA_KIT_ROLE_WEIGHTS, pd, dnnl_query_weights_md, team);
  if (result == SORA_OK && has_bias)
    {
      Md md = dnnl_primitive_desc_query_md (pd, dnnl_query_weights_md, 1);
      self->layouts[SORA_KIT_ROLE_BIAS] = md == NULL ? NULL : layout_copy (md, team);
      if (self->layouts[SORA_KIT_ROLE_BIAS] == NULL)
        result = sora_kit_team_fail (team, "oneDNN: %s does not tell the layout of its bias", what);
    }
  if (result == SORA_OK)
    result = keep_layout (self, SORA_KIT_ROLE_DST, pd, dnnl_query_dst_md, team);
  if (result == SORA_OK)
    {
      Md md = dnnl_primitive_desc_query_md (pd, dnnl_query_scratchpad_md, 0);
      if (md != NULL && dnnl_memory_desc_get_size (md) > 0
          && (self->scratch = layout_copy (md, team)) == NULL)
        result = SORA_FAILED;
    }
  if (result == SORA_OK)
    {
      dnnl_status_t status = dnnl_primitive_create (&self->primitive, pd);
      if (status != dnnl_success)
        result = sora_kit_team_fail (team, "oneDNN: %s: creating '%s': %s", what, impl,
                                     status_name (status));
    }
  (void)dnnl_primitive_desc_destroy (pd);
  if (result == SORA_OK)
    return self;
  sora_kit_primitive_free (self);
  return NULL;
}

static dnnl_status_t
attr_new (dnnl_primitive_attr_t *attr, int accumulate, int activation)
{
  dnnl_post_ops_t ops = NULL;
  dnnl_status_t status = dnnl_primitive_attr_create (attr);
  if (status != dnnl_success)
    return status;
  status = dnnl_primitive_attr_set_scratchpad_mode (*attr, dnnl_scratchpad_mode_user);
  if (status == dnnl_success)
    status = dnnl_post_ops_create (&ops);
  if (status == dnnl_success && accumulate)
    status = append_sum (ops);
  if (status == dnnl_success && activation == SORA_KIT_ACTIVATION_GELU_TANH)
    status = append_eltwise (ops, dnnl_eltwise_gelu_tanh, 0.0f);
  if (status == dnnl_success && activation == SORA_KIT_ACTIVATION_SILU)
    status = append_eltwise (ops, dnnl_eltwise_swish, 1.0f);
  if (status == dnnl_success)
    status = dnnl_primitive_attr_set_post_ops (*attr, ops);
  if (ops != NULL)
    (void)dnnl_post_ops_destroy (ops);
  if (status == dnnl_success)
    return status;
  (void)dnnl_primitive_attr_destroy (*attr);
  *attr = NULL;
  return status;
}

/* All that creation needs to be undone stands here, so that products and reorders end in one place.
 */
typedef struct
{
  SoraKitLayout *src, *weights, *bias, *dst;
  dnnl_primitive_attr_t attr;
  int saved_threads;
} Making;

static int
making_begin (Making *making, int accumulate, int activation, SoraKitTeam *team)
{
  memset (making, 0, sizeof *making);
  making->saved_threads = omp_get_max_threads ();
  omp_set_num_threads (1);
  (void)pthread_once (&engine_once, engine_init);
  if (engine == NULL)
    return sora_kit_team_fail (team, "oneDNN %s: no CPU engine", sora_kit_dnnl_version ());
  dnnl_status_t status = attr_new (&making->attr, accumulate, activation);
  if (status != dnnl_success)
    return sora_kit_team_fail (team, "oneDNN: attributes of a primitive: %s", status_name (status));
  return SORA_OK;
}

static void
making_end (Making *making)
{
  sora_kit_layout_free (making->src);
  sora_kit_layout_free (making->weights);
  sora_kit_layout_free (making->bias);
  sora_kit_layout_free (making->dst);
  if (making->attr != NULL)
    (void)dnnl_primitive_attr_destroy (making->attr);
  omp_set_num_threads (making->saved_threads);
}

static SoraKitPrimitive *
matmul_new (const SoraKitMatmul *mm, const SoraKitLayout *packed, SoraKitTeam *team)
{
  char what[128];
  (void)snprintf (what, sizeof what, "product %lld x %lld x %lld", (long long)mm->m,
                  (long long)mm->n, (long long)mm->k);
  Making making;
  SoraKitPrimitive *self = NULL;
  const int64_t a_dims[] = { mm->m, mm->k }, b_dims[] = { mm->k, mm->n },
                c_dims[] = { mm->m, mm->n }, bias_dims[] = { 1, mm->n };
  const int64_t a_strides[] = { mm->k, 1 }, c_strides[] = { mm->n, 1 };
  if (making_begin (&making, mm->accumulate, mm->activation, team) == SORA_OK)
    {
      making.src = sora_kit_layout_new (2, a_dims, dnnl_f32, a_strides, team);
      making.dst = sora_kit_layout_new (2, c_dims, dnnl_f32, c_strides, team);
      making.weights
          = packed != NULL ? layout_copy (LAYOUT_MD (packed), team) : layout_any (2, b_dims, team);
      if (mm->bias)
        making.bias = sora_kit_layout_new (2, bias_dims, dnnl_f32, c_strides, team);
      if (making.src && making.dst && making.weights && (making.bias || !mm->bias))
        {
          dnnl_primitive_desc_t pd = NULL;
          dnnl_status_t status = matmul_desc (
              &pd, engine, LAYOUT_MD (making.src), LAYOUT_MD (making.weights),
              making.bias ? LAYOUT_MD (making.bias) : NULL, LAYOUT_MD (making.dst), making.attr);
          if (status == dnnl_success)
            self = primitive_finish (pd, what, 1, mm->bias, 0, team);
          else
            sora_kit_team_fail (team, "oneDNN %s: %s: %s", sora_kit_dnnl_version (), what,
                                status_name (status));
        }
    }
  making_end (&making);
  return self;
}

SoraKitPrimitive *
sora_kit_reorder_new (const SoraKitLayout *src, const SoraKitLayout *dst, SoraKitTeam *team)
{
  Making making;
  SoraKitPrimitive *self = NULL;
  if (making_begin (&making, 0, 0, team) == SORA_OK)
    {
      dnnl_primitive_desc_t pd = NULL;
      dnnl_status_t status = dnnl_reorder_primitive_desc_create (
          &pd, LAYOUT_MD (src), engine, LAYOUT_MD (dst), engine, making.attr);
      if (status == dnnl_success)
        self = primitive_finish (pd, "reorder", 0, 0, 1, team);
      else
        sora_kit_team_fail (team, "oneDNN %s: reorder: %s", sora_kit_dnnl_version (),
                            status_name (status));
    }
  making_end (&making);
  return self;
}

static dnnl_status_t
slot_memory (dnnl_memory_t *memory, const SoraKitLayout *layout)
{
  return layout == NULL ? dnnl_success
                        : dnnl_memory_create (memory, LAYOUT_MD (layout), engine, DNNL_MEMORY_NONE);
}

static Slot *
slot_new (SoraKitPrimitive *self, SoraKitTeam *team)
{
  Slot *slot = calloc (1, sizeof *slot);
  if (slot == NULL)
    {
      sora_kit_team_fail (team, "out of memory for a primitive");
      return NULL;
    }
  dnnl_status_t status = dnnl_stream_create (&slot->stream, engine, dnnl_stream_default_flags);
  for (int i = 0; i < MAX_LAYOUTS && status == dnnl_success; i++)
    status = slot_memory (&slot->memory[i], self->layouts[i]);
  if (status == dnnl_success && self->scratch != NULL)
    {
      slot->scratch_data = sora_kit_alloc (sora_kit_layout_bytes (self->scratch), 1);
      status = slot->scratch_data == NULL
                   ? dnnl_out_of_memory
                   : dnnl_memory_create (&slot->scratch, LAYOUT_MD (self->scratch), engine,
                                         slot->scratch_data);
    }
  if (status == dnnl_success)
    return slot;
  sora_kit_team_fail (team, "oneDNN: %s: memory of a thread: %s", self->impl, status_name (status));
  slot_free (slot);
  return NULL;
}

int
sora_kit_primitive_run (SoraKitPrimitive *self, SoraKitTeam *team, int index, const void *src,
                        const void *weights, const void *bias, void *dst)
{
  static const int args[MAX_LAYOUTS]
      = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST };
  Slot *slot = self->slots[index];
  if (slot == NULL && (slot = self->slots[index] = slot_new (self, team)) == NULL)
    return SORA_FAILED;
  /* oneDNN's handles are not const; inputs are only read.  */
  void *const data[MAX_LAYOUTS]
      = { (void *)(uintptr_t)src, (void *)(uintptr_t)weights, (void *)(uintptr_t)bias, dst };
  dnnl_exec_arg_t exec[MAX_LAYOUTS + 1];
  int n = 0;
  dnnl_status_t status = dnnl_success;
  for (int i = 0; i < MAX_LAYOUTS && status == dnnl_success; i++)
    if (slot->memory[i] != NULL)
      {
        if (data[i] == NULL)
          return sora_kit_team_fail (team, "oneDNN: %s: operand %d is missing", self->impl, i);
        status = dnnl_memory_set_data_handle (slot->memory[i], data[i]);
        exec[n++] = (dnnl_exec_arg_t){ args[i], slot->memory[i] };
      }
  if (slot->scratch != NULL)
    exec[n++] = (dnnl_exec_arg_t){ DNNL_ARG_SCRATCHPAD, slot->scratch };
  if (status == dnnl_success)
    status = dnnl_primitive_execute (self->primitive, slot->stream, n, exec);
  if (status == dnnl_success)
    status = dnnl_stream_wait (slot->stream);
  if (status != dnnl_success)
    return sora_kit_team_fail (team, "oneDNN: %s: %s", self->impl, status_name (status));
  return SORA_OK;
}

/* ---- cache */

typedef struct
{
  SoraKitMatmul key;
  SoraKitPrimitive *primitive;
} Entry;

struct SoraKitCache
{
  Entry *entries;
  size_t n, size;
  struct
  {
    void *data;
    uint64_t bytes;
  } scratch[SORA_KIT_MAX_THREADS];
};

SoraKitCache *
sora_kit_cache_new (void)
{
  return calloc (1, sizeof (SoraKitCache));
}

void
sora_kit_cache_free (SoraKitCache *cache)
{
  if (cache == NULL)
    return;
  for (size_t i = 0; i < cache->n; i++)
    sora_kit_primitive_free (cache->entries[i].primitive);
  for (int i = 0; i < SORA_KIT_MAX_THREADS; i++)
    sora_kit_free (cache->scratch[i].data);
  free (cache->entries);
  free (cache);
}

void *
sora_kit_cache_scratch (SoraKitCache *cache, SoraKitTeam *team, int slot, uint64_t bytes)
{
  if (cache->scratch[slot].bytes < bytes)
    {
      sora_kit_free (cache->scratch[slot].data);
      cache->scratch[slot].data = sora_kit_alloc (bytes, 1);
      cache->scratch[slot].bytes = cache->scratch[slot].data != NULL ? bytes : 0;
    }
  if (cache->scratch[slot].data == NULL)
    sora_kit_team_fail (team, "out of memory for %llu bytes of scratch", (unsigned long long)bytes);
  return cache->scratch[slot].data;
}

/* Takes the primitive.  */
static SoraKitPrimitive *
cache_keep (SoraKitCache *cache, const SoraKitMatmul *key, SoraKitPrimitive *primitive,
            SoraKitTeam *team)
{
  if (cache->n == cache->size)
    {
      size_t wanted = cache->size ? 2 * cache->size : 32;
      Entry *entries = realloc (cache->entries, wanted * sizeof *entries);
      if (entries == NULL)
        {
          sora_kit_team_fail (team, "out of memory for the cache of primitives");
          sora_kit_primitive_free (primitive);
          return NULL;
        }
      cache->entries = entries;
      cache->size = wanted;
    }
  cache->entries[cache->n++] = (Entry){ *key, primitive };
  return primitive;
}

SoraKitPrimitive *
sora_kit_cache_matmul (SoraKitCache *cache, const SoraKitMatmul *matmul, SoraKitTeam *team)
{
  for (size_t i = 0; i < cache->n; i++)
    if (memcmp (&cache->entries[i].key, matmul, sizeof *matmul) == 0)
      return cache->entries[i].primitive;
  const SoraKitLayout *packed = NULL;
  if (matmul->packed_m > 0)
    {
      SoraKitMatmul first = *matmul;
      first.m = matmul->packed_m;
      first.packed_m = first.bias = first.accumulate = first.activation = 0;
      SoraKitPrimitive *model = sora_kit_cache_matmul (cache, &first, team);
      if (model == NULL)
        return NULL;
      packed = sora_kit_primitive_layout (model, SORA_KIT_ROLE_WEIGHTS);
    }
  SoraKitPrimitive *primitive = matmul_new (matmul, packed, team);
  return primitive != NULL ? cache_keep (cache, matmul, primitive, team) : NULL;
}
