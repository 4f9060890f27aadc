/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Weighted progress and the expected end.
 */
#include "config.h"
#include "sora-progress.h"

/* What a stage weighs at least, of the whole: an encoder that counts no operations takes time, too.
 */
#define LEAST_WEIGHT 0.005
#define REPORT_INTERVAL (G_USEC_PER_SEC / 20)
/* Below these a rate is noise. */
#define LEAST_FRACTION 0.01
#define LEAST_TIME (G_USEC_PER_SEC / 4)

void
sora_progress_init (SoraProgress *progress, const double *flops, guint n, gint64 now)
{
  double sum = 0, weights = 0;

  *progress = (SoraProgress){ .n = n, .started = now };
  progress->weights = g_new0 (double, MAX (n, 1));
  progress->fractions = g_new0 (double, MAX (n, 1));
  for (guint i = 0; i < n; i++)
    sum += MAX (flops[i], 0);
  for (guint i = 0; i < n; i++)
    {
      progress->weights[i] = sum > 0 ? MAX (flops[i] / sum, LEAST_WEIGHT) : 1;
      weights += progress->weights[i];
    }
  for (guint i = 0; i < n; i++)
    progress->weights[i] /= weights;
}

void
sora_progress_clear (SoraProgress *progress)
{
  g_clear_pointer (&progress->weights, g_free);
  g_clear_pointer (&progress->fractions, g_free);
}

void
sora_progress_set (SoraProgress *progress, guint index, double fraction)
{
  double overall = 0;
  gboolean done = TRUE;

  /* The comparison is false for a NaN, which so never gets in. */
  if (fraction > progress->fractions[index])
    progress->fractions[index] = MIN (fraction, 1);
  for (guint i = 0; i < progress->n; i++)
    {
      overall += progress->weights[i] * progress->fractions[i];
      done &= progress->fractions[i] >= 1;
    }
  /* The weights sum to one but for rounding; the end is the end. */
  progress->overall = done ? 1 : CLAMP (overall, progress->overall, 1);
}

gboolean
sora_progress_take (SoraProgress *progress, gint64 now, gboolean force)
{
  if (!force && now - progress->reported < REPORT_INTERVAL)
    return FALSE;
  progress->reported = now;
  return TRUE;
}

double
sora_progress_remaining (const SoraProgress *progress, gint64 now)
{
  gint64 elapsed = now - progress->started;

  if (progress->overall >= 1)
    return 0;
  if (progress->overall < LEAST_FRACTION || elapsed < LEAST_TIME)
    return -1;
  return (double)elapsed / G_USEC_PER_SEC * (1 - progress->overall) / progress->overall;
}
