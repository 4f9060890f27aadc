/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-stage: what stages with weights do in one way: compute with a team, hold memory for weights,
 * bring a model in piece by piece, read its small files, and take a tensor that has to fit.  An
 * error is told to the host here, so that the same fault has the same words in every stage.
 */
#ifndef SORA_KIT_STAGE_H
#define SORA_KIT_STAGE_H

#include "kit-config.h"
#include "kit-weights.h"

/**
 * SoraKitWork:
 * @team: who works; its error is the reason of a failure
 * @data: the caller's
 *
 * What runs on the compute thread.  Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
typedef int (*SoraKitWork) (SoraKitTeam *team, void *data);

/**
 * sora_kit_compute:
 * @host: the host
 * @ctx: run, on the stage's thread
 * @what: who failed, where no reason was kept: "the transformer"
 * @fn: the work
 * @data: for @fn
 *
 * @fn through host->compute() with a team of its own.  The reason of a failure goes to the host; a
 * @fn that told the host itself is right, too: the first text stays.
 *
 * Returns: what @fn or the host returned
 */
int sora_kit_compute (const SoraHost *host, SoraContext *ctx, const char *what, SoraKitWork fn,
                      void *data);

/**
 * SoraKitHold:
 * @bytes: of %SORA_MEMORY_WEIGHTS that the instance has reserved
 *
 * Stands in the instance; clear it in release, where the host takes the memory back by itself.
 */
typedef struct
{
  uint64_t bytes;
} SoraKitHold;

/** sora_kit_hold: reserves what is missing to @bytes.  Returns: what host->reserve() returned */
int sora_kit_hold (const SoraHost *host, SoraContext *ctx, SoraKitHold *hold, uint64_t bytes);

/** sora_kit_hold_drop: gives all of it back: nothing was kept. */
void sora_kit_hold_drop (const SoraHost *host, SoraContext *ctx, SoraKitHold *hold);

/**
 * SoraKitLoad:
 * @component: "transformer"
 * @what: what the configuration says it is: "a Wan transformer of 30 layers"
 * @known: is a tensor of that name part of it?
 * @piece: brings in piece @i, or does what needs it, on the stage's thread: views come from @from,
 *   and work goes through sora_kit_compute()
 * @pieces: how many
 * @slot: where the model comes from; %NULL: `model`
 */
typedef struct
{
  const char *component, *what;
  int (*known) (const void *data, const char *tensor);
  int (*piece) (const SoraKitWeights *from, SoraContext *ctx, void *data, int64_t i);
  int64_t pieces;
  const char *slot;
} SoraKitLoad;

/**
 * sora_kit_load:
 * @host: the host
 * @ctx: run, on the stage's thread
 * @load: what
 * @data: for its functions
 *
 * Opens the component of the slot, refuses by name a tensor that is not known (the
 * checkpoint is of another kind), does the pieces in order, and closes.  Asks for cancellation
 * before each piece.
 *
 * Returns: %SORA_OK, %SORA_CANCELLED, or %SORA_FAILED, told to the host
 */
int sora_kit_load (const SoraHost *host, SoraContext *ctx, const SoraKitLoad *load, void *data);

/**
 * SoraKitTensorCheck:
 * @host: the host
 * @ctx: infer or run
 * @component: of the slot `model`
 * @bytes: (out): of all tensors as they are stored
 * @missing: how many are not there
 * @list: the first of their names
 *
 * The headers of a model's files against its configuration.  Fill the first three, clear the rest.
 */
typedef struct
{
  const SoraHost *host;
  SoraContext *ctx;
  const char *component;
  uint64_t bytes;
  int missing;
  char list[512];
} SoraKitTensorCheck;

/** sora_kit_check_tensor: it is of this shape, and f32, f16 or bf16; one that is missing is told by
 * sora_kit_check_end().  Returns: %SORA_OK, or %SORA_FAILED, told to the host */
int sora_kit_check_tensor (SoraKitTensorCheck *check, const char *name, int ndim,
                           const int64_t *shape);

/** sora_kit_check_end: Returns: %SORA_OK, or %SORA_FAILED, told to the host, if any was missing */
int sora_kit_check_end (SoraKitTensorCheck *check);

/**
 * sora_kit_config_open:
 * @host: the host
 * @ctx: infer or run
 * @name: a file of the slot `model`: "vae/config.json"
 * @required: nonzero: the model has to have it
 * @file: (out): the file; %NULL if there is none
 *
 * Returns: %SORA_OK, or another result, told to the host
 */
int sora_kit_config_open (const SoraHost *host, SoraContext *ctx, const char *name, int required,
                          SoraKitConfig **file);

/** sora_kit_config_close: @file: (nullable): ends it.  Returns: %SORA_OK, or %SORA_FAILED, told to
 * the host, if it holds an error */
int sora_kit_config_close (const SoraHost *host, SoraContext *ctx, SoraKitConfig *file);

/**
 * sora_kit_pull_one:
 * @host: the host
 * @ctx: run
 * @port: an input
 * @dtype: what it must be
 * @ndim: rank it must have
 * @shape: extents it must have; -1: any
 * @tensor: (out): the tensor; unref it; %NULL on failure
 * @view: (out): of it
 *
 * Returns: %SORA_OK, or another result, told to the host
 */
int sora_kit_pull_one (const SoraHost *host, SoraContext *ctx, const char *port, int dtype,
                       int ndim, const int64_t *shape, SoraTensor **tensor, SoraTensorView *view);

#endif
