/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the fault tests share: submissions that may be made again, and what must be true of jobs
 * and files when all is over.
 */
#pragma once
#include <check.h>

#include "tests/bus/bus-fixture.h"

/* A number of the environment, or @otherwise. */
guint fault_number (const char *name, guint otherwise);
/* Seeded by SORA_FAULT_SEED, or always the same; tells which. */
GRand *fault_random (void);
/* Adds the test for each of @n victims, or for SORA_FAULT_VICTIM alone; _i is the index. */
void fault_add_victims (TCase *tcase, const TTest *test, const char *const *victims, int n);
/* Submits a job that is done with @text, under that text as its key; NULL with @error, if any. */
char *fault_submit (BusFixture *fixture, const char *text, GError **error);
/* ListJobs, with a dict of options as GVariant text: a(oa{sv}). */
GVariant *fault_list_jobs (BusFixture *fixture, const char *options);
/* For bus_look_until(): neither a queued nor a running job is left; @fixture: a BusFixture. */
gboolean fault_all_over (gpointer fixture);
/* Waits until nothing is in the folders that hold what is under way. */
void fault_assert_nothing_left (BusFixture *fixture);
/* Reads the table with SQLite, while no daemon has it. */
void fault_assert_table_whole (BusFixture *fixture);
