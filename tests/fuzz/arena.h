/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Memory for jansson that costs a tenth of AddressSanitizer's own, and is watched as closely: a run of a target is
 * some ten thousand instructions, and most of them were malloc's.  Not for targets in which a text that jansson made is
 * freed by others.
 */
#pragma once
#include "fuzz.h"

/* At the begin of a run. */
void fuzz_arena_begin (void);
/* At its end: what jansson has not given back is a leak, and ends the program. */
void fuzz_arena_end (void);
