/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The scheduler: a queue a user, one job at a time, and the worker that runs it.
 *
 * The next job is of the user who was served longest ago, so a newcomer waits for one job, however
 * deep another's queue is.  A worker stays warm for the next job of the same user; another user's
 * job gets a new process.
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
  void (*queue_changed) (gpointer data);
} SoradSchedulerCallbacks;

SoradScheduler *sorad_scheduler_new (const SoradConfig *config, SoradStore *store,
                                     const SoradSchedulerCallbacks *callbacks, gpointer data);
void sorad_scheduler_free (SoradScheduler *scheduler);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoradScheduler, sorad_scheduler_free)

void sorad_scheduler_submit (SoradScheduler *scheduler, SoradJob *job);
/* Ends it as cancelled: at once if it waits, within the grace if it runs.  Nothing if it is over.
 */
void sorad_scheduler_cancel (SoradScheduler *scheduler, SoradJob *job);
void sorad_scheduler_want_preview (SoradScheduler *scheduler, SoradJob *job);
guint sorad_scheduler_position (SoradScheduler *scheduler, const SoradJob *job); /* 0: not queued */
guint sorad_scheduler_queue_length (SoradScheduler *scheduler);
guint sorad_scheduler_running (SoradScheduler *scheduler);

G_END_DECLS
