/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Products and reorders by oneDNN: created for one thread, checked for what code they stand for,
 * and run with memory of the caller's thread.  kit-dnnl-cache.c keeps them by shape.
 */
#include "kit-dnnl-private.h"

#include "kit-memory.h"

#include <omp.h>
#include <pthread.h>
#include <stdio.h>

#define MAX_LAYOUTS 4

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
  char impl[64];
  Slot *slots[SORA_KIT_MAX_THREADS];
};

static pthread_once_t engine_once = PTHREAD_ONCE_INIT;
static dnnl_engine_t engine;

/* oneDNN keeps primitives of its own, 1,024 of them by default, at tens of KB each.  Ours are kept
 * in a SoraKitCache; its own is of use where a model's layers, all alike, are packed one after the
 * other.  */
#define OWN_CACHE 64

static void
engine_init (void)
{
  (void)dnnl_set_primitive_cache_capacity (OWN_CACHE);
  if (dnnl_engine_create (&engine, dnnl_cpu, 0) != dnnl_success)
    engine = NULL;
}

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

static int
keep_layout (SoraKitPrimitive *primitive, SoraKitRole role, const_dnnl_primitive_desc_t pd,
             dnnl_query_t what, SoraKitTeam *team)
{
  Md md = dnnl_primitive_desc_query_md (pd, what, 0);
  if (md == NULL)
    return sora_kit_team_fail (team, "oneDNN: %s does not tell the layout of operand %d",
                               primitive->impl, role);
  primitive->layouts[role] = sora_kit_layout_copy (md, team);
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
      self->layouts[SORA_KIT_ROLE_BIAS] = md == NULL ? NULL : sora_kit_layout_copy (md, team);
      if (self->layouts[SORA_KIT_ROLE_BIAS] == NULL)
        result = sora_kit_team_fail (team, "oneDNN: %s does not tell the layout of its bias", what);
    }
  if (result == SORA_OK)
    result = keep_layout (self, SORA_KIT_ROLE_DST, pd, dnnl_query_dst_md, team);
  if (result == SORA_OK)
    {
      Md md = dnnl_primitive_desc_query_md (pd, dnnl_query_scratchpad_md, 0);
      if (md != NULL && dnnl_memory_desc_get_size (md) > 0
          && (self->scratch = sora_kit_layout_copy (md, team)) == NULL)
        result = SORA_FAILED;
    }
  if (result == SORA_OK)
    {
      dnnl_status_t status = dnnl_primitive_create (&self->primitive, pd);
      if (status != dnnl_success)
        result = sora_kit_team_fail (team, "oneDNN: %s: creating '%s': %s", what, impl,
                                     sora_kit_dnnl_status (status));
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
    return sora_kit_team_fail (team, "oneDNN: attributes of a primitive: %s",
                               sora_kit_dnnl_status (status));
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

SoraKitPrimitive *
sora_kit_matmul_new (const SoraKitMatmul *mm, const SoraKitLayout *packed, SoraKitTeam *team)
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
      making.weights = packed != NULL ? sora_kit_layout_copy (LAYOUT_MD (packed), team)
                                      : sora_kit_layout_any (2, b_dims, team);
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
                                sora_kit_dnnl_status (status));
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
                            sora_kit_dnnl_status (status));
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
  sora_kit_team_fail (team, "oneDNN: %s: memory of a thread: %s", self->impl,
                      sora_kit_dnnl_status (status));
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
    return sora_kit_team_fail (team, "oneDNN: %s: %s", self->impl, sora_kit_dnnl_status (status));
  return SORA_OK;
}
