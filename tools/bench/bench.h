/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The bench as a whole: what sora-bench and `soractl bench` both do.
 */
#pragma once
#include <glib.h>

/**
 * BenchOptions:
 * @cases: (array zero-terminated=1) (nullable): names; NULL: the usual ones
 *
 * What the command line says; see bench_option_entries().
 */
typedef struct
{
  char *model, *precision;
  gint threads, repeat, blocks;
  gboolean quick, list, json, quiet;
  char **cases;
} BenchOptions;

/** bench_option_entries: Returns: (transfer full): entries that fill @options; without --json and
 * --quiet */
GOptionEntry *bench_option_entries (BenchOptions *options);

/** bench_options_clear: frees what the entries filled in, but not @cases */
void bench_options_clear (BenchOptions *options);

/**
 * bench_main:
 * @options: what to do; sora_process_init() was called
 * @usage: (out): set if the options are wrong, and @error says how
 * @error: (out): where to put it
 *
 * Measures, and prints on the standard output.
 *
 * Returns: FALSE on failure
 */
gboolean bench_main (const BenchOptions *options, gboolean *usage, GError **error);
