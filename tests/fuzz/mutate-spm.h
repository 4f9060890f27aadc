/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Changes to a sentencepiece model: to its fields as a protocol buffer, to the units of its map of characters.
 */
#pragma once
#include "mutate.h"

void mutation_spm (Mutation *m);
