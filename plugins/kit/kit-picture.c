/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A frame as 8-bit RGB.
 */
#include "kit-picture.h"

#include <math.h>

const uint8_t *
sora_kit_frame_u8 (const SoraTensorView *view, int64_t index, uint8_t *scratch)
{
  const int64_t values = view->shape[1] * view->shape[2] * 3;
  if (view->dtype == SORA_U8)
    return (const uint8_t *)view->data + index * values;
  const float *from = (const float *)view->data + index * values;
  for (int64_t i = 0; i < values; i++)
    {
      const float v = from[i] * 255.0f;
      /* Written so that a NaN becomes black. */
      scratch[i] = v > 0 ? (uint8_t)lrintf (v < 255.0f ? v : 255.0f) : 0;
    }
  return scratch;
}
