/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A job: what was asked, how it stands, what came of it.  Plain data of the main loop; the bus and
 * the scheduler act on it.
 */
#pragma once
#include <gio/gio.h>

#include "core/sora-error.h"

G_BEGIN_DECLS

typedef enum
{
  SORAD_JOB_QUEUED,
  SORAD_JOB_RUNNING,
  SORAD_JOB_AWAITING_APPROVAL, /* reserved: no job comes into it yet */
  SORAD_JOB_DONE,
  SORAD_JOB_FAILED,
  SORAD_JOB_CANCELLED,
  SORAD_JOB_REVOKED, /* reserved */
} SoradJobState;
#define SORAD_JOB_STATE_BIT(state) (1u << (state))
#define SORAD_JOB_ACTIVE                                                                           \
  (SORAD_JOB_STATE_BIT (SORAD_JOB_QUEUED) | SORAD_JOB_STATE_BIT (SORAD_JOB_RUNNING)                \
   | SORAD_JOB_STATE_BIT (SORAD_JOB_AWAITING_APPROVAL))
#define SORAD_JOB_OVER (~SORAD_JOB_ACTIVE)

#define SORAD_JOB_MAX_WARNINGS 64
#define SORAD_JOB_MAX_NOTES 64
#define SORAD_JOB_MAX_STAGES 256 /* told of in ThirdPartyStages */
#define SORAD_JOB_MAX_PRIORITY 100 /* and as many below 0 */

const char *sorad_job_state_name (SoradJobState state); /* "queued" */
gboolean sorad_job_state_from_name (const char *name, SoradJobState *state);

/* An input file, copied: nobody else can change it. */
typedef struct
{
  char *parameter;
  int fd;     /* nameless; -1 once it is one of the store's */
  char *file; /* its name there; NULL before */
  guint64 size;
  char *sha256;
} SoradInput;
void sorad_input_free (SoradInput *input);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoradInput, sorad_input_free)

/* What a client submits, frozen before anything is checked: nothing of it is looked at again in the
 * message. */
typedef struct
{
  guint32 uid;
  char *pipeline;
  char *name; /* may be NULL */
  char *key;    /* of idempotency; may be NULL */
  char *digest; /* of what the client gave: the same key may not come with another */
  int priority;
  gboolean ephemeral; /* never stored: it ends with its client, or the daemon */
  GVariant *request; /* of sora_request_to_variant(), with the pipeline's text and the seed; without
                        input files */
  GPtrArray *inputs; /* of SoradInput */
  guint64 bytes;     /* of all of it in memory and on disk */
} SoradSubmission;
void sorad_submission_free (SoradSubmission *submission);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoradSubmission, sorad_submission_free)

/* Properties that change, as bits. */
typedef enum
{
  SORAD_JOB_CHANGED_STATE = 1 << 0, /* and all that goes with it: times, error */
  SORAD_JOB_CHANGED_PROGRESS = 1 << 1,
  SORAD_JOB_CHANGED_POSITION = 1 << 2,
  SORAD_JOB_CHANGED_WARNINGS = 1 << 3,
  SORAD_JOB_CHANGED_SANDBOX = 1 << 4,
  SORAD_JOB_CHANGED_NOTES = 1 << 5,
  SORAD_JOB_CHANGED_ORDER = 1 << 6, /* paused, priority, kept */
} SoradJobChange;

typedef struct SoradJob SoradJob;
struct SoradJob
{
  grefcount refs;
  guint64 number; /* on the worker's stream; counts up */
  char *id;       /* on the bus: random, so that it tells nothing of other users' jobs */
  char *path;
  SoradSubmission *submission;
  char *client; /* unique name of whose connection an ephemeral job ends with; else NULL */

  SoradJobState state;
  double progress;
  guint run, step, steps;
  char *stage;
  gint64 submitted, started, expected_end, finished; /* microseconds since the epoch */
  GError *error;
  GPtrArray *warnings;
  GPtrArray *notes; /* how stages do their work, as they told */
  const char *sandbox;
  GVariant *third_party; /* a{ss}: stages that are not sorad's own, and the level of each; or NULL */
  gboolean cancel_requested, pause_requested;
  gboolean pending; /* not durable yet, so nobody knows of it */
  gboolean ending;  /* that it is over, as `next_state`, is being written */
  SoradJobState next_state;
  char *outcome; /* of the last attempt, once that is over */
  gboolean deleted; /* likewise that it is forgotten */
  gboolean paused, kept;
  int priority;
  guint attempts; /* starts */
  guint crashes;  /* workers that died of it */
  guint revision; /* writes of its row */
  guint rank;     /* in its user's line; 0: in none.  The queue's */

  GVariant *files;   /* aa{sv}; set when done */
  GVariant *details; /* a{sv}; likewise */
  guint64 stored_bytes;

  int preview_fd; /* sealed memfd, or -1 */
  guint preview_width, preview_height;
  gboolean preview_wanted;

  GHashTable *subscribers; /* unique names */
  GPtrArray *waiters;      /* of GDBusMethodInvocation: Wait and Cancel */
  GPtrArray *submitters;   /* likewise: Submit, while it is pending */
  GPtrArray *pausers;      /* likewise: Pause, until it has stopped */
  guint changes;           /* SoradJobChange: not told yet */
  guint notify_source;
};

/* Takes @submission.  @id: NULL for a new one. */
SoradJob *sorad_job_new (guint64 number, const char *id, SoradSubmission *submission);
SoradJob *sorad_job_ref (SoradJob *job);
void sorad_job_unref (SoradJob *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoradJob, sorad_job_unref)

#define sorad_job_uid(job) ((job)->submission->uid)
gboolean sorad_job_is_over (const SoradJob *job);

/* One property, or NULL if there is none of that name.  @position: in the queue. */
GVariant *sorad_job_get_property (const SoradJob *job, const char *name, guint position);
GVariant *sorad_job_get_all (const SoradJob *job, guint position);                    /* a{sv} */
GVariant *sorad_job_get_changed (const SoradJob *job, guint changes, guint position); /* a{sv} */
GVariant *sorad_job_get_request (const SoradJob *job); /* a{sv} for GetRequest */

G_END_DECLS
