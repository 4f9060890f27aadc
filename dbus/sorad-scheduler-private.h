/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the parts of the scheduler share: starting, what the worker says, ending.
 */
#pragma once
#include "sorad-process.h"
#include "sorad-queue.h"
#include "sorad-scheduler.h"

struct SoradScheduler
{
  const SoradConfig *config;
  SoradStore *store;
  SoradSchedulerCallbacks callbacks;
  gpointer data;
  SoradQueue *queue;

  SoradProcess *process; /* warm or working */
  guint32 process_uid;
  SoradJob *job;    /* that runs on it */
  gint64 begun;     /* monotonic: when it did */
  gint64 last_sign; /* of progress; monotonic */
  gboolean stalled; /* it was killed for want of one */
  guint stall_timer, idle_timer, grace_timer, next_source;
  guint64 disk_job; /* number of the job that waits for room on the disk; 0: none does */
  guint shortages; /* how often in a row no worker could be started, for want of descriptors or
                      memory */
};

/* -- sorad-scheduler.c */
void sorad_scheduler_close_process (SoradScheduler *scheduler);
void sorad_scheduler_start_soon (SoradScheduler *scheduler);
void sorad_scheduler_keep_share (SoradScheduler *scheduler, guint32 uid);
void sorad_scheduler_queue_changed (SoradScheduler *scheduler);

/* -- sorad-scheduler-events.c: what the worker says */
const SoradProcessCallbacks *sorad_scheduler_events (void);

/* -- sorad-scheduler-end.c: how jobs end, and attempts */
/* A job that is not running any more, or never did.  When that is durable, it is told. */
void sorad_scheduler_finish (SoradScheduler *scheduler, SoradJob *job, SoradJobState state,
                             const GError *error);
/* The one that runs: over, or if it was to pause, waiting. */
void sorad_scheduler_finish_running (SoradScheduler *scheduler, SoradJobState state,
                                     const GError *error);
/* Its worker died: once more, or it is over. */
void sorad_scheduler_worker_died (SoradScheduler *scheduler, const GError *error);
