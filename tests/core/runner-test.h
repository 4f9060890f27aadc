/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What tests of plan and runner share: an environment with the test stages, jobs made from a
 * pipeline's text, and a record of everything that a runner told.
 */
#pragma once
#include "sora-error.h"
#include "sora-runner.h"
#include <check.h>
#include <glib/gstdio.h>
#include <string.h>

typedef struct
{
  char *dir;         /* temporary: plugins, out, state */
  char *out, *state; /* folders in it */
  SoraEnvironment *environment;
} Fixture;

/* Set up and torn down around each test: Check runs each in a process of its own. */
extern Fixture fixture;
void fixture_setup (void);
void fixture_teardown (void);
/* Makes a plugin of the build tree (tests/fixtures/FOLDER/NAME.so with its manifest) visible in the
 * folder. */
void fixture_add_plugin_from (const char *folder, const char *name);
/* Looks at the folders again. */
void fixture_reload (void);

/* A model in the folder: one component with a config.json and the tensor "numbers", i64 [2,3] of 1 to 6. */
void fixture_make_model (const char *id, const char *component);

/* What a runner told. */
typedef struct
{
  GMutex lock;
  GCond changed;
  GPtrArray *logs;   /* "stage: message" */
  GPtrArray *stages; /* that ended, in order */
  GArray *fractions; /* double */
  guint last_step, last_steps;
  char *create_at_log;       /* a file made from the callback at the next log line */
  SoraRunner *cancel_at_log; /* cancelled from the callback at the next log line */
} Record;

Record *record_new (void);
void record_free (Record *record);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Record, record_free)
gboolean record_has_log (Record *record, const char *line);
/* Waits until @line was logged; fails the test after 20 s. */
void record_wait_log (Record *record, const char *line);

SoraRequest *request_new (const char *pipeline_text);
void request_set (SoraRequest *request, const char *name,
                  const char *value); /* text format of GVariant */
SoraPlan *plan_ok (SoraRequest *request);
/* The error of a plan that must not be made. */
char *plan_error (const char *pipeline_text, const char *name, const char *value, int code);
SoraRunner *runner_new (SoraRequest *request, Record *record);
/* One run with everything that belongs to it; the test fails if it does not. */
SoraRunner *run_ok (const char *pipeline_text, Record *record);
char *run_error (SoraRequest *request, Record *record, int code);
char *read_result (const char *name);
guint count_files (const char *dir);
SoraQueueInfo *find_queue (SoraRunner *runner, const char *from);

#define assert_error_has(message, part)                                                            \
  ck_assert_msg (strstr (message, part) != NULL, "'%s' is not in: %s", part, message)
