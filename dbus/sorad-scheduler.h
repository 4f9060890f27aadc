/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The scheduler: one job at a time, in the order of the queue (sorad-queue.h), and the worker that
 * runs it.
 *
 * A worker stays warm for the next job of the same user; another user's job gets a new process.  A
 * job whose worker died is queued again, and fails when it has killed as many as may be.
 */
#pragma once
#include "sorad-config.h"
#include "sorad-store.h"

G_BEGIN_DECLS

typedef struct SoradScheduler SoradScheduler;

typedef struct
{
  void (*job_changed) (gpointer data, SoradJob *job, guint changes); /* SoradJobChange */
  void (*job_over) (gpointer data,
                    SoradJob *job); /* after the change; the job may be removed here */
  /* It has stopped and waits, or is over: whoever called Pause may be answered.  @error: or it could
   * not be made durable. */
  void (*job_paused) (gpointer data, SoradJob *job, const GError *error);
  void (*queue_changed) (gpointer data);
} SoradSchedulerCallbacks;

SoradScheduler *sorad_scheduler_new (const SoradConfig *config, SoradStore *store,
                                     const SoradSchedulerCallbacks *callbacks, gpointer data);
void sorad_scheduler_free (SoradScheduler *scheduler);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoradScheduler, sorad_scheduler_free)

/* A job that is in the store, durably; it waits unless it is paused. */
void sorad_scheduler_submit (SoradScheduler *scheduler, SoradJob *job);
/* The same of one that a former daemon had: it has waited since it was submitted. */
void sorad_scheduler_take_up (SoradScheduler *scheduler, SoradJob *job);
/* Ends it as cancelled: at once if it waits, within the grace if it runs.  Nothing if it is over.
 */
void sorad_scheduler_cancel (SoradScheduler *scheduler, SoradJob *job);
/* Of a job that is not over and not being cancelled.  When it is so, and durable, comes job_paused(). */
void sorad_scheduler_pause (SoradScheduler *scheduler, SoradJob *job);
/* Likewise; @stored: when it is durable. */
void sorad_scheduler_resume (SoradScheduler *scheduler, SoradJob *job, SoradStored stored,
                             gpointer data);
void sorad_scheduler_set_priority (SoradScheduler *scheduler, SoradJob *job, int priority,
                                   SoradStored stored, gpointer data);
void sorad_scheduler_want_preview (SoradScheduler *scheduler, SoradJob *job);
guint sorad_scheduler_position (SoradScheduler *scheduler, const SoradJob *job); /* 0: not queued */
guint sorad_scheduler_queue_length (SoradScheduler *scheduler);
guint sorad_scheduler_running (SoradScheduler *scheduler);

G_END_DECLS
