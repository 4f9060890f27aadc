/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The worker process: what its parts share.  One worker serves one user's jobs, one after the
 * other, and stays warm between them.
 *
 * Threads: the main thread receives and never works; one thread at a time carries out what was
 * asked (run, check or describe); one sends previews; one heartbeats.
 */
#pragma once
#include "core/sora-plan.h"
#include "core/sora-remote.h"
#include "core/sora-runner.h"
#include "dbus/sora-channel.h"
#include "dbus/sora-sandbox.h"

G_BEGIN_DECLS

#define SORA_WORKER_MAX_INPUT (256u * 1024 * 1024) /* bytes of all input files of a job */

typedef struct
{
  SoraChannel *channel;
  SoraEnvironment *environment;
  char *tmp_dir;
  char *cache_dir;  /* of what stages gave to the user whose jobs it is for; NULL: the default, or none */
  char *packed_dir; /* root's folder of packed weights; NULL: none that is to be believed */
  SoraSandboxLevel level;
  SoraSandbox *sandbox;
  SoraRemote remote; /* how third-party plugins are run */

  /* Main thread only. */
  GThread *thread;    /* carries out `message` */
  SoraBlob *incoming; /* the input that comes in */
  GByteArray *bytes;  /* of it */
  int checkpoint_fd;  /* where it goes, if it is a checkpoint and was not dropped; else -1 */
  guint64 inputs_job; /* which job the collected inputs are for */
  guint64 inputs_size;
  GHashTable *inputs; /* parameter -> GVariant ay */

  GMutex lock; /* all below */
  GCond changed;
  gboolean busy;
  gboolean ending; /* the stream is over */
  guint64 job;
  SoraRunner *runner;
  gboolean preview_wanted;
  SoraTensor *preview; /* the newest, not sent yet */
  gint cancelled;      /* atomic; of `job` */
  gint preview_stop;   /* atomic */
} SoraWorker;

/* Carried out on the worker's second thread; each sends its own answer. */
void sora_worker_run (SoraWorker *worker, guint64 job, GVariant *payload, GHashTable *inputs);
void sora_worker_check (SoraWorker *worker, guint64 job, GVariant *payload, GHashTable *inputs);
void sora_worker_describe (SoraWorker *worker, guint64 job, GVariant *payload);

/* The process of a third-party stage, from here to its end.  An exit status. */
int sora_worker_serve_stage (const char *plugin, char **plugin_dirs, char **paths, guint64 memory_max,
                             const char *least);

/* FALSE with SORA_ERROR_NO_SPACE: what the plan is foreseen to write does not fit into the room that
 * the options tell.  Without them it is not looked at. */
gboolean sora_worker_check_disk (SoraPlan *plan, GVariant *options, GError **error);

void sora_worker_send_error (SoraWorker *worker, guint64 job, const GError *error);

/* -- Checkpoints.  Where those of a job lie: */
char *sora_worker_state_dir (SoraWorker *worker, guint64 job);
gboolean sora_worker_begin_checkpoint (SoraWorker *worker, const SoraBlob *blob, GError **error);
/* Of the incoming one.  What cannot be written is dropped, which the job is told. */
void sora_worker_write_checkpoint (SoraWorker *worker, gconstpointer data, gsize size);
/* Returns when the daemon has it. */
gboolean sora_worker_send_checkpoint (SoraWorker *worker, guint64 job, const char *name,
                                      GError **error);

/* Before the answer, which may bring the next task at once. */
void sora_worker_end_task (SoraWorker *worker);

/* How it stands against other processes of the machine, as all that it starts will: before any thread,
 * and before sora_worker_confine(), which hands it on to the autogroup of the new session. */
gboolean sora_worker_take_class (int niceness, gboolean idle, GError **error);
/* The kernel's groups of sessions are weighed against each other by a niceness of their own. */
void sora_worker_tell_autogroup (void);

/* -- Grants, before the sandbox is entered.  What jobs of this user need: plugins, pipelines, models,
 * and @readable (may be NULL); to write, the folder of the work. */
void sora_worker_grant_work (SoraSandbox *sandbox, SoraEnvironment *environment, char **plugin_dirs,
                             char **readable, const char *tmp_dir);
/* What is kept for later jobs.  Of one user's service: the cache that soractl has, too.  Of the
 * machine's, which has a folder of digests of its own, @believed_dir: that to be read, and of the
 * one user whose jobs it is for the two others; another user's is not granted, nor is what the
 * daemon believes ever to be written. */
void sora_worker_grant_kept (SoraWorker *worker, SoraSandbox *sandbox, const char *cache_dir,
                             const char *digest_dir, const char *believed_dir);
/* Packed weights that root made for all.  Looked at from outside the sandbox, where root is root. */
void sora_worker_grant_packed (SoraWorker *worker, SoraSandbox *sandbox, const char *dir);

/* The level "basic": before any thread, and before the sandbox, whose monitor has it, too.  FALSE: it
 * could not be done, and the process must not go on. */
gboolean sora_worker_confine (gboolean over_stdio, int first_spare, guint64 memory_max, GError **error);

G_END_DECLS
