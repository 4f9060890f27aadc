/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Symbolic dimensions: "C,T,H,W" of a port against the shape that flows there.  A number must be
 * met exactly; a symbol is bound by the first port that uses it and must have the same extent on
 * every other port of the stage.
 */
#include "config.h"
#include "sora-plan-private.h"
#include <string.h>

typedef struct
{
  int64_t extent;
  char *where; /* "input 'latents'" */
} Binding;

struct SoraDims
{
  GHashTable *symbols; /* char* -> Binding* */
};

static void
binding_free (gpointer data)
{
  Binding *binding = data;
  g_free (binding->where);
  g_free (binding);
}

SoraDims *
sora_dims_new (void)
{
  SoraDims *dims = g_new0 (SoraDims, 1);
  dims->symbols = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, binding_free);
  return dims;
}

void
sora_dims_free (SoraDims *dims)
{
  g_hash_table_unref (dims->symbols);
  g_free (dims);
}

static gboolean
unify_axis (SoraDims *dims, const SoraPort *port, const char *direction, const SoraPortSpec *spec,
            int axis, const char *symbol, GError **error)
{
  int64_t extent = spec->shape[axis];
  gint64 number;

  if (extent < 0)
    return TRUE;
  if (g_ascii_string_to_signed (symbol, 10, 0, G_MAXINT64, &number, NULL))
    {
      if (extent == number)
        return TRUE;
      g_autofree char *shape = sora_shape_to_string (spec->ndim, spec->shape);
      sora_error_set (error, SORA_ERROR_INVALID_PIPELINE,
                   "%s '%s' has shape %s: axis %d is %" G_GINT64_FORMAT
                   ", expected %" G_GINT64_FORMAT " (%s)",
                   direction, port->name, shape, axis, extent, number, port->dims);
      return FALSE;
    }

  Binding *binding = g_hash_table_lookup (dims->symbols, symbol);
  if (binding == NULL)
    {
      binding = g_new0 (Binding, 1);
      binding->extent = extent;
      binding->where = g_strdup_printf ("%s '%s'", direction, port->name);
      g_hash_table_insert (dims->symbols, g_strdup (symbol), binding);
      return TRUE;
    }
  if (binding->extent == extent)
    return TRUE;
  g_autofree char *shape = sora_shape_to_string (spec->ndim, spec->shape);
  sora_error_set (error, SORA_ERROR_INVALID_PIPELINE,
               "%s '%s' has shape %s: %s is %" G_GINT64_FORMAT ", expected %" G_GINT64_FORMAT
               " as in %s (%s)",
               direction, port->name, shape, symbol, extent, binding->extent, binding->where,
               port->dims);
  return FALSE;
}

gboolean
sora_dims_unify (SoraDims *dims, const SoraPort *port, const char *direction,
                 const SoraPortSpec *spec, GError **error)
{
  g_auto (GStrv) symbols = g_strsplit (port->dims != NULL ? port->dims : "", ",", -1);
  guint n = g_strv_length (symbols);

  if ((guint)spec->ndim != n)
    {
      g_autofree char *shape = sora_shape_to_string (spec->ndim, spec->shape);
      sora_error_set (error, SORA_ERROR_INVALID_PIPELINE,
                   "%s '%s' has shape %s, expected %u axes (%s)", direction, port->name, shape, n,
                   port->dims != NULL ? port->dims : "none");
      return FALSE;
    }
  if ((port->dtypes & SORA_DTYPE_BIT (spec->dtype)) == 0)
    {
      g_autoptr (GString) names = g_string_new (NULL);
      for (int d = SORA_F32; d <= SORA_BOOL; d++)
        if (port->dtypes & SORA_DTYPE_BIT (d))
          g_string_append_printf (names, "%s%s", names->len > 0 ? " or " : "", sora_dtype_name (d));
      sora_error_set (error, SORA_ERROR_INVALID_PIPELINE, "%s '%s' is %s, expected %s",
                   direction, port->name, sora_dtype_name (spec->dtype), names->str);
      return FALSE;
    }
  for (int i = 0; i < spec->ndim; i++)
    if (!unify_axis (dims, port, direction, spec, i, g_strstrip (symbols[i]), error))
      return FALSE;
  return TRUE;
}
