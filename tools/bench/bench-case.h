/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What can be measured, by name: a stage at a shape.
 */
#pragma once
#include "bench-model.h"
#include "sora-plan.h"

typedef enum
{
  BENCH_DIT,      /* forwards of the transformer */
  BENCH_VAE,      /* a clip decoded */
  BENCH_TINY_VAE, /* a clip decoded by TAEHV */
  BENCH_TEXT,     /* a prompt encoded */
  BENCH_REQUEST,  /* the embedded model's default request, a row a stage */
} BenchKind;

typedef enum
{
  BENCH_USUAL = 1 << 0, /* measured unless cases are named */
  BENCH_QUICK = 1 << 1, /* and with --quick */
} BenchCaseFlags;

/**
 * BenchCase:
 * @name: how it is asked for
 * @summary: what it is
 * @kind: which stage
 * @shape: frames, height and width of the latents; or tokens of the prompt
 * @flags: of #BenchCaseFlags
 */
typedef struct
{
  const char *name, *summary;
  BenchKind kind;
  gint64 shape[3];
  guint flags;
} BenchCase;

/** bench_cases: all there are; the last one has no name */
extern const BenchCase bench_cases[];

/** bench_case_find: Returns: (nullable): the case of that name */
const BenchCase *bench_case_find (const char *name);

/**
 * BenchSettings:
 * @environment: where plugins and models are
 * @threads: to compute with
 * @repeat: how often each is measured
 * @blocks: of transformer and text encoder that are run; 0: all
 * @precision: of stages that know several; NULL: their default
 * @model: of the named shapes
 */
typedef struct
{
  SoraEnvironment *environment;
  int threads, repeat, blocks;
  const char *precision;
  BenchModel *model;
} BenchSettings;

/**
 * BenchResult:
 * @name: of the case, and of the stage in it
 * @precision: that its stage has; NULL: it knows one
 * @cpu: seconds of processor time of all threads; @wall: on the wall; of the median repetition
 * @flops: operations in them, by formula
 * @fraction: of the FMA peak of as many threads, in processor time: the median of the repetitions'
 * own
 * @lowest, @highest: of the fractions
 * @peak: of the FMA loop between the work, operations a second of processor time of one thread: the
 * repetitions' median
 * @load: seconds of processor time that the first run took longer: weights are packed, code is
 * generated
 * @memory: most that the process had resident
 * @blocks, @all_blocks: that were run, and that there are; the same: nothing is scaled; else
 * seconds and operations are those of all, scaled from the ones that were run, by operations
 */
typedef struct
{
  char *name;
  char *precision;
  double cpu, wall, flops, fraction, lowest, highest, peak, load;
  guint64 memory;
  int blocks, all_blocks;
} BenchResult;

/**
 * bench_case_run:
 * @what: a case
 * @settings: how
 * @results: (element-type BenchResult): its rows are added
 * @error: (out): where to put it
 *
 * Returns: FALSE on failure
 */
gboolean bench_case_run (const BenchCase *what, const BenchSettings *settings, GPtrArray *results,
                         GError **error);

void bench_result_free (BenchResult *result);
