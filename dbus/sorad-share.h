/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a user has used of the machine, as the queue counts it and the store keeps it.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

/* Times in microseconds: the queue's are monotonic, the store's of the wall clock. */
typedef struct
{
  guint32 uid;
  guint64 used;  /* slices of running jobs, as of `halved` */
  gint64 halved; /* when they were halved last */
  gint64 stopped; /* when a job of this user started or stopped last */
  guint64 turn;  /* of that start, in starts of all users */
} SoradShare;

G_END_DECLS
