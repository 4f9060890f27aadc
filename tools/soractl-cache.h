/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What soractl cache and soractl cache pack share.
 */
#pragma once
#include "soractl.h"

/* Packs the weights of @model into @dir by a job of one small frame, which is thrown away. @params:
 * (nullable): "NAME=VALUE" of the pipeline text-to-frames; @share: for everybody to read.  Gives an
 * exit code. */
int soractl_cache_pack (SoractlGlobal *global, const char *model, char **params, gboolean turbo,
                        const char *dir, gboolean share);
