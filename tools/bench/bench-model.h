/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Where stages take their weights: from a model's folder, or made up in memory, of the shapes of
 * the published Wan 2.1 1.3B and with random values.  Nothing is written to disk.
 */
#pragma once
#include <glib.h>
#include "bench-flops.h"
#include "sora-plugin.h"

typedef struct BenchModel BenchModel;

/**
 * bench_model_new_made:
 * @blocks: of the transformer and the text encoder: so many, and no more; 0: all
 *
 * Large bf16 tensors are windows on one stretch of memory, larger than the caches, that holds
 * random numbers: so that 11 GB of weights can be read as from a file in the page cache, and take a
 * fraction of that.  All others are filled when they are asked for.
 *
 * Returns: (transfer full): Wan 2.1 1.3B with the VAE and taew2_1's decoder
 */
BenchModel *bench_model_new_made (int blocks);

/**
 * bench_model_new_folder:
 * @path: a model's folder, or the name of an installed model
 * @blocks: as above; the others are not shown to the stages
 * @error: (out): where to put it
 *
 * Returns: (transfer full): the model; NULL on failure
 */
BenchModel *bench_model_new_folder (const char *path, int blocks, GError **error);
void bench_model_free (BenchModel *model);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BenchModel, bench_model_free)

/** bench_model_is_made: Returns: whether its weights are made up */
gboolean bench_model_is_made (const BenchModel *model);
/** bench_model_name: Returns: "random weights", or the folder's name */
const char *bench_model_name (const BenchModel *model);
/** bench_model_blocks: Returns: blocks that @component has in full; 0 if that is not known */
int bench_model_blocks (BenchModel *model, const char *component);

/** bench_model_file: Returns: (transfer full) (nullable): a small file of it */
GBytes *bench_model_file (BenchModel *model, const char *name);

/** bench_model_number: Returns: the whole number @key of the JSON file @name, or of its array's
 * item @index (-1: it is no array); @otherwise if there is none */
gint64 bench_model_number (BenchModel *model, const char *name, const char *key, int index,
                           gint64 otherwise);

/** bench_model_info: Returns: FALSE if there is no such tensor; @view without data */
gboolean bench_model_info (BenchModel *model, const char *component, const char *tensor,
                           SoraTensorView *view);

typedef struct BenchWeights BenchWeights;

/** bench_weights_open: Returns: (transfer full): the weights of @component; NULL on failure */
BenchWeights *bench_weights_open (BenchModel *model, const char *component, GError **error);
void bench_weights_close (BenchWeights *weights);
/** bench_weights_get: Returns: FALSE if there is no such tensor, or no memory; @view is good until
 * it is done */
gboolean bench_weights_get (BenchWeights *weights, const char *tensor, SoraTensorView *view);
/** bench_weights_name: Returns: the index-th name; NULL past the end */
const char *bench_weights_name (BenchWeights *weights, gsize index);
/** bench_weights_done: its memory goes; a later get brings the same values again */
void bench_weights_done (BenchWeights *weights, const char *tensor);
