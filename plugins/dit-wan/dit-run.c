/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The loop: pull the texts, load the weights, and walk from noise to a clip.  After a step the
 * sample and what the sampler remembers are a checkpoint; a run that begins with one gives the same
 * bytes as an undisturbed one.
 */
#include "dit-stage.h"

#include "dit-tensors.h"
#include "kit-memory.h"
#include "kit-norm.h"
#include "kit-rng.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHECKPOINT_MAGIC 0x31544944u /* "DIT1" */

/* Primitives that stay warm, of any shape; one job has about fifty.  */
#define DIT_KEEP_PRIMITIVES 256

typedef struct
{
  uint32_t magic, next; /* the step to be made next */
  uint64_t n;           /* values of the sample, which follows; then the sampler's state */
} CheckpointHead;

typedef struct
{
  const SoraHost *host;
  DitInstance *instance;
  DitJob job;
  SoraTensor *texts[DIT_MAX_TEXTS], *noise; /* what was pulled */
  SoraTensor *sample;                       /* becomes the output */
  float *x;                                 /* its values */
  float *outputs;                           /* of the model: one for each text */
  size_t n;                                 /* values of the sample */
  uint64_t seed;
  DitForward *forward;
  SoraKitSampler *sampler;
  SoraKitRng *rng; /* for fresh noise between steps; else NULL */
  int step;        /* the one to make */
} Loop;

/* ---- on the compute thread */

static int
finish (Loop *loop, SoraContext *ctx, const SoraKitTeam *team, int result)
{
  if (result == SORA_FAILED)
    return loop->host->fail (ctx, "%s",
                             team->error[0] != '\0' ? team->error : "the transformer failed");
  return result;
}

static int
load_weights (SoraContext *ctx, void *data, int threads)
{
  Loop *loop = data;
  SoraWeights *weights;
  SoraKitTeam team;
  sora_kit_team_init (&team, loop->host, ctx, threads);
  int result = loop->host->weights_open (ctx, "model", "transformer", &weights);
  if (result != SORA_OK)
    return result;
  result = dit_tensors_check_extra (loop->host, ctx, &loop->job.config, weights);
  if (result == SORA_OK)
    {
      loop->instance->model = dit_model_load (&loop->job.config, loop->host, weights, &team);
      if (loop->instance->model == NULL)
        result = finish (loop, ctx, &team, team.error[0] != '\0' ? SORA_FAILED : SORA_CANCELLED);
    }
  loop->host->weights_close (weights);
  return result;
}

/* FastVideo draws [T, C, H, W], where diffusers draws [C, T, H, W]: with its rule, both the first
 * noise and what is added later come in that order, out of one generator.  Mixed into the sample by
 * `share`; 1 replaces it. */
static void
draw_by_frames (Loop *loop, float share)
{
  const int64_t *shape = loop->job.geometry.latent;
  const int64_t channels = shape[0], frames = shape[1];
  const size_t plane = (size_t)(shape[2] * shape[3]);
  sora_kit_rng_next (loop->rng, loop->outputs, loop->n);
  for (int64_t t = 0; t < frames; t++)
    for (int64_t c = 0; c < channels; c++)
      {
        const float *noise = loop->outputs + (size_t)(t * channels + c) * plane;
        float *x = loop->x + (size_t)(c * frames + t) * plane;
        if (share < 1)
          sora_kit_sampler_add_noise (share, noise, x, plane);
        else
          memcpy (x, noise, plane * sizeof *x);
      }
}

static int
begin_forward (SoraContext *ctx, void *data, int threads)
{
  Loop *loop = data;
  DitText texts[DIT_MAX_TEXTS];
  SoraKitTeam team;
  sora_kit_team_init (&team, loop->host, ctx, threads);
  /* Sizes and lengths of other jobs are forgotten before they pile up.  */
  sora_kit_cache_trim (loop->instance->model->cache, DIT_KEEP_PRIMITIVES);
  for (int i = 0; i < loop->job.n_texts; i++)
    {
      SoraTensorView view = { .struct_size = sizeof view };
      loop->host->tensor_view (loop->texts[i], &view);
      texts[i] = (DitText){ view.data, view.shape[0], loop->job.padded[i] };
    }
  loop->forward = dit_forward_new (loop->instance->model, &loop->job.geometry, texts,
                                   loop->job.n_texts, &team);
  if (loop->forward == NULL)
    return finish (loop, ctx, &team, team.error[0] != '\0' ? SORA_FAILED : SORA_CANCELLED);
  if (loop->noise != NULL)
    {
      SoraTensorView view = { .struct_size = sizeof view };
      loop->host->tensor_view (loop->noise, &view);
      memcpy (loop->x, view.data, loop->n * sizeof *loop->x);
    }
  else if (loop->rng != NULL)
    draw_by_frames (loop, 1);
  else
    sora_kit_rng_torch_normal (loop->seed, loop->x, loop->n);
  return SORA_OK;
}

static int
make_step (SoraContext *ctx, void *data, int threads)
{
  Loop *loop = data;
  const DitJob *job = &loop->job;
  SoraKitTeam team;
  sora_kit_team_init (&team, loop->host, ctx, threads);
  float timestep = job->is_probe ? (float)job->timestep
                                 : sora_kit_sampler_get_timesteps (loop->sampler)[loop->step];
  int result = dit_forward_run (loop->forward, &team, loop->x, timestep, loop->outputs);
  if (result != SORA_OK)
    return finish (loop, ctx, &team, result);
  if (job->is_probe)
    {
      memcpy (loop->x, loop->outputs, loop->n * sizeof *loop->x);
      return SORA_OK;
    }
  if (job->n_texts > 1)
    sora_kit_guide (loop->outputs, loop->outputs + loop->n, (float)job->guidance, (int64_t)loop->n);
  if (sora_kit_sampler_step (loop->sampler, loop->step, loop->outputs, loop->x, loop->n) != 0)
    return loop->host->fail (ctx, "sampler: out of memory at step %d", loop->step + 1);
  const float share = sora_kit_sampler_noise_share (loop->sampler, loop->step);
  if (share > 0)
    draw_by_frames (loop, share);
  return SORA_OK;
}

/* ---- on the stage's thread */

static double
now (void)
{
  struct timespec t;
  (void)clock_gettime (CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static size_t
checkpoint_size (const Loop *loop)
{
  return sizeof (CheckpointHead) + loop->n * sizeof (float)
         + sora_kit_sampler_state_size (loop->sampler, loop->n);
}

/* The step to begin with: 0 without a checkpoint.  */
static int
resume (Loop *loop, SoraContext *ctx)
{
  const void *data;
  size_t size;
  CheckpointHead head;
  if (loop->job.is_probe || loop->host->checkpoint_load (ctx, &data, &size) != SORA_OK)
    return 0;
  if (size == checkpoint_size (loop))
    memcpy (&head, data, sizeof head);
  if (size != checkpoint_size (loop) || head.magic != CHECKPOINT_MAGIC || head.n != loop->n
      || head.next >= (uint32_t)loop->job.steps
      || sora_kit_sampler_state_load (loop->sampler, (int)head.next,
                                      (const char *)data + sizeof head + loop->n * sizeof (float),
                                      loop->n)
             != 0)
    {
      loop->host->log (ctx, SORA_LOG_WARNING, "the checkpoint is not of this job: beginning anew");
      return 0;
    }
  memcpy (loop->x, (const char *)data + sizeof head, loop->n * sizeof (float));
  loop->host->log (ctx, SORA_LOG_INFO, "going on after step %u of %lld", head.next,
                   (long long)loop->job.steps);
  return (int)head.next;
}

static int
save (Loop *loop, SoraContext *ctx)
{
  size_t size = checkpoint_size (loop);
  char *blob = sora_kit_alloc (size, 1);
  const CheckpointHead head = { CHECKPOINT_MAGIC, (uint32_t)loop->step + 1, loop->n };
  if (blob == NULL)
    return loop->host->fail (ctx, "out of memory for a checkpoint of %zu bytes", size);
  memcpy (blob, &head, sizeof head);
  memcpy (blob + sizeof head, loop->x, loop->n * sizeof (float));
  int result = sora_kit_sampler_state_save (loop->sampler,
                                            blob + sizeof head + loop->n * sizeof (float), loop->n);
  if (result == 0)
    result = loop->host->checkpoint_save (ctx, blob, size);
  else
    result = loop->host->fail (ctx, "sampler: no state to save at step %d", loop->step + 1);
  sora_kit_free (blob);
  return result;
}

static int
walk (Loop *loop, SoraContext *ctx)
{
  const SoraHost *host = loop->host;
  uint32_t steps = (uint32_t)loop->job.steps;
  double interval = 0, saved = now ();
  int keeps = !loop->job.is_probe;
  (void)host->param_f64 (ctx, "checkpoint-interval", &interval);
  loop->step = resume (loop, ctx);
  for (int i = 0; i < loop->step && loop->rng != NULL; i++)
    sora_kit_rng_skip (loop->rng, loop->n);
  host->progress (ctx, (double)loop->step / steps, (uint32_t)loop->step, steps);
  for (; loop->step < (int)steps; loop->step++)
    {
      int result = host->compute (ctx, make_step, loop);
      if (result != SORA_OK)
        return result;
      uint32_t made = (uint32_t)loop->step + 1;
      host->progress (ctx, (double)made / steps, made, steps);
      if (!keeps || made == steps || now () - saved < interval)
        continue;
      result = save (loop, ctx);
      if (result == SORA_UNAVAILABLE)
        keeps = 0;
      else if (result != SORA_OK)
        return result;
      saved = now ();
    }
  return SORA_OK;
}

/* Pulls a tensor of the shape that infer was told.  */
static int
pull_one (Loop *loop, SoraContext *ctx, const char *port, SoraTensor **tensor)
{
  int result = loop->host->pull (ctx, port, tensor);
  if (result == SORA_EOS)
    return loop->host->fail (ctx, "input '%s' ended without a tensor", port);
  return result;
}

static int
pull_inputs (Loop *loop, SoraContext *ctx)
{
  const SoraHost *host = loop->host;
  SoraSpec spec = { .struct_size = sizeof spec };
  SoraTensorView view = { .struct_size = sizeof view };
  for (int i = 0; i < loop->job.n_texts; i++)
    {
      int result = pull_one (loop, ctx, dit_text_ports[i], &loop->texts[i]);
      if (result != SORA_OK)
        return result;
      host->tensor_view (loop->texts[i], &view);
      if (view.dtype != SORA_F32 || view.ndim != 2 || view.shape[1] != loop->job.config.text_dim
          || view.shape[0] < 1 || view.shape[0] > loop->job.padded[i])
        return host->fail (ctx, "input '%s' is not what was announced", dit_text_ports[i]);
      loop->job.text_rows[i] = view.shape[0];
    }
  /* Without guidance a negative prompt may be connected all the same: it is taken, so that nobody
   * waits, and left.  */
  if (loop->job.n_texts == 1 && host->input_spec (ctx, dit_text_ports[1], &spec) == SORA_OK)
    {
      int result = pull_one (loop, ctx, dit_text_ports[1], &loop->texts[1]);
      if (result != SORA_OK)
        return result;
    }
  if (host->seed (ctx, &loop->seed) != SORA_OK)
    return SORA_FAILED;
  if (host->input_spec (ctx, "latents", &spec) != SORA_OK)
    return SORA_OK;
  int result = pull_one (loop, ctx, "latents", &loop->noise);
  if (result != SORA_OK)
    return result;
  host->tensor_view (loop->noise, &view);
  if (view.dtype != SORA_F32 || view.ndim != 4
      || memcmp (view.shape, loop->job.geometry.latent, sizeof loop->job.geometry.latent) != 0)
    return host->fail (ctx, "input 'latents' is not what was announced");
  return SORA_OK;
}

static int
prepare (Loop *loop, SoraContext *ctx)
{
  const SoraHost *host = loop->host;
  const DitJob *job = &loop->job;
  const DitGeometry *g = &job->geometry;
  char error[256];
  if (g->frames > 0 && g->frames != g->frames_made)
    host->log (ctx, SORA_LOG_WARNING, "%lld frames are not 4n+1: %lld are made and trimmed",
               (long long)g->frames, (long long)g->frames_made);
  int result = pull_inputs (loop, ctx);
  if (result != SORA_OK)
    return result;
  SoraCost cost = dit_job_cost (job, 0);
  if (loop->instance->model == NULL)
    {
      result = host->reserve (ctx, SORA_MEMORY_WEIGHTS, cost.packed_bytes);
      if (result != SORA_OK)
        return result;
      result = host->compute (ctx, load_weights, loop);
      if (result != SORA_OK)
        {
          /* Nothing was kept; a later run of this instance asks anew.  */
          (void)host->unreserve (ctx, SORA_MEMORY_WEIGHTS, cost.packed_bytes);
          return result;
        }
    }
  result = host->reserve (ctx, SORA_MEMORY_WORK, cost.work_bytes);
  if (result != SORA_OK)
    return result;
  loop->n = dit_latent_count (g);
  loop->sample = host->tensor_new (ctx, SORA_F32, 4, g->latent);
  if (loop->sample == NULL)
    return SORA_FAILED;
  SoraTensorView view = { .struct_size = sizeof view };
  host->tensor_view (loop->sample, &view);
  loop->x = view.data;
  loop->outputs = sora_kit_alloc ((uint64_t)job->n_texts * loop->n, sizeof *loop->outputs);
  if (loop->outputs == NULL)
    return host->fail (ctx, "out of memory for the latents");
  loop->sampler = sora_kit_sampler_new (&job->sampler, (SoraKitSamplerKind)job->sampler_kind,
                                        job->flow_shift, (int)job->steps, error, sizeof error);
  if (loop->sampler == NULL)
    return host->fail (ctx, "scheduler: %s", error);
  if (sora_kit_sampler_kind_is_few ((SoraKitSamplerKind)job->sampler_kind) && !job->is_probe)
    host->log (ctx, SORA_LOG_INFO, "%s: %lld steps, no guidance",
               sora_kit_sampler_get_name (loop->sampler), (long long)job->steps);
  if (job->sampler_kind == SORA_KIT_SAMPLER_DMD)
    {
      loop->rng = sora_kit_rng_torch_new (loop->seed);
      if (loop->rng == NULL)
        return host->fail (ctx, "out of memory for a random generator");
    }
  return host->compute (ctx, begin_forward, loop);
}

int
dit_run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  Loop loop = { .host = host, .instance = instance };
  int result = dit_job_read (host, ctx, &loop.job);
  if (result == SORA_OK)
    result = prepare (&loop, ctx);
  if (result == SORA_OK)
    result = walk (&loop, ctx);
  dit_forward_free (loop.forward);
  sora_kit_sampler_free (loop.sampler);
  sora_kit_rng_free (loop.rng);
  sora_kit_free (loop.outputs);
  for (int i = 0; i < DIT_MAX_TEXTS; i++)
    if (loop.texts[i] != NULL)
      host->tensor_unref (loop.texts[i]);
  if (loop.noise != NULL)
    host->tensor_unref (loop.noise);
  if (result == SORA_OK)
    return host->push (ctx, "latents", loop.sample);
  if (loop.sample != NULL)
    host->tensor_unref (loop.sample);
  return result;
}
