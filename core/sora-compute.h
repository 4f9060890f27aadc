/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The compute thread: the one thread of the process on which heavy work runs, so that there is one
 * OpenMP team, and one place where denormals are flushed.  Core offers the thread and knows nothing
 * of what runs there.
 */
#pragma once
#include <glib.h>
#include "sora-plugin.h"

G_BEGIN_DECLS

typedef int (*SoraComputeFunc) (SoraContext *ctx, void *data, int threads);

/* Runs @func on the compute thread and waits for it.  While it is still queued, @stopped
 * (@stopped_data) is asked at each sora_compute_kick() and ends the wait with SORA_CANCELLED; once
 * begun it runs to its end.  @seconds is added to. */
int sora_compute_run (SoraContext *ctx, SoraComputeFunc func, void *data, int threads,
                      gboolean (*stopped) (gpointer data), gpointer stopped_data, double *seconds);
void sora_compute_kick (void);
/* Ends the thread; the next sora_compute_run() starts another. */
void sora_compute_shutdown (void);
/* Cores that this process may use. */
guint sora_compute_cores (void);

G_END_DECLS
