/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The two halves of soractl bench.
 */
#pragma once
#include "soractl.h"

/* Times the stages of a request; argv without --request. */
int soractl_bench_request (SoractlGlobal *global, int argc, char **argv);
