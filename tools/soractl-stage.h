/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What one stage is given from files, and how its outputs are written to them.
 */
#pragma once
#include "sora-runner.h"
#include <glib.h>

typedef struct
{
  GHashTable *tensors; /* port -> SoraTensor */
  GHashTable *attrs;   /* port -> GHashTable of name -> GVariant */
} SoractlStageInputs;

/* PORT=FILE or PORT=FILE:TENSOR.  Without a tensor's name: that of the port, or the only one. */
gboolean soractl_stage_add_input (SoractlStageInputs *inputs, const char *option, GError **error);
/* PORT.NAME=VALUE; a number is an integer, one with a point a number, all else text. */
gboolean soractl_stage_add_attr (SoractlStageInputs *inputs, const char *option, GError **error);
/* One output, or with @only NULL all of them, to a safetensors file. */
gboolean soractl_stage_write_outputs (SoraRunner *runner, SoraPlan *plan, const char *only,
                                      const char *path, GError **error);
