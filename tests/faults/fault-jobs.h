/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the fault tests share: submissions that may be made again, and what must be true of jobs,
 * files and processes when all is over.
 */
#pragma once
#include "tests/bus/bus-fixture.h"

/* Submits a job that is done with @text, under that text as its key; NULL with @error, if any. */
char *fault_submit (BusFixture *fixture, const char *text, GError **error);
/* ListJobs, with a dict of options as GVariant text: a(oa{sv}). */
GVariant *fault_list_jobs (BusFixture *fixture, const char *options);
/* For bus_look_until(): neither a queued nor a running job is left; @fixture: a BusFixture. */
gboolean fault_all_over (gpointer fixture);
/* Waits until nothing is in the folders that hold what is under way. */
void fault_assert_nothing_left (BusFixture *fixture);
/* Every process that was started for @fixture has its daemon above it. */
void fault_assert_no_orphans (BusFixture *fixture);
/* Reads the table with SQLite, while no daemon has it. */
void fault_assert_table_whole (BusFixture *fixture);
