/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the tests of third-party plugins share: a service whose plugin folder holds those of
 * tests/plugins/bad, of which only `ends`, before and behind them, is trusted.
 */
#pragma once
#include "bus-fixture.h"

G_BEGIN_DECLS

typedef struct
{
  BusFixture *bus;
  char *plugins; /* a folder that nobody trusts */
  char *outside; /* a folder of the test's, which plugins may not reach; SORA_BAD_FOLDER for them */
  char *settings, *worker;
  GPtrArray *environment; /* of char *, NULL-terminated */
} HostileFixture;

/* @settings: its last section is [Worker]; "@plugins@" stands for the folder.  @names: plugins of tests/plugins/bad beside `ends` and
 * `pass`, NULL-terminated.  @worker: NULL for the real one.  @environment: more of it,
 * NULL-terminated; may be NULL. */
HostileFixture *hostile_fixture_new (const char *const *names, const char *settings,
                                     const char *worker, const char *const *environment);
void hostile_fixture_free (HostileFixture *fixture);
/* kill -9 of the daemon, and the next one over what it left. */
void hostile_fixture_kill_and_start (HostileFixture *fixture);

/* The path of a new job of "neighbour" or "hostile"; @plugin: of the latter's stage "bad". */
char *hostile_submit (HostileFixture *fixture, const char *pipeline, const char *plugin);
GVariant *hostile_arguments (const char *pipeline, const char *plugin);
/* Of a job that must be done: its file. */
char *hostile_bytes (HostileFixture *fixture, const char *job, gsize *size);
/* Waits; a job's words must be those of its end: `failed`, with @error and @part in its error. */
void hostile_assert_failed (HostileFixture *fixture, const char *job, const char *error,
                            const char *part);
/* The daemon's process is the one that was started. */
void hostile_assert_same_daemon (HostileFixture *fixture);
/* Of the job's ThirdPartyStages; NULL: it is none. */
char *hostile_stage_level (HostileFixture *fixture, const char *job, const char *stage);
/* Whether one of its Notes has that part. */
gboolean hostile_has_note (HostileFixture *fixture, const char *job, const char *part);

G_END_DECLS
