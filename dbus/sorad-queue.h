/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The jobs that wait, and whose turn it is.
 *
 * Each user has a line of his own, by priority and then by age.  The next job is of the user who
 * has used the least: the seconds for which his jobs ran, in slices of SORAD_QUEUE_SLICE begun,
 * halved every hour; and who waits is made up for it, a slice for each SORAD_QUEUE_SLICE seconds
 * of whole minutes since he was served.  Among equals it is who was served longest ago.  So a
 * newcomer waits for one job, however deep another's line is, and nobody waits for ever.
 */
#pragma once
#include "sorad-job.h"
#include "sorad-share.h"

G_BEGIN_DECLS

#define SORAD_QUEUE_SLICE 5 /* seconds */

typedef struct SoradQueue SoradQueue;

SoradQueue *sorad_queue_new (void);
void sorad_queue_free (SoradQueue *queue);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoradQueue, sorad_queue_free)

/* Takes a reference.  @since: when it came, to wait; now, or before of one that an earlier daemon
 * had. */
void sorad_queue_add (SoradQueue *queue, SoradJob *job, gint64 since);
/* FALSE: it is not in the queue. */
gboolean sorad_queue_remove (SoradQueue *queue, SoradJob *job);
guint sorad_queue_length (SoradQueue *queue);

/* Whose turn it is, at @now (monotonic, microseconds); it stays.  NULL: nobody waits. */
SoradJob *sorad_queue_next (SoradQueue *queue, gint64 now);
/* A job of this user starts. */
void sorad_queue_served (SoradQueue *queue, guint32 uid, gint64 now);
/* It ran for that long. */
void sorad_queue_charge (SoradQueue *queue, guint32 uid, gint64 microseconds, gint64 now);
/* What a user has used; one who was never heard of has used nothing.  Times are monotonic. */
SoradShare sorad_queue_get_share (SoradQueue *queue, guint32 uid);
/* As a former daemon left it; before a job of the user is added. */
void sorad_queue_set_share (SoradQueue *queue, const SoradShare *share);
/* 1: the next.  A forecast, for jobs of one slice each; 0: not in the queue. */
guint sorad_queue_position (SoradQueue *queue, const SoradJob *job, gint64 now);
void sorad_queue_foreach (SoradQueue *queue, GFunc function, gpointer data);

G_END_DECLS
