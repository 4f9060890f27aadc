/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One stage alone, run over and over by a host that measures: its own plugin's code, through the
 * plugin ABI, on one thread with what that needs.  Peaks are measured between the pieces of the
 * stage's work, and not counted as its time.
 */
#pragma once
#include "bench-model.h"
#include "sora-tensor.h"

typedef struct BenchStage BenchStage;

/**
 * BenchPart:
 * @cpu: seconds of processor time, of all threads, the peaks' own left out
 * @wall: seconds on the wall, likewise
 * @peak: multiply-adds a second of processor time of one thread, by the peak's loop, times two: the
 * mean of those measured before, in and after
 *
 * A part of a run: what lies between two steps that the stage tells.
 */
typedef struct
{
  double cpu, wall, peak;
} BenchPart;

/**
 * bench_stage_new:
 * @klass: a stage class
 * @model: what weights it takes; it has to outlive the stage
 * @threads: to compute with
 *
 * Returns: (transfer full): the stage
 */
BenchStage *bench_stage_new (const SoraStageClass *klass, BenchModel *model, int threads);
void bench_stage_free (BenchStage *stage);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BenchStage, bench_stage_free)

/** bench_stage_has_param: Returns: whether it declares a parameter of that name */
gboolean bench_stage_has_param (const BenchStage *stage, const char *name);
/** bench_stage_set: sets a parameter by its text. Returns: FALSE (SORA_ERROR_INVALID_REQUEST) on a
 * bad value */
gboolean bench_stage_set (BenchStage *stage, const char *name, const char *text, GError **error);
/** bench_stage_get: Returns: (transfer full): the value of a text parameter, set or by default */
char *bench_stage_get (const BenchStage *stage, const char *name);
/** bench_stage_get_i64: Returns: the value of a whole number's parameter, set or by default; 0 if
 * there is none */
gint64 bench_stage_get_i64 (const BenchStage *stage, const char *name);
/** bench_stage_input: what an input port will give; @tensor (transfer full); replaces what it was
 */
void bench_stage_input (BenchStage *stage, const char *port, SoraTensor *tensor);
/** bench_stage_input_attr: an attribute of an input */
void bench_stage_input_attr (BenchStage *stage, const char *port, const char *name, gint64 value);

/**
 * bench_stage_infer:
 * @stage: a stage
 * @cost: (out) (optional): what it says
 * @error: (out): where to put it
 *
 * Returns: FALSE if it refuses
 */
gboolean bench_stage_infer (BenchStage *stage, SoraCost *cost, GError **error);

/**
 * bench_stage_run:
 * @stage: a stage, inferred
 * @parts: (out) (transfer full): BenchPart: what lies before the first step that is told, between
 * two, and after the last
 * @error: (out): where to put it
 *
 * Creates the instance the first time, and keeps it, warm.
 *
 * Returns: FALSE on failure
 */
gboolean bench_stage_run (BenchStage *stage, GArray **parts, GError **error);

/** bench_stage_output: Returns: (transfer none) (nullable): the last tensor that was pushed to
 * @port in the last run */
SoraTensor *bench_stage_output (BenchStage *stage, const char *port);

/** bench_stage_pass: gives the last tensor of an output, with its attributes, to an input. Returns:
 * FALSE if there is none */
gboolean bench_stage_pass (BenchStage *from, const char *output, BenchStage *to, const char *input);

/** bench_tensor_new: Returns: (transfer full): f32 normal deviates from @seed */
SoraTensor *bench_tensor_new (int ndim, const gint64 *shape, guint64 seed);
