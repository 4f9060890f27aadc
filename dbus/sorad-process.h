/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One sora-worker process as the daemon sees it.  Two threads do all blocking input and output,
 * files of results included; the main loop gets events, a bounded number at a time.
 */
#pragma once
#include "dbus/sora-channel.h"
#include "sorad-config.h"
#include "sorad-store.h"

G_BEGIN_DECLS

typedef struct SoradProcess SoradProcess;

/* Called in the main loop; none after sorad_process_close(). */
typedef struct
{
  /* HELLO, PROGRESS, LOG, STAGE_DONE, ERROR, CHECKED or DESCRIPTION; an ERROR also for a job whose
   * inputs could not be sent, and which the worker never heard of. */
  void (*message) (gpointer data, SoraMessage *message);
  /* A sealed memfd, yours. */
  void (*preview) (gpointer data, guint64 job, int memfd, guint width, guint height);
  /* The job is done and its files are published.  @details: a{sv}, the documented keys of the
   * RESULT; @files: aa{sv} */
  void (*result) (gpointer data, guint64 job, GVariant *details, GVariant *files, guint64 bytes);
  /* It is gone, by @error; once, and nothing comes after it. */
  void (*died) (gpointer data, const GError *error);
} SoradProcessCallbacks;

/* SORA_ERROR_BUSY: descriptors, memory or processes are short at the moment; anything else will not
 * go away by itself.  @for_jobs: as nice or idle as the settings want.
 * @user_dir: of what is kept for the one user whose jobs it is for; NULL: nothing is, or in the
 * user's own folders (a session's). */
SoradProcess *sorad_process_spawn (const SoradConfig *config, SoradStore *store, gboolean for_jobs,
                                   const char *user_dir,
                                   const SoradProcessCallbacks *callbacks, gpointer data,
                                   GError **error);
/* No callback any more; the stream ends, and if the process does not within two seconds, it is
 * killed.  Frees. */
void sorad_process_close (SoradProcess *process);

/* Before its inputs and RUN: where the files of that job go, and how much they may take. */
void sorad_process_expect_result (SoradProcess *process, guint64 job, const char *id,
                                  guint64 max_bytes);
/* Those that the store has of that job; before RUN. */
void sorad_process_send_checkpoints (SoradProcess *process, guint64 job, const char *id);
void sorad_process_send (SoradProcess *process, SoraMessageType type, guint64 job,
                         GVariant *payload);
void sorad_process_send_inputs (SoradProcess *process, guint64 job,
                                GPtrArray *inputs); /* of SoradInput */
/* Also stops inputs that are still being sent. */
void sorad_process_send_cancel (SoradProcess *process, guint64 job);
/* FALSE: models are elsewhere than when it was started, and it cannot see where; a new one can. */
gboolean sorad_process_is_current (SoradProcess *process);
/* How the process is confined, as it told in its HELLO: a level's name, or "none" until then. */
const char *sorad_process_sandbox (SoradProcess *process);
/* SIGKILL; died() follows with SORA_ERROR_WORKER_DIED and @reason. */
void sorad_process_kill (SoradProcess *process, const char *reason);
/* At the end of the daemon: waits until every process that was closed is gone. */
void sorad_process_wait_all (void);

G_END_DECLS
