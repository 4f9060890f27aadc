/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Messages and tables on the terminal.
 */
#include "config.h"
#include "soractl-console.h"
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct SoractlTable
{
  guint n_columns;
  char *right;
  GPtrArray *cells; /* char *, row by row */
};

gboolean
soractl_console_is_terminal (FILE *file)
{
  return isatty (fileno (file)) && g_strcmp0 (g_getenv ("TERM"), "dumb") != 0;
}

static gboolean
use_colour (FILE *file)
{
  const char *no_colour = g_getenv ("NO_COLOR");
  return soractl_console_is_terminal (file) && (no_colour == NULL || *no_colour == '\0');
}

guint
soractl_console_width (void)
{
  struct winsize size;
  if (ioctl (STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    return size.ws_col;
  return 80;
}

const char *
soractl_bold (void)
{
  return use_colour (stdout) ? "\033[1m" : "";
}

const char *
soractl_plain (void)
{
  return use_colour (stdout) ? "\033[0m" : "";
}

static void
message (const char *label, const char *colour, const char *format, va_list args)
{
  g_autofree char *text = g_strdup_vprintf (format, args);
  gboolean colourful = use_colour (stderr);
  fflush (stdout);
  fprintf (stderr, "%s: %s%s%s%s\n", g_get_prgname (), colourful ? colour : "", label,
           colourful ? "\033[0m" : "", text);
}

void
soractl_console_error (const char *format, ...)
{
  va_list args;
  va_start (args, format);
  message ("", "\033[31m", format, args);
  va_end (args);
}

void
soractl_console_warning (const char *format, ...)
{
  va_list args;
  va_start (args, format);
  message ("warning: ", "\033[33m", format, args);
  va_end (args);
}

static gboolean is_verbose;

void
soractl_console_set_verbose (gboolean verbose)
{
  is_verbose = verbose;
}

void
soractl_console_note (const char *format, ...)
{
  if (!is_verbose)
    return;
  va_list args;
  va_start (args, format);
  message ("note: ", "\033[36m", format, args);
  va_end (args);
}

char *
soractl_format_bytes (guint64 bytes)
{
  static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
  double value = (double)bytes;
  guint unit = 0;
  while (value >= 1000 && unit + 1 < G_N_ELEMENTS (units))
    {
      value /= 1000;
      unit++;
    }
  return unit == 0 ? g_strdup_printf ("%" G_GUINT64_FORMAT " B", bytes)
                   : g_strdup_printf ("%.1f %s", value, units[unit]);
}

char *
soractl_format_seconds (double seconds)
{
  if (seconds < 0)
    return g_strdup ("?");
  if (seconds < 10)
    return g_strdup_printf ("%.2f s", seconds);
  if (seconds < 60)
    return g_strdup_printf ("%.0f s", seconds);
  guint64 whole = (guint64)(seconds + 0.5);
  if (whole < 3600)
    return g_strdup_printf ("%" G_GUINT64_FORMAT " min %02" G_GUINT64_FORMAT " s", whole / 60,
                            whole % 60);
  return g_strdup_printf ("%" G_GUINT64_FORMAT " h %02" G_GUINT64_FORMAT " min", whole / 3600,
                          whole / 60 % 60);
}

char *
soractl_format_flops (double flops)
{
  if (flops >= 1e12)
    return g_strdup_printf ("%.2f TFLOP", flops / 1e12);
  if (flops >= 1e9)
    return g_strdup_printf ("%.2f GFLOP", flops / 1e9);
  return g_strdup_printf ("%.1f MFLOP", flops / 1e6);
}

char *
soractl_format_time (gint64 time)
{
  if (time <= 0)
    return g_strdup ("-");
  g_autoptr (GDateTime) when = g_date_time_new_from_unix_local (time);
  return when != NULL ? g_date_time_format (when, "%Y-%m-%d %H:%M:%S") : g_strdup ("-");
}

SoractlTable *
soractl_table_new (guint n_columns, const char *right_aligned)
{
  SoractlTable *table = g_new0 (SoractlTable, 1);
  table->n_columns = n_columns;
  table->right = g_strdup (right_aligned != NULL ? right_aligned : "");
  table->cells = g_ptr_array_new_with_free_func (g_free);
  return table;
}

void
soractl_table_row (SoractlTable *table, ...)
{
  va_list args;
  va_start (args, table);
  for (guint i = 0; i < table->n_columns; i++)
    {
      const char *cell = va_arg (args, const char *);
      g_ptr_array_add (table->cells, g_strdup (cell != NULL ? cell : "-"));
    }
  va_end (args);
}

void
soractl_table_print (SoractlTable *table, FILE *out)
{
  guint n = table->n_columns;
  g_autofree glong *width = g_new0 (glong, n);
  for (guint i = 0; i < table->cells->len; i++)
    width[i % n] = MAX (width[i % n], g_utf8_strlen (table->cells->pdata[i], -1));
  for (guint i = 0; i < table->cells->len; i++)
    {
      const char *cell = table->cells->pdata[i];
      guint column = i % n;
      int pad = (int)(width[column] - g_utf8_strlen (cell, -1));
      gboolean right = strlen (table->right) > column && table->right[column] == '1';
      gboolean last = column + 1 == n;
      if (i < n)
        fputs (out == stdout ? soractl_bold () : "", out);
      fprintf (out, "%*s%s%*s%s", right ? pad : 0, "", cell, !right && !last ? pad : 0, "",
               last ? "\n" : "  ");
      if (i < n)
        fputs (out == stdout ? soractl_plain () : "", out);
    }
}

void
soractl_table_free (SoractlTable *table)
{
  g_free (table->right);
  g_ptr_array_unref (table->cells);
  g_free (table);
}
