/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The processes that a fixture's daemons have started, known by the mark in their environment,
 * which whatever they start inherits.
 */
#pragma once
#include "tests/bus/bus-fixture.h"

/* Those whose mark begins with @mark, but for the daemon that runs now: an array of int.  One that
 * has ended and was not waited for is none. */
GArray *fault_find_processes (const BusFixture *fixture, const char *mark);
/* Waits until a process is there that the daemon has started, and ends one of them, any, by
 * SIGKILL. */
void fault_kill_worker (BusFixture *fixture, GRand *random);
/* Every process that was started for @fixture has its daemon above it, or ends soon. */
void fault_assert_no_orphans (BusFixture *fixture);
/* Every process of an earlier daemon of that mark has ended, or ends soon. */
void fault_assert_ended (BusFixture *fixture, const char *mark);
