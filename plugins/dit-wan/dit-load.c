/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The weights of one expert into the instance, piece by piece.
 */
#include "dit-stage.h"

#include "dit-tensors.h"

#include <stdio.h>
#include <string.h>

typedef struct
{
  const SoraHost *host;
  const DitConfig *config;
  DitModel *model;
  int64_t step, steps;
} Load;

/* ---- on the compute thread */

static int
begin_model (SoraKitTeam *team, void *data)
{
  Load *load = data;
  return dit_model_new (load->config, team, &load->model);
}

typedef struct
{
  DitModel *model;
  SoraKitWeights from;
  int64_t index;
} Piece;

static int
load_on_compute (SoraKitTeam *team, void *data)
{
  Piece *piece = data;
  piece->from.team = team;
  return dit_model_load (piece->model, &piece->from, piece->index);
}

/* ---- on the stage's thread */

static int
is_known (const void *data, const char *tensor)
{
  const Load *load = data;
  return dit_tensors_known (load->config, tensor);
}

static int
load_piece (const SoraKitWeights *from, SoraContext *ctx, void *data, int64_t index)
{
  Load *load = data;
  Piece piece = { load->model, *from, index };
  /* No step is made meanwhile; but it is at work.  */
  load->host->progress (ctx, (double)load->step / (double)load->steps, (uint32_t)load->step,
                        (uint32_t)load->steps);
  return sora_kit_compute (load->host, ctx, "the transformer's loading", load_on_compute, &piece);
}

int
dit_load (const SoraHost *host, SoraContext *ctx, DitInstance *instance, const DitConfig *config,
          int64_t step, int64_t steps)
{
  char what[96];
  Load load = { .host = host, .config = config, .step = step, .steps = steps };
  if (instance->model != NULL && strcmp (instance->model->config.component, config->component) == 0)
    return SORA_OK;
  if (instance->model != NULL)
    host->log (ctx, SORA_LOG_INFO, "%s makes room for %s", instance->model->config.component,
               config->component);
  dit_model_free (instance->model);
  instance->model = NULL;
  (void)snprintf (what, sizeof what, "a Wan text-to-video transformer of %lld layers",
                  (long long)config->layers);
  const SoraKitLoad pieces = { config->component, what, is_known, load_piece, 1 + config->layers, NULL };
  int result = sora_kit_compute (host, ctx, "the transformer", begin_model, &load);
  if (result == SORA_OK)
    result = sora_kit_load (host, ctx, &pieces, &load);
  if (result == SORA_OK)
    instance->model = load.model;
  else
    dit_model_free (load.model);
  return result;
}
