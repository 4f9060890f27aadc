/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What was measured, for people and for programs.
 */
#pragma once
#include "bench-case.h"
#include "bench-peak.h"

/**
 * BenchMachine:
 * @cpu: the processor's name; @cores: that this process may use; @threads: that were used
 * @fma, @block, @int8, @read: the peaks; one without a name: there is none
 */
typedef struct
{
  char *cpu;
  int cores, threads;
  BenchPeak fma, block, int8, read;
} BenchMachine;

void bench_report_list (gboolean json);
void bench_report_table (const BenchMachine *machine, const char *model, const GPtrArray *results);
void bench_report_json (const BenchMachine *machine, const char *model, const GPtrArray *results);
