/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A safetensors header in short, as targets take it that begin behind the reader of headers: a line a tensor, its
 * name, then its extents: "head.modulation 1 2 1536".
 */
#pragma once
#include "fuzz.h"
#include "sora-safetensors-header.h"

/* As the reader of headers leaves it: names in UTF-8 and different, extents of 0 or more.  To be given back with
 * sora_safetensors_table_clear(). */
void fuzz_table_init (SoraSafetensorsTable *table, const uint8_t *data, size_t size);
