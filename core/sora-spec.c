/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The owned form of what a port will carry: dtype, shape, chunk and attributes.
 */
#include "config.h"
#include "sora-tensor.h"

SoraPortSpec *
sora_port_spec_new (SoraDtype dtype, int ndim, const int64_t *shape)
{
  SoraPortSpec *spec = g_new0 (SoraPortSpec, 1);
  spec->dtype = dtype;
  spec->ndim = ndim;
  if (ndim > 0)
    spec->shape = g_memdup2 (shape, (gsize)ndim * sizeof (int64_t));
  spec->attrs
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_variant_unref);
  return spec;
}

void
sora_port_spec_free (SoraPortSpec *spec)
{
  if (spec == NULL)
    return;
  g_hash_table_unref (spec->attrs);
  g_free (spec->shape);
  g_free (spec);
}
