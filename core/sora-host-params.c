/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Host functions: parameters.  Values are checked GVariants of the plan, which outlives every call.
 */
#include "config.h"
#include "sora-host-private.h"
#include "sora-plan-private.h"

/* The value of @name if it is declared with one of @types (bits of SoraParamType); *result else. */
static GVariant *
lookup (SoraContext *ctx, const char *call, const char *name, guint types, int *result)
{
  *result = SORA_FAILED;
  if (!sora_context_enter (ctx, call, SORA_PHASES_ALL, 0))
    return NULL;
  const SoraParam *param = sora_node_find_param (ctx->node, name);
  if (param != NULL && ctx->phase == SORA_PHASE_CREATE && (param->flags & SORA_PARAM_LOAD) == 0)
    {
      sora_context_break (
          ctx, "the plugin read parameter '%s' in create, where only load-time ones are known",
          name);
      return NULL;
    }
  *result = SORA_NOT_FOUND;
  if (param == NULL || (types & (1u << param->type)) == 0)
    return NULL;
  return g_hash_table_lookup (ctx->node->params, name);
}

int
sora_host_param_is_set (SoraContext *ctx, const char *name)
{
  if (!sora_context_enter (ctx, "param_is_set", SORA_PHASES_ALL, 0))
    return 0;
  return g_hash_table_contains (ctx->node->params_set, name);
}

int
sora_host_param_bool (SoraContext *ctx, const char *name, int *value)
{
  int result;
  GVariant *variant = lookup (ctx, "param_bool", name, 1u << SORA_PARAM_BOOL, &result);
  if (variant == NULL)
    return result;
  *value = g_variant_get_boolean (variant);
  return SORA_OK;
}

int
sora_host_param_i64 (SoraContext *ctx, const char *name, int64_t *value)
{
  int result;
  GVariant *variant = lookup (ctx, "param_i64", name, 1u << SORA_PARAM_I64, &result);
  if (variant == NULL)
    return result;
  *value = g_variant_get_int64 (variant);
  return SORA_OK;
}

int
sora_host_param_f64 (SoraContext *ctx, const char *name, double *value)
{
  int result;
  GVariant *variant = lookup (ctx, "param_f64", name, 1u << SORA_PARAM_F64, &result);
  if (variant == NULL)
    return result;
  *value = g_variant_get_double (variant);
  return SORA_OK;
}

int
sora_host_param_string (SoraContext *ctx, const char *name, const char **value)
{
  int result;
  GVariant *variant = lookup (ctx, "param_string", name,
                              1u << SORA_PARAM_STRING | 1u << SORA_PARAM_ENUM, &result);
  if (variant == NULL)
    return result;
  *value = g_variant_get_string (variant, NULL);
  return SORA_OK;
}

int
sora_host_param_strings (SoraContext *ctx, const char *name, const char *const **values, size_t *n)
{
  int result;
  gsize length;
  GVariant *variant = lookup (ctx, "param_strings", name, 1u << SORA_PARAM_STRING_LIST, &result);
  if (variant == NULL)
    return result;
  *values = (const char *const *)sora_context_keep (ctx, g_variant_get_strv (variant, &length));
  *n = length;
  return SORA_OK;
}

int
sora_host_param_f64s (SoraContext *ctx, const char *name, const double **values, size_t *n)
{
  int result;
  gsize length;
  GVariant *variant = lookup (ctx, "param_f64s", name, 1u << SORA_PARAM_F64_LIST, &result);
  if (variant == NULL)
    return result;
  *values = g_variant_get_fixed_array (variant, &length, sizeof (double));
  *n = length;
  return SORA_OK;
}

int
sora_host_param_file (SoraContext *ctx, const char *name, const void **data, size_t *size)
{
  int result;
  gsize length;
  GVariant *variant = lookup (ctx, "param_file", name, 1u << SORA_PARAM_FILE, &result);
  if (variant == NULL)
    return result;
  *data = g_variant_get_fixed_array (variant, &length, 1);
  *size = length;
  return SORA_OK;
}
