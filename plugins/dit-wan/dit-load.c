/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The weights of one expert into the instance, piece by piece.
 */
#include "dit-stage.h"

#include "dit-tensors.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

typedef struct
{
  const SoraHost *host;
  const DitConfig *config;
  DitModel *model;
  int64_t step, steps;
  uint64_t size, layout; /* of the packed weights */
} Load;

/* ---- on the compute thread */

static int
begin_model (SoraKitTeam *team, void *data)
{
  Load *load = data;
  int result = dit_model_new (load->config, team, &load->model);
  if (result != SORA_OK)
    return result;
  load->size = dit_model_size (load->model);
  return dit_model_layout (load->model, team, &load->layout);
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

/* What an earlier job packed, or memory for it.  Checked as the files are: the host's key says that they
 * are the ones which were loaded then.  */
static int
open_packed (const SoraHost *host, SoraContext *ctx, Load *load)
{
  SoraKitPacked packed;
  char key[160];
  (void)snprintf (key, sizeof key, "%s, oneDNN %s, layout %016llx",
                  load->config->precision == DIT_FAST ? "fast" : "exact", sora_kit_dnnl_version (),
                  (unsigned long long)load->layout);
  int result = sora_kit_packed_open (&packed, host, ctx, "model", load->config->component, key,
                                     load->size);
  if (result == SORA_OK)
    dit_model_place (load->model, &packed);
  return result;
}

static double
seconds (void)
{
  struct timespec t;
  (void)clock_gettime (CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
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
  const double begun = seconds ();
  const SoraKitLoad pieces = { config->component, what, is_known, load_piece, 1 + config->layers, NULL };
  int result = sora_kit_compute (host, ctx, "the transformer", begin_model, &load);
  if (result == SORA_OK)
    result = open_packed (host, ctx, &load);
  const int mapped = result == SORA_OK && load.model->packed.whole;
  if (result == SORA_OK && !mapped)
    {
      result = sora_kit_load (host, ctx, &pieces, &load);
      if (result == SORA_OK)
        result = sora_kit_packed_seal (&load.model->packed, ctx);
    }
  if (result != SORA_OK)
    {
      dit_model_free (load.model);
      return result;
    }
  instance->model = load.model;
  host->log (ctx, SORA_LOG_INFO,
             mapped ? "the packed weights of the %s, %.2f GB, were mapped in %.2f s"
                    : "the weights of the %s were packed to %.2f GB in %.2f s",
             config->component, (double)load.size / 1e9, seconds () - begun);
  return SORA_OK;
}
