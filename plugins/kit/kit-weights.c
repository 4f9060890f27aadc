/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tensors of a model by name, checked.
 */
#include "kit-weights.h"

#include "kit-convert.h"
#include "kit-memory.h"

#include <stdio.h>
#include <string.h>

const char *
sora_kit_shape_string (char *text, size_t size, int ndim, const int64_t *shape)
{
  size_t at = (size_t)snprintf (text, size, "[");
  for (int i = 0; i < ndim && at < size; i++)
    at += shape[i] == -1 ? (size_t)snprintf (text + at, size - at, "%sany", i > 0 ? ", " : "")
                         : (size_t)snprintf (text + at, size - at, "%s%lld", i > 0 ? ", " : "",
                                             (long long)shape[i]);
  if (at < size)
    (void)snprintf (text + at, size - at, "]");
  return text;
}

int
sora_kit_same_shape (const SoraTensorView *view, int ndim, const int64_t *shape)
{
  int same = view->ndim == ndim;
  for (int i = 0; same && i < ndim; i++)
    same = shape[i] == -1 || view->shape[i] == shape[i];
  return same;
}

int
sora_kit_weights_readable (int dtype)
{
  return dtype == SORA_F32 || dtype == SORA_F16 || dtype == SORA_BF16;
}

int
sora_kit_weights_view (const SoraKitWeights *from, const char *name, int ndim, const int64_t *shape,
                       SoraTensorView *view)
{
  memset (view, 0, sizeof *view);
  view->struct_size = sizeof *view;
  int result = from->host->weights_tensor (from->weights, name, view);
  if (result != SORA_OK)
    return sora_kit_team_fail (from->team, "%s: tensor '%s' is missing", from->component, name);
  if (!sora_kit_same_shape (view, ndim, shape))
    {
      char is[96], expected[96];
      return sora_kit_team_fail (
          from->team, "%s: tensor '%s' is %s, expected %s by the configuration", from->component,
          name, sora_kit_shape_string (is, sizeof is, view->ndim, view->shape),
          sora_kit_shape_string (expected, sizeof expected, ndim, shape));
    }
  if (!sora_kit_weights_readable (view->dtype))
    return sora_kit_team_fail (from->team, "%s: tensor '%s' is %s, expected f32, f16 or bf16",
                               from->component, name, sora_kit_dtype_name (view->dtype));
  return SORA_OK;
}

float *
sora_kit_weights_f32 (const SoraKitWeights *from, const char *name, int ndim, const int64_t *shape)
{
  SoraTensorView view;
  if (sora_kit_weights_view (from, name, ndim, shape, &view) != SORA_OK)
    return NULL;
  uint64_t n = view.nbytes / sora_kit_dtype_size (view.dtype);
  float *values = sora_kit_alloc (n, sizeof *values);
  if (values == NULL)
    sora_kit_team_fail (from->team, "%s: out of memory for tensor '%s'", from->component, name);
  else
    (void)sora_kit_to_f32 (view.data, view.dtype, values, (size_t)n);
  sora_kit_weights_done (from, name);
  return values;
}

int
sora_kit_weights_read (const SoraKitWeights *from, const char *name, int ndim, const int64_t *shape,
                       float *to)
{
  SoraTensorView view;
  if (sora_kit_weights_view (from, name, ndim, shape, &view) != SORA_OK)
    return SORA_FAILED;
  (void)sora_kit_to_f32 (view.data, view.dtype, to,
                         (size_t)(view.nbytes / sora_kit_dtype_size (view.dtype)));
  sora_kit_weights_done (from, name);
  return SORA_OK;
}

void
sora_kit_weights_done (const SoraKitWeights *from, const char *name)
{
  from->host->weights_done (from->weights, name);
}
