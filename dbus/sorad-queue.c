/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fair shares between users, in whole slices: sums that do not depend on microseconds make an order
 * that can be foretold.
 */
#include "config.h"
#include "sorad-queue.h"

#define SLICE_US (SORAD_QUEUE_SLICE * G_USEC_PER_SEC)
#define MINUTE_US (G_GINT64_CONSTANT (60) * G_USEC_PER_SEC)
#define HALF_LIFE_US (60 * MINUTE_US)
#define LONG_AGO (G_MININT64 / 4)
#define SLICES_A_MINUTE (60 / SORAD_QUEUE_SLICE)

typedef struct
{
  SoradShare share;
  GQueue jobs;     /* of SoradJob, referenced */
  gboolean ranked; /* their `rank` is right */
  gint64 came;     /* when the first of them did */
} User;

struct SoradQueue
{
  GHashTable *users; /* uid -> User; kept when the line is empty, for what was used */
  guint length;
  guint64 starts;
};

static void
user_free (gpointer data)
{
  User *user = data;
  g_queue_clear_full (&user->jobs, (GDestroyNotify)sorad_job_unref);
  g_free (user);
}

/* All of new users are halved at the same moments. */
static User *
find_user (SoradQueue *queue, guint32 uid)
{
  User *user = g_hash_table_lookup (queue->users, GUINT_TO_POINTER (uid));
  if (user)
    return user;
  user = g_new0 (User, 1);
  user->share.uid = uid;
  user->share.stopped = LONG_AGO;
  g_queue_init (&user->jobs);
  g_hash_table_insert (queue->users, GUINT_TO_POINTER (uid), user);
  return user;
}

static void
age (User *user, gint64 now)
{
  SoradShare *share = &user->share;
  gint64 halves = MAX (now - share->halved, 0) / HALF_LIFE_US;
  share->used = halves < 64 ? share->used >> halves : 0;
  share->halved += halves * HALF_LIFE_US;
}

/* The least goes first.  Who waits does so since he was served last, or came. */
static gint64
score (User *user, gint64 now)
{
  age (user, now);
  gint64 since = MAX (user->share.stopped, user->came);
  gint64 minutes = MAX (now - since, 0) / MINUTE_US;
  return (gint64)MIN (user->share.used, (guint64)G_MAXINT32) - minutes * SLICES_A_MINUTE;
}

static gboolean
comes_first (const User *a, const User *b)
{
  return a->share.turn != b->share.turn ? a->share.turn < b->share.turn
                                        : a->share.uid < b->share.uid;
}

static gboolean
goes_before (const SoradJob *a, const SoradJob *b)
{
  return a->priority != b->priority ? a->priority > b->priority : a->number < b->number;
}

void
sorad_queue_add (SoradQueue *queue, SoradJob *job, gint64 since)
{
  User *user = find_user (queue, sorad_job_uid (job));
  user->came = g_queue_is_empty (&user->jobs) ? since : MIN (user->came, since);
  GList *after = user->jobs.tail;
  while (after && goes_before (job, after->data))
    after = after->prev;
  g_queue_insert_after (&user->jobs, after, sorad_job_ref (job));
  user->ranked = FALSE;
  queue->length++;
}

gboolean
sorad_queue_remove (SoradQueue *queue, SoradJob *job)
{
  User *user = find_user (queue, sorad_job_uid (job));
  if (!g_queue_remove (&user->jobs, job))
    return FALSE;
  user->ranked = FALSE;
  queue->length--;
  job->rank = 0;
  sorad_job_unref (job);
  return TRUE;
}

guint
sorad_queue_length (SoradQueue *queue)
{
  return queue->length;
}

SoradJob *
sorad_queue_next (SoradQueue *queue, gint64 now)
{
  GHashTableIter iter;
  gpointer value;
  User *next = NULL;
  g_hash_table_iter_init (&iter, queue->users);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      User *user = value;
      if (g_queue_is_empty (&user->jobs))
        continue;
      gint64 less = next ? score (user, now) - score (next, now) : -1;
      if (less < 0 || (less == 0 && comes_first (user, next)))
        next = user;
    }
  return next ? g_queue_peek_head (&next->jobs) : NULL;
}

void
sorad_queue_served (SoradQueue *queue, guint32 uid, gint64 now)
{
  User *user = find_user (queue, uid);
  user->share.turn = ++queue->starts;
  user->share.stopped = now;
}

void
sorad_queue_charge (SoradQueue *queue, guint32 uid, gint64 microseconds, gint64 now)
{
  User *user = find_user (queue, uid);
  age (user, now);
  user->share.used += (guint64)(MAX (microseconds, 1) + SLICE_US - 1) / SLICE_US;
  user->share.stopped = now;
}

SoradShare
sorad_queue_get_share (SoradQueue *queue, guint32 uid)
{
  return find_user (queue, uid)->share;
}

void
sorad_queue_set_share (SoradQueue *queue, const SoradShare *share)
{
  find_user (queue, share->uid)->share = *share;
  queue->starts = MAX (queue->starts, share->turn);
}

static void
rank (User *user)
{
  guint n = 0;
  if (user->ranked)
    return;
  for (GList *l = user->jobs.head; l; l = l->next)
    ((SoradJob *)l->data)->rank = ++n;
  user->ranked = TRUE;
}

/* Before the k-th job of mine go those of another that he starts with no more used than I by then. */
guint
sorad_queue_position (SoradQueue *queue, const SoradJob *job, gint64 now)
{
  User *mine = g_hash_table_lookup (queue->users, GUINT_TO_POINTER (sorad_job_uid (job)));
  if (!mine || job->state != SORAD_JOB_QUEUED || job->paused)
    return 0;
  rank (mine);
  guint position = job->rank;
  gint64 by_then = score (mine, now) + (gint64)job->rank - 1;
  GHashTableIter iter;
  gpointer value;
  g_hash_table_iter_init (&iter, queue->users);
  while (position > 0 && g_hash_table_iter_next (&iter, NULL, &value))
    {
      User *user = value;
      gint64 before = by_then - score (user, now) + (comes_first (user, mine) ? 1 : 0);
      if (user != mine && before > 0)
        position += (guint)MIN ((gint64)user->jobs.length, before);
    }
  return position;
}

void
sorad_queue_foreach (SoradQueue *queue, GFunc function, gpointer data)
{
  GHashTableIter iter;
  gpointer value;
  g_hash_table_iter_init (&iter, queue->users);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    g_queue_foreach (&((User *)value)->jobs, function, data);
}

SoradQueue *
sorad_queue_new (void)
{
  SoradQueue *queue = g_new0 (SoradQueue, 1);
  queue->users = g_hash_table_new_full (NULL, NULL, NULL, user_free);
  return queue;
}

void
sorad_queue_free (SoradQueue *queue)
{
  if (!queue)
    return;
  g_hash_table_unref (queue->users);
  g_free (queue);
}
