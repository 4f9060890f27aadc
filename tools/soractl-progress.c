/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The progress bar on stderr.  Drawn with block characters in a UTF-8 locale, with '#' elsewhere.
 */
#include "config.h"
#include "soractl-progress.h"
#include "soractl-console.h"
#include <string.h>

struct SoractlProgress
{
  GMutex lock; /* a runner's callbacks come from its own threads */
  gboolean quiet, terminal, utf8, drawn;
  char *stage;
  guint tenth;
  gint64 drawn_at;
};

SoractlProgress *
soractl_progress_new (gboolean quiet)
{
  SoractlProgress *progress = g_new0 (SoractlProgress, 1);
  g_mutex_init (&progress->lock);
  progress->quiet = quiet;
  progress->terminal = soractl_console_is_terminal (stderr);
  progress->utf8 = g_get_charset (NULL);
  return progress;
}

static void
clear_line (SoractlProgress *progress)
{
  if (progress->drawn)
    fputs ("\r\033[K", stderr);
  progress->drawn = FALSE;
}

static void
draw_bar (SoractlProgress *progress, double fraction, const char *text)
{
  int room = (int)soractl_console_width () - (int)g_utf8_strlen (text, -1) - 9;
  int cells = CLAMP (room, 0, 40);
  int full = (int)(fraction * cells + 1e-9);
  g_autoptr (GString) line = g_string_new ("\r\033[K");
  for (int i = 0; i < cells; i++)
    g_string_append (line, i < full ? (progress->utf8 ? "█" : "#") : (progress->utf8 ? "░" : "."));
  g_string_append_printf (line, " %3.0f %% %s", fraction * 100, text);
  fputs (line->str, stderr);
  fflush (stderr);
  progress->drawn = TRUE;
}

void
soractl_progress_update (SoractlProgress *progress, double fraction, const char *stage, guint step,
                         guint steps, double remaining)
{
  if (progress->quiet)
    return;
  g_mutex_lock (&progress->lock);
  fraction = CLAMP (fraction, 0, 1);
  gboolean new_stage = g_strcmp0 (stage, progress->stage) != 0;
  if (new_stage)
    {
      g_free (progress->stage);
      progress->stage = g_strdup (stage);
    }
  g_autoptr (GString) text = g_string_new (stage != NULL && *stage != '\0' ? stage : "starting");
  if (steps > 0)
    g_string_append_printf (text, " %u/%u", step, steps);
  if (remaining >= 0)
    {
      /* Hundredths of a second would flicker and promise too much. */
      g_autofree char *left = remaining < 60 ? g_strdup_printf ("%.0f s", remaining)
                                             : soractl_format_seconds (remaining);
      g_string_append_printf (text, ", %s left", left);
    }
  if (progress->terminal)
    {
      gint64 now = g_get_monotonic_time ();
      if (new_stage || fraction >= 1 || now - progress->drawn_at > 50 * 1000)
        {
          draw_bar (progress, fraction, text->str);
          progress->drawn_at = now;
        }
    }
  else
    {
      guint tenth = (guint)(fraction * 10);
      if (new_stage || tenth > progress->tenth)
        {
          fprintf (stderr, "%3.0f %% %s\n", fraction * 100, text->str);
          progress->tenth = tenth;
        }
    }
  g_mutex_unlock (&progress->lock);
}

void
soractl_progress_clear (SoractlProgress *progress)
{
  g_mutex_lock (&progress->lock);
  clear_line (progress);
  g_mutex_unlock (&progress->lock);
}

void
soractl_progress_free (SoractlProgress *progress)
{
  clear_line (progress);
  g_mutex_clear (&progress->lock);
  g_free (progress->stage);
  g_free (progress);
}
