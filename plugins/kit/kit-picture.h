/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-picture: a frame as 8-bit RGB, the same for encoders and previews.
 */
#ifndef SORA_KIT_PICTURE_H
#define SORA_KIT_PICTURE_H

#include "sora-plugin.h"

/* Frame @index of a chunk [T,H,W,3] as u8 [H,W,3]: in place for u8, else converted into @scratch
 * (3 * W * H bytes), x * 255 rounded half to even, clamped to 0..255; a NaN is black. */
const uint8_t *sora_kit_frame_u8 (const SoraTensorView *view, int64_t index, uint8_t *scratch);

#endif
