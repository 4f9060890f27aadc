/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What goes to the terminal: errors, warnings, tables, sizes and times.  Colour only on a terminal,
 * and not with NO_COLOR set.
 */
#pragma once
#include <glib.h>
#include <stdio.h>

void soractl_console_error (const char *format, ...) G_GNUC_PRINTF (1, 2);
void soractl_console_warning (const char *format, ...) G_GNUC_PRINTF (1, 2);
/* With --verbose alone: how a stage does its work. */
void soractl_console_note (const char *format, ...) G_GNUC_PRINTF (1, 2);
void soractl_console_set_verbose (gboolean verbose);

gboolean soractl_console_is_terminal (FILE *file);
guint soractl_console_width (void);
/* Escape codes for stdout, or "" where there is no colour. */
const char *soractl_bold (void);
const char *soractl_plain (void);

char *soractl_format_bytes (guint64 bytes);    /* "12.3 MB" */
char *soractl_format_seconds (double seconds); /* "0.42 s", "1 min 05 s" */
char *soractl_format_flops (double flops);     /* "1.25 GFLOP" */
/* A gint64 of seconds since the epoch in local time; "-" for 0. */
char *soractl_format_time (gint64 time);

/* A table: the first row is its head; cells are copied; columns are padded to the widest. */
typedef struct SoractlTable SoractlTable;
SoractlTable *soractl_table_new (guint n_columns, const char *right_aligned /* "01" per column */);
void soractl_table_row (SoractlTable *table, ...); /* n_columns strings; NULL is "-" */
void soractl_table_print (SoractlTable *table, FILE *out);
void soractl_table_free (SoractlTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoractlTable, soractl_table_free)
