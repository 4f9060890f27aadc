/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Overall progress: the fractions of the stages weighted by the operations that they inferred.
 * Never goes back. Under the runner's lock; pure arithmetic.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

typedef struct
{
  guint n;
  double *weights;   /* sum to 1 */
  double *fractions; /* a stage each, 0..1 */
  double overall;    /* the highest that was reached */
  gint64 started;    /* µs; when the first stage began */
  gint64 reported;   /* µs; when take() last gave something */
} SoraProgress;

void sora_progress_init (SoraProgress *progress, const double *flops, guint n, gint64 now);
void sora_progress_clear (SoraProgress *progress);
/* Raises stage @index to @fraction. */
void sora_progress_set (SoraProgress *progress, guint index, double fraction);
/* TRUE if it is time to report: @force, or 50 ms after the last. */
gboolean sora_progress_take (SoraProgress *progress, gint64 now, gboolean force);
/* Seconds expected to remain by the rate so far; negative: too early to tell. */
double sora_progress_remaining (const SoraProgress *progress, gint64 now);

G_END_DECLS
