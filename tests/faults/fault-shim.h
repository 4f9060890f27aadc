/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the shim and the test that preloads it share: a mapped file.
 */
#pragma once
#include <stdatomic.h>
#include <stdint.h>

typedef struct
{
  _Atomic uint64_t calls;  /* made so far */
  _Atomic uint64_t lifted; /* set by the test: there is room again, the disk is mended */
} FaultTally;
