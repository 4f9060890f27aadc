/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the cases share: making a stage, running it, and making a row of its parts.
 */
#pragma once
#include "bench-case.h"
#include "bench-stage.h"

/* A stage of @plugin with the settings' threads and precision; @precision: (out): what it has. */
BenchStage *bench_case_stage (const BenchSettings *settings, const char *plugin, BenchModel *model,
                              char **precision, GError **error);
/* Adds a part to those of a run, peaks weighted by time. */
void bench_part_add (BenchPart *sum, const BenchPart *part);
/* All parts of one run. */
gboolean bench_case_run_whole (BenchStage *stage, BenchPart *whole, GError **error);
/* @parts: a part a repetition; @flops: of what was run, and @all_flops of the whole. */
BenchResult *bench_case_result (const char *name, GArray *parts, double flops, double all_flops);

void bench_memory_begin (void);
guint64 bench_memory_end (void);

BenchDit bench_case_dit (BenchModel *model, gboolean all);
BenchVae bench_case_vae (BenchModel *model);
BenchText bench_case_text (BenchModel *model, gboolean all);

gboolean bench_case_request (const BenchCase *what, const BenchSettings *settings,
                             GPtrArray *results, GError **error);
