/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * umt5-config.h: text_encoder/config.json, checked.
 */
#pragma once

#include "kit-config.h"
#include "umt5-encoder.h"

/** sora_umt5_config_read: @file says what @config becomes; an error is kept in @file. */
void sora_umt5_config_read (SoraKitConfig *file, SoraUmt5Config *config);
