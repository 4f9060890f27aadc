/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The loop: pull the texts, and walk from noise to a clip, with the weights of the expert whose
 * step it is.  dit-save.c keeps it between steps.
 */
#include "dit-loop.h"

#include "kit-memory.h"
#include "kit-norm.h"
#include "kit-rng.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Primitives that stay warm, of any shape; one job has about fifty.  */
#define KEEP_PRIMITIVES 256

/* ---- on the compute thread */

/* FastVideo draws [T, C, H, W], where diffusers draws [C, T, H, W]: with its rule, both the first
 * noise and what is added later come in that order, out of one generator.  Mixed into the sample by
 * `share`; 1 replaces it. */
static void
draw_by_frames (DitLoop *loop, float share)
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
begin_forward (SoraKitTeam *team, void *data)
{
  DitLoop *loop = data;
  DitText texts[DIT_MAX_TEXTS];
  /* Sizes and lengths of other jobs are forgotten before they pile up.  */
  sora_kit_cache_trim (loop->instance->model->cache, KEEP_PRIMITIVES);
  const int n = dit_job_expert_texts (&loop->job, loop->expert);
  for (int i = 0; i < n; i++)
    {
      SoraTensorView view = { .struct_size = sizeof view };
      loop->host->tensor_view (loop->texts[i], &view);
      texts[i] = (DitText){ view.data, view.shape[0], loop->job.padded[i] };
    }
  return dit_forward_new (loop->instance->model, &loop->job.geometry, texts, n, loop->job.times.n,
                          team, &loop->forward);
}

static int
begin_sample (SoraKitTeam *team, void *data)
{
  DitLoop *loop = data;
  (void)team;
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

/* A step of a large clip takes many minutes: it moves on with each block.  */
static void
tell_part (void *data, double fraction)
{
  const DitLoop *loop = data;
  const uint32_t steps = (uint32_t)loop->job.steps;
  loop->host->progress (loop->ctx, ((double)loop->step + fraction) / (double)steps,
                        (uint32_t)loop->step, steps);
}

/* What the network gives for the sample, with guidance where the step has it. */
static int
compute_output (DitLoop *loop, SoraKitTeam *team)
{
  const DitWatch watch = { tell_part, loop };
  const DitJob *job = &loop->job;
  const int n_texts = dit_job_step_texts (job, loop->step);
  DitTimes times = job->times;
  if (job->is_probe)
    times.of_token = loop->of_token;
  else /* all tokens are at the step's, also where each could have its own */
    times.values[0] = sora_kit_sampler_get_timesteps (loop->sampler)[loop->step];
  int result
      = dit_forward_run (loop->forward, team, loop->x, n_texts, &times, &watch, loop->outputs);
  loop->computed += (uint32_t)n_texts;
  if (result == SORA_OK && n_texts > 1)
    sora_kit_guide (loop->outputs, loop->outputs + loop->n,
                    (float)job->guidance[dit_job_expert (job, loop->step)], (int64_t)loop->n);
  return result;
}

static int
find_output (DitLoop *loop, SoraKitTeam *team)
{
  const DitJob *job = &loop->job;
  if (loop->reuse == NULL)
    return compute_output (loop, team);
  const double sigma = sora_kit_sampler_get_sigmas (loop->sampler)[loop->step];
  const int n_texts = dit_job_step_texts (job, loop->step);
  const int kind = dit_job_expert (job, loop->step) * (DIT_MAX_TEXTS + 1) + n_texts;
  /* The last step is always computed: nothing comes after it that could mend it.  */
  if (loop->step >= job->reuse_first && loop->step + 1 < job->steps
      && dit_reuse_step (loop->reuse, kind, sigma, loop->x, loop->outputs))
    {
      loop->reused += (uint32_t)n_texts;
      return SORA_OK;
    }
  int result = compute_output (loop, team);
  if (result == SORA_OK)
    dit_reuse_keep (loop->reuse, kind, sigma, loop->x, loop->outputs);
  return result;
}

static int
make_step (SoraKitTeam *team, void *data)
{
  DitLoop *loop = data;
  const DitJob *job = &loop->job;
  int result = find_output (loop, team);
  if (result != SORA_OK)
    return result;
  if (job->is_probe)
    {
      memcpy (loop->x, loop->outputs, loop->n * sizeof *loop->x);
      return SORA_OK;
    }
  if (sora_kit_sampler_step (loop->sampler, loop->step, loop->outputs, loop->x, loop->n) != 0)
    return sora_kit_team_fail (
        team, "sampler: step %d of %lld cannot be made (no memory, or out of turn)", loop->step + 1,
        (long long)job->steps);
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

/* Has the expert of the next step at hand, and what it makes of the texts.  The sample and the
 * sampler's memory know nothing of experts.  */
static int
enter_expert (DitLoop *loop, SoraContext *ctx)
{
  const DitJob *job = &loop->job;
  const int expert = dit_job_expert (job, loop->step);
  if (loop->forward != NULL && expert == loop->expert)
    return SORA_OK;
  dit_forward_free (loop->forward);
  loop->forward = NULL;
  loop->expert = expert;
  int result = dit_load (loop->host, ctx, loop->instance, &job->family.experts[expert], loop->step,
                         job->steps);
  return result == SORA_OK
             ? sora_kit_compute (loop->host, ctx, "the transformer", begin_forward, loop)
             : result;
}

/* What was saved, where something could be.  */
static void
tell_forwards (const DitLoop *loop, SoraContext *ctx)
{
  const DitJob *job = &loop->job;
  const uint32_t all = (uint32_t)(job->steps * job->n_texts);
  const int part = job->n_texts > 1 && job->guided_end - job->guided_first < job->steps;
  if (loop->reuse != NULL || part)
    loop->host->log (ctx, SORA_LOG_INFO,
                     "%u of %u forwards computed, %u left out without guidance, %u reused",
                     loop->computed, all, all - loop->computed - loop->reused, loop->reused);
}

static int
walk (DitLoop *loop, SoraContext *ctx)
{
  const SoraHost *host = loop->host;
  uint32_t steps = (uint32_t)loop->job.steps;
  double interval = 0, saved = now ();
  int keeps = !loop->job.is_probe;
  (void)host->param_f64 (ctx, "checkpoint-interval", &interval);
  int result = dit_loop_resume (loop, ctx);
  if (result != SORA_OK)
    return result;
  for (int i = 0; i < loop->step && loop->rng != NULL; i++)
    sora_kit_rng_skip (loop->rng, loop->n);
  host->progress (ctx, (double)loop->step / steps, (uint32_t)loop->step, steps);
  for (; loop->step < (int)steps; loop->step++)
    {
      result = enter_expert (loop, ctx);
      if (result == SORA_OK)
        result = sora_kit_compute (host, ctx, "the transformer", make_step, loop);
      if (result != SORA_OK)
        return result;
      uint32_t made = (uint32_t)loop->step + 1;
      host->progress (ctx, (double)made / steps, made, steps);
      if (!keeps || made == steps || now () - saved < interval)
        continue;
      result = dit_loop_save (loop, ctx);
      if (result == SORA_UNAVAILABLE)
        keeps = 0;
      else if (result != SORA_OK)
        return result;
      saved = now ();
    }
  tell_forwards (loop, ctx);
  return SORA_OK;
}

static int
pull_inputs (DitLoop *loop, SoraContext *ctx)
{
  const SoraHost *host = loop->host;
  SoraSpec spec = { .struct_size = sizeof spec };
  SoraTensorView view;
  for (int i = 0; i < loop->job.n_texts; i++)
    {
      const int64_t shape[] = { -1, loop->job.family.experts[0].text_dim };
      int result = sora_kit_pull_one (host, ctx, dit_text_ports[i], SORA_F32, 2, shape,
                                      &loop->texts[i], &view);
      if (result != SORA_OK)
        return result;
      if (view.shape[0] < 1 || view.shape[0] > loop->job.padded[i])
        return host->fail (ctx, "input '%s' has %lld tokens, expected 1 to %lld", dit_text_ports[i],
                           (long long)view.shape[0], (long long)loop->job.padded[i]);
      loop->job.text_rows[i] = view.shape[0];
    }
  /* Without guidance a negative prompt may be connected all the same: it is taken, so that nobody
   * waits, and left.  */
  if (loop->job.n_texts == 1 && host->input_spec (ctx, dit_text_ports[1], &spec) == SORA_OK)
    {
      const int64_t any[] = { -1, -1 };
      int result = sora_kit_pull_one (host, ctx, dit_text_ports[1], SORA_F32, 2, any,
                                      &loop->texts[1], &view);
      if (result != SORA_OK)
        return result;
    }
  int result = host->seed (ctx, &loop->seed);
  if (result != SORA_OK || host->input_spec (ctx, "latents", &spec) != SORA_OK)
    return result;
  return sora_kit_pull_one (host, ctx, "latents", SORA_F32, 4, loop->job.geometry.latent,
                            &loop->noise, &view);
}

static int
prepare (DitLoop *loop, SoraContext *ctx)
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
  const uint64_t stored[DIT_MAX_EXPERTS] = { 0 };
  const SoraCost cost = dit_job_cost (job, stored);
  result = sora_kit_hold (host, ctx, &loop->instance->hold, cost.packed_bytes);
  if (result == SORA_OK)
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
  if (job->probe_tokens != NULL)
    loop->of_token = sora_kit_alloc ((uint64_t)g->tokens, sizeof *loop->of_token);
  if (loop->outputs == NULL || (job->probe_tokens != NULL && loop->of_token == NULL))
    return host->fail (ctx, "out of memory for the latents");
  if (loop->of_token != NULL)
    dit_job_tokens (job, loop->of_token);
  loop->sampler = sora_kit_sampler_new (&job->sampler, (SoraKitSamplerKind)job->sampler_kind,
                                        job->flow_shift, (int)job->steps, error, sizeof error);
  if (loop->sampler == NULL)
    return host->fail (ctx, "scheduler: %s", error);
  if (sora_kit_sampler_kind_is_few ((SoraKitSamplerKind)job->sampler_kind) && !job->is_probe)
    host->log (ctx, SORA_LOG_INFO, "%s: %lld steps, no guidance",
               sora_kit_sampler_get_name (loop->sampler), (long long)job->steps);
  if (job->reuse_threshold > 0)
    {
      loop->reuse = dit_reuse_new (job->reuse_threshold, job->sampler.prediction, loop->n);
      if (loop->reuse == NULL)
        return host->fail (ctx, "out of memory for the velocity of a step");
    }
  if (job->sampler_kind == SORA_KIT_SAMPLER_DMD)
    {
      loop->rng = sora_kit_rng_torch_new (loop->seed);
      if (loop->rng == NULL)
        return host->fail (ctx, "out of memory for a random generator");
    }
  return sora_kit_compute (host, ctx, "the first noise", begin_sample, loop);
}

int
dit_run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  DitLoop loop = { .host = host, .ctx = ctx, .instance = instance };
  int result = dit_job_read (host, ctx, &loop.job);
  if (result == SORA_OK)
    result = prepare (&loop, ctx);
  if (result == SORA_OK)
    result = walk (&loop, ctx);
  dit_forward_free (loop.forward);
  /* No weights came: the memory for them is nobody's.  */
  if (loop.instance->model == NULL)
    sora_kit_hold_drop (host, ctx, &loop.instance->hold);
  sora_kit_free (loop.of_token);
  sora_kit_sampler_free (loop.sampler);
  dit_reuse_free (loop.reuse);
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
