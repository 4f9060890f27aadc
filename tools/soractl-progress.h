/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A progress line: a bar on a terminal, plain lines elsewhere (one a stage, and one each tenth).
 */
#pragma once
#include <glib.h>

typedef struct SoractlProgress SoractlProgress;

SoractlProgress *soractl_progress_new (gboolean quiet);
/* @remaining: seconds, negative if not known.  @steps 0: not counted. */
void soractl_progress_update (SoractlProgress *progress, double fraction, const char *stage,
                              guint step, guint steps, double remaining);
/* Takes the bar off the terminal, so that something else can be printed. */
void soractl_progress_clear (SoractlProgress *progress);
void soractl_progress_free (SoractlProgress *progress);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoractlProgress, soractl_progress_free)
