/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * mini-host: the smallest host that can run one stage of one plugin, for tests of numerics that shall not wait for a
 * daemon, a graph or a registry.  It reads Diffusers folders, holds the inputs, collects the outputs, and fails a test
 * when a stage breaks the ABI's rules on phases, the floating-point environment or reference counts.
 */
#ifndef SORA_MINI_HOST_H
#define SORA_MINI_HOST_H

#include "sora-plugin.h"

typedef struct MiniHost MiniHost;
typedef struct MiniFile MiniFile;

/* The path of a temporary file or folder of that name, or pattern of a name: in TMPDIR, or /tmp. */
void mini_host_tmp (char *path, size_t size, const char *name);

/* -- safetensors: a mapped file.  Views live as long as the file; NULL or SORA_NOT_FOUND if it is not there.
 * A tensor "other.safetensors:name" stands in the other file, in the same folder. */
MiniFile *mini_file_open (const char *path);
void mini_file_close (MiniFile *file);
int mini_file_tensor (MiniFile *file, const char *name, SoraTensorView *view);
size_t mini_file_n_tensors (MiniFile *file);
const char *mini_file_name (MiniFile *file, size_t index);

/* -- Opens a plugin and finds a stage class in it; aborts the test if it is not there or its descriptor is wrong. */
const SoraStageClass *mini_host_load (const char *path, const char *stage);

/* -- A host for one stage class.  model_dir may be NULL, or one
 * safetensors file that holds the component.  threads is what compute() offers. */
MiniHost *mini_host_new (const SoraStageClass *stage, const char *model_dir, int threads);
void mini_host_free (MiniHost *mini); /* destroys the instance too */

/* -- What the stage is given.  Values of undeclared parameters fail the test; data is copied. */
void mini_host_set_i64 (MiniHost *mini, const char *name, int64_t value); /* also BOOL */
void mini_host_set_f64 (MiniHost *mini, const char *name, double value);
void mini_host_set_f64s (MiniHost *mini, const char *name, const double *values, size_t n);
void mini_host_set_string (MiniHost *mini, const char *name, const char *value); /* also ENUM */
void mini_host_set_seed (MiniHost *mini, uint64_t seed);
void mini_host_set_threads (MiniHost *mini, int threads);
/* Adds one tensor to an input; more than one make a stream.  chunk: as SoraSpec's. */
void mini_host_input (MiniHost *mini, const char *port, int dtype, int ndim, const int64_t *shape, const void *data);
void mini_host_input_attr_i64 (MiniHost *mini, const char *port, const char *name, int64_t value);
void mini_host_input_attr_f64 (MiniHost *mini, const char *port, const char *name, double value);
void mini_host_clear_inputs (MiniHost *mini);
/* cancelled() says yes from the n-th time on that it is asked; -1: never. */
void mini_host_cancel_after (MiniHost *mini, int n);
/* Keep checkpoints: the blob is kept from one run to the next.  Without it: SORA_UNAVAILABLE. */
void mini_host_keep_checkpoints (MiniHost *mini);
/* checkpoint_load() fails, with a reason. */
void mini_host_break_checkpoints (MiniHost *mini);
/* The most that stood on the process's heap during the last run, beyond what stood there at its beginning; looked at
 * wherever the stage asks for cancellation, which is before each tile.  0 where malloc does not tell (sanitizers). */
void mini_host_weigh (MiniHost *mini);
uint64_t mini_host_heap_peak (const MiniHost *mini);
/* Bytes on the process's heap now. */
uint64_t mini_host_heap (void);
/* What memory_limit() says; without it UINT64_MAX. */
void mini_host_limit (MiniHost *mini, uint64_t bytes);
/* Somebody looks: preview_wanted() says yes, and the last preview is kept. */
void mini_host_watch (MiniHost *mini);

/* -- The calls.  create is done by the first run; a run clears the outputs. */
int mini_host_infer (MiniHost *mini);
int mini_host_run (MiniHost *mini);
void mini_host_release (MiniHost *mini);

/* -- What came of it. */
const char *mini_host_error (const MiniHost *mini); /* "" if none */
const char *mini_host_warning (const MiniHost *mini); /* the last one; "" if none */
const char *mini_host_note (const MiniHost *mini);    /* the last word of the last run that is no warning */
uint64_t mini_host_scratch (const MiniHost *mini);    /* bytes of scratch files that the last run asked for */
const SoraCost *mini_host_cost (const MiniHost *mini);
const SoraSpec *mini_host_output_spec (const MiniHost *mini, const char *port); /* NULL: not set */
size_t mini_host_n_outputs (const MiniHost *mini, const char *port);
void mini_host_output (const MiniHost *mini, const char *port, size_t index, SoraTensorView *view);
int mini_host_output_attr_i64 (const MiniHost *mini, const char *port, const char *name, int64_t *value);
int mini_host_output_attr_f64 (const MiniHost *mini, const char *port, const char *name, double *value);
int mini_host_live_tensors (const MiniHost *mini); /* beside inputs and outputs: 0 unless the stage leaks (or pushed slices) */
uint64_t mini_host_reserved (const MiniHost *mini, int kind);
uint64_t mini_host_peak (const MiniHost *mini, int kind);
uint32_t mini_host_steps (const MiniHost *mini); /* the last step that progress() told */
int mini_host_n_weights_open (const MiniHost *mini);
int mini_host_n_checkpoints (const MiniHost *mini); /* saved so far */
/* The last preview of all runs, u8 [shape[0], shape[1], 3], and how many there were; NULL if none. */
const uint8_t *mini_host_preview (const MiniHost *mini, int64_t shape[2], int *count);

#endif
