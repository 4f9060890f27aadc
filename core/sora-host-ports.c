/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Host functions: what flows over the ports, as infer declares it.
 */
#include "config.h"
#include "sora-host-private.h"
#include "sora-plan-private.h"
#include <string.h>

/* Sizes as of 1.0, which no writer may fall short of. */
#define COST_SIZE_1_0 (offsetof (SoraCost, reserved) + sizeof (uint32_t))

static int
find_input (SoraContext *ctx, const char *call, const char *port)
{
  int index = sora_node_find_input (ctx->node, port);
  if (index < 0)
    sora_context_break (ctx, "the plugin called %s() for an input '%s' that it does not declare",
                        call, port);
  return index;
}

static int
find_output (SoraContext *ctx, const char *call, const char *port)
{
  int index = sora_node_find_output (ctx->node, port);
  if (index < 0)
    sora_context_break (ctx, "the plugin called %s() for an output '%s' that it does not declare",
                        call, port);
  return index;
}

int
sora_host_input_spec (SoraContext *ctx, const char *port, SoraSpec *spec)
{
  if (!sora_context_enter (ctx, "input_spec", SORA_PHASE_INFER | SORA_PHASE_RUN, 0))
    return SORA_FAILED;
  int index = find_input (ctx, "input_spec", port);
  if (index < 0)
    return SORA_FAILED;
  const SoraPortSpec *known = sora_node_input_spec (ctx->node, (guint)index);
  if (known == NULL)
    return SORA_NOT_FOUND;
  const SoraSpec full = {
    .struct_size = sizeof (SoraSpec),
    .dtype = known->dtype,
    .shape = known->shape,
    .ndim = known->ndim,
    .chunk = known->chunk,
  };
  if (sora_host_give (spec, &full, SORA_SPEC_SIZE_1_0))
    return SORA_OK;
  return sora_context_break (
      ctx, "input '%s': the SoraSpec has a struct_size of %u, expected at least %zu", port,
      spec->struct_size, SORA_SPEC_SIZE_1_0);
}

int
sora_host_set_output_spec (SoraContext *ctx, const char *port, const SoraSpec *spec)
{
  if (!sora_context_enter (ctx, "set_output_spec", SORA_PHASE_INFER, 0))
    return SORA_FAILED;
  int index = find_output (ctx, "set_output_spec", port);
  if (index < 0)
    return SORA_FAILED;
  SoraNodeOutput *output = g_ptr_array_index (ctx->node->outputs, (guint)index);
  if (spec->struct_size < SORA_SPEC_SIZE_1_0)
    return sora_context_break (
        ctx, "output '%s': the SoraSpec has a struct_size of %u, expected at least %zu", port,
        spec->struct_size, SORA_SPEC_SIZE_1_0);
  if (output->port->dims == NULL)
    return sora_context_break (ctx, "output '%s' is a file and has no spec", port);
  if (spec->ndim < 0 || (spec->ndim > 0 && spec->shape == NULL)
      || sora_dtype_size (spec->dtype) == 0)
    return sora_context_break (ctx, "output '%s': rank %d and dtype %d make no spec", port,
                               spec->ndim, spec->dtype);
  g_clear_pointer (&output->spec, sora_port_spec_free);
  output->spec = sora_port_spec_new (spec->dtype, spec->ndim, spec->shape);
  output->spec->chunk = spec->chunk;
  return SORA_OK;
}

int
sora_host_set_cost (SoraContext *ctx, const SoraCost *cost)
{
  if (!sora_context_enter (ctx, "set_cost", SORA_PHASE_INFER, 0))
    return SORA_FAILED;
  if (cost->struct_size < COST_SIZE_1_0)
    return sora_context_break (ctx, "the SoraCost has a struct_size of %u, expected at least %zu",
                               cost->struct_size, COST_SIZE_1_0);
  if (!(cost->flops >= 0) || cost->flops > 1e30)
    return sora_context_break (ctx, "a cost of %g operations", cost->flops);
  ctx->node->cost = (SoraCost){ 0 };
  memcpy (&ctx->node->cost, cost, MIN (cost->struct_size, sizeof (SoraCost)));
  ctx->node->cost.struct_size = sizeof (SoraCost);
  return SORA_OK;
}

static GVariant *
find_attr (SoraContext *ctx, const char *call, const char *port, const char *name,
           const GVariantType *type, int *result)
{
  *result = SORA_FAILED;
  if (!sora_context_enter (ctx, call, SORA_PHASE_INFER | SORA_PHASE_RUN, 0))
    return NULL;
  int index = find_input (ctx, call, port);
  if (index < 0)
    return NULL;
  *result = SORA_NOT_FOUND;
  const SoraPortSpec *spec = sora_node_input_spec (ctx->node, (guint)index);
  GVariant *value
      = spec != NULL && spec->attrs != NULL ? g_hash_table_lookup (spec->attrs, name) : NULL;
  return value != NULL && g_variant_is_of_type (value, type) ? value : NULL;
}

int
sora_host_input_attr_i64 (SoraContext *ctx, const char *port, const char *name, int64_t *value)
{
  int result;
  GVariant *variant = find_attr (ctx, "input_attr_i64", port, name, G_VARIANT_TYPE_INT64, &result);
  if (variant == NULL)
    return result;
  *value = g_variant_get_int64 (variant);
  return SORA_OK;
}

int
sora_host_input_attr_f64 (SoraContext *ctx, const char *port, const char *name, double *value)
{
  int result;
  GVariant *variant = find_attr (ctx, "input_attr_f64", port, name, G_VARIANT_TYPE_DOUBLE, &result);
  if (variant == NULL)
    return result;
  *value = g_variant_get_double (variant);
  return SORA_OK;
}

int
sora_host_input_attr_string (SoraContext *ctx, const char *port, const char *name,
                             const char **value)
{
  int result;
  GVariant *variant
      = find_attr (ctx, "input_attr_string", port, name, G_VARIANT_TYPE_STRING, &result);
  if (variant == NULL)
    return result;
  *value = g_variant_get_string (variant, NULL);
  return SORA_OK;
}

/* Consumes a floating @value. */
static int
set_attr (SoraContext *ctx, const char *call, const char *port, const char *name,
          GVariant *floating)
{
  g_autoptr (GVariant) value = g_variant_ref_sink (floating);
  if (!sora_context_enter (ctx, call, SORA_PHASE_INFER, 0))
    return SORA_FAILED;
  int index = find_output (ctx, call, port);
  if (index < 0)
    return SORA_FAILED;
  SoraNodeOutput *output = g_ptr_array_index (ctx->node->outputs, (guint)index);
  g_hash_table_insert (output->attrs, g_strdup (name), g_steal_pointer (&value));
  return SORA_OK;
}

int
sora_host_set_output_attr_i64 (SoraContext *ctx, const char *port, const char *name, int64_t value)
{
  return set_attr (ctx, "set_output_attr_i64", port, name, g_variant_new_int64 (value));
}

int
sora_host_set_output_attr_f64 (SoraContext *ctx, const char *port, const char *name, double value)
{
  return set_attr (ctx, "set_output_attr_f64", port, name, g_variant_new_double (value));
}

int
sora_host_set_output_attr_string (SoraContext *ctx, const char *port, const char *name,
                                  const char *value)
{
  if (value == NULL || !g_utf8_validate (value, -1, NULL))
    return sora_context_break (ctx, "attribute '%s' of output '%s' is no UTF-8 text", name, port);
  return set_attr (ctx, "set_output_attr_string", port, name, g_variant_new_string (value));
}
