/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * umt5-config.h: text_encoder/config.json, checked.
 */
#pragma once

#include "umt5-encoder.h"

/**
 * sora_umt5_config_read:
 * @data: the file's bytes
 * @size: how many
 * @config: (out): what it says
 * @why: (out): what is wrong, if something is: which key, its value, what was expected
 * @why_size: room there
 *
 * Returns: 0, or -1 with @why
 */
int sora_umt5_config_read (const void *data, size_t size, SoraUmt5Config *config, char *why,
                           size_t why_size);
