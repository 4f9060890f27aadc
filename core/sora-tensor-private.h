/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Private to libsora-core: tensors whose memory is a mapping.
 */
#pragma once
#include "sora-tensor.h"

G_BEGIN_DECLS

/* Takes a read-only mapping of @nbytes bytes, which the shape has; to write on it, it is copied. */
SoraTensor *sora_tensor_new_mapped (SoraDtype dtype, int ndim, const int64_t *shape, void *data,
                                    guint64 nbytes);

G_END_DECLS
