/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a job is, and what it costs.
 */
#include "dit-stage.h"

#include "dit-reuse.h"
#include "kit-attention.h"

#include <string.h>

/* Where a port does not tell: what Wan was trained with.  */
#define PADDED_LENGTH 512
#define MAX_TEXT 65536

static int
read_text (const SoraHost *host, SoraContext *ctx, DitJob *job, int i)
{
  const char *port = dit_text_ports[i];
  SoraSpec spec = { .struct_size = sizeof spec };
  int64_t padded = PADDED_LENGTH;
  if (host->input_spec (ctx, port, &spec) != SORA_OK)
    return host->fail (ctx, "input '%s' is not connected%s", port,
                       i > 0 ? ", and the guidance scale is above 1: connect a negative prompt (an "
                               "empty one is usual), "
                               "or set guidance-scale to 1"
                             : "");
  if (spec.dtype != SORA_F32 || spec.ndim != 2)
    return host->fail (ctx, "input '%s' has rank %d, expected f32 [tokens, width]", port,
                       spec.ndim);
  const int64_t width = job->family.experts[0].text_dim;
  if (spec.shape[1] != width)
    return host->fail (ctx,
                       "input '%s' is %lld wide, the transformer expects %lld: is the text encoder "
                       "of another model?",
                       port, (long long)spec.shape[1], (long long)width);
  (void)host->input_attr_i64 (ctx, port, "padded_length", &padded);
  if (padded < 1 || padded > MAX_TEXT || spec.shape[0] > padded
      || (spec.shape[0] < 1 && spec.shape[0] != -1))
    return host->fail (ctx, "input '%s' has %lld tokens, expected 1 to its padded_length, %lld",
                       port, (long long)spec.shape[0], (long long)padded);
  job->text_rows[i] = spec.shape[0];
  job->padded[i] = padded;
  return SORA_OK;
}

static int
find_time (const DitTimes *times, float timestep)
{
  int i = 0;
  while (i < times->n && times->values[i] != timestep)
    i++;
  return i;
}

static int
read_probe (const SoraHost *host, SoraContext *ctx, DitJob *job)
{
  const double *timesteps;
  size_t n;
  SoraSpec spec = { .struct_size = sizeof spec };
  if (host->param_f64s (ctx, "forward-timestep", &timesteps, &n) != SORA_OK || n == 0)
    return SORA_OK;
  const size_t tokens = (size_t)job->geometry.tokens;
  if (n > 1 && !job->family.per_token)
    return host->fail (ctx, "forward-timestep has %zu numbers, expected one", n);
  if (n > 1 && n != tokens)
    return host->fail (
        ctx, "forward-timestep has %zu numbers, expected one, or one for each of %zu tokens", n,
        tokens);
  if (host->input_spec (ctx, "latents", &spec) != SORA_OK)
    return host->fail (ctx, "forward-timestep is set: input 'latents' has to be connected");
  job->is_probe = 1;
  job->times.n = 0;
  for (size_t i = 0; i < n; i++)
    {
      if (find_time (&job->times, (float)timesteps[i]) < job->times.n)
        continue;
      if (job->times.n == DIT_MAX_TIMES)
        return host->fail (ctx, "forward-timestep has more than %d different numbers",
                           DIT_MAX_TIMES);
      job->times.values[job->times.n++] = (float)timesteps[i];
    }
  if (job->times.n > 1)
    job->probe_tokens = timesteps;
  return SORA_OK;
}

/* How strongly each expert follows the prompt.  As in the reference, the first scale alone decides
 * whether the negative prompt is used at all. */
static int
read_guidance (const SoraHost *host, SoraContext *ctx, DitJob *job)
{
  double second = 0;
  if (host->param_f64 (ctx, "guidance-scale", &job->guidance[0]) != SORA_OK
      || host->param_f64 (ctx, "guidance-scale-2", &second) != SORA_OK)
    return host->fail (ctx, "a parameter of dit-wan is not known to the host");
  job->guidance[1] = second > 0 ? second : job->guidance[0];
  if (second > 0 && job->family.n_experts < 2)
    return host->fail (ctx,
                       "guidance-scale-2 is %g, and the model has one transformer: it is for "
                       "models with two experts (Wan 2.2 A14B)",
                       second);
  if (second > 1 && job->guidance[0] <= 1)
    return host->fail (ctx,
                       "guidance-scale-2 is %g, and guidance-scale %g, which turns guidance off "
                       "for both experts: set guidance-scale above 1, or leave guidance-scale-2 "
                       "out",
                       second, job->guidance[0]);
  return SORA_OK;
}

/* Which rule makes the steps.  With a few-step rule there is no guidance, and the list says how
 * many steps there are. */
static int
choose_sampler (const SoraHost *host, SoraContext *ctx, DitJob *job, const char *name, int turbo)
{
  const double *timesteps;
  size_t n = 0;
  job->sampler_kind = sora_kit_sampler_kind_from_name (name);
  if (job->sampler_kind < 0)
    return host->fail (
        ctx, "sampler is '%s', expected auto, unipc, euler, dpmpp-2m, dmd or distill", name);
  if (job->sampler_kind == SORA_KIT_SAMPLER_AUTO)
    job->sampler_kind = job->family.few_step;
  const int few = sora_kit_sampler_kind_is_few ((SoraKitSamplerKind)job->sampler_kind);
  if (turbo && !few)
    return host->fail (ctx,
                       "turbo is set, and the model has no few-step form that its files name "
                       "(sampler is '%s'): leave turbo out, or say how it was distilled with "
                       "sampler dmd or distill",
                       name);
  if (host->param_f64s (ctx, "timesteps", &timesteps, &n) != SORA_OK)
    n = 0;
  if (n > 0 && !few)
    return host->fail (
        ctx, "timesteps is set, and sampler is '%s': only dmd and distill take a list", name);
  if (n > SORA_KIT_SAMPLER_MAX_FEW)
    return host->fail (ctx, "timesteps has %zu numbers, expected at most %d", n,
                       SORA_KIT_SAMPLER_MAX_FEW);
  if (job->sampler_kind != SORA_KIT_SAMPLER_AUTO
      && job->sampler_kind != (int)job->sampler.kind) /* the file's list is of another rule */
    {
      job->sampler.n_few = 0;
      job->sampler.few_shift = 0;
    }
  for (size_t i = 0; i < n; i++)
    job->sampler.few[i] = timesteps[i];
  if (n > 0)
    job->sampler.n_few = (int)n;
  if (few)
    job->guidance[0] = job->guidance[1] = 1.0;
  return SORA_OK;
}

/* Which of the steps are guided, and which may be reused.  Both are parts of all the steps, rounded
 * down as diffusers' guiders do it. */
static int
read_parts (const SoraHost *host, SoraContext *ctx, DitJob *job)
{
  double start, stop, first;
  if (host->param_f64 (ctx, "guidance-start", &start) != SORA_OK
      || host->param_f64 (ctx, "guidance-stop", &stop) != SORA_OK
      || host->param_f64 (ctx, "reuse-threshold", &job->reuse_threshold) != SORA_OK
      || host->param_f64 (ctx, "reuse-start", &first) != SORA_OK)
    return host->fail (ctx, "a parameter of dit-wan is not known to the host");
  if (start >= stop)
    return host->fail (ctx,
                       "guidance-start is %g and guidance-stop %g, expected a start below the stop "
                       "(guidance-scale 1 turns guidance off)",
                       start, stop);
  const double steps = (double)job->steps;
  job->guided_first = (int64_t)(start * steps);
  job->guided_end = (int64_t)(stop * steps);
  job->reuse_first = (int64_t)(first * steps);
  if (job->n_texts > 1 && job->guided_first == job->guided_end)
    return host->fail (ctx,
                       "guidance-start %g and guidance-stop %g have none of the %lld steps between "
                       "them: widen them, or set guidance-scale to 1",
                       start, stop, (long long)job->steps);
  /* Each step of a few-step rule was trained for. */
  if (job->is_probe || sora_kit_sampler_kind_is_few ((SoraKitSamplerKind)job->sampler_kind))
    job->reuse_threshold = 0;
  return SORA_OK;
}

int
dit_job_expert_texts (const DitJob *job, int expert)
{
  const int64_t first = expert == 0 ? 0 : job->crossing;
  const int64_t end = expert == 0 ? job->crossing : job->steps;
  return job->guided_first < end && job->guided_end > first ? job->n_texts : 1;
}

static int
read_precision (const SoraHost *host, SoraContext *ctx, DitJob *job)
{
  const char *name;
  DitPrecision precision = DIT_EXACT;
  if (host->param_string (ctx, "precision", &name) != SORA_OK)
    return host->fail (ctx, "a parameter of dit-wan is not known to the host");
  if (strcmp (name, "fast") == 0)
    precision = DIT_FAST;
  else if (strcmp (name, "exact") != 0)
    return host->fail (ctx, "precision is '%s', expected exact or fast", name);
  for (int i = 0; i < job->family.n_experts; i++)
    job->family.experts[i].precision = precision;
  return SORA_OK;
}

int
dit_job_read (const SoraHost *host, SoraContext *ctx, DitJob *job)
{
  const char *sampler;
  int turbo = 0;
  memset (job, 0, sizeof *job);
  job->times.n = 1;
  if (host->param_bool (ctx, "turbo", &turbo) != SORA_OK)
    turbo = 0; /* a host of before there was one */
  int result = dit_family_read (host, ctx, turbo, &job->family, &job->sampler);
  if (result == SORA_OK)
    result = read_precision (host, ctx, job);
  if (result == SORA_OK)
    result = dit_geometry_read (host, ctx, &job->family.experts[0], &job->geometry);
  if (result == SORA_OK)
    result = read_probe (host, ctx, job);
  if (result == SORA_OK)
    result = read_guidance (host, ctx, job);
  if (result != SORA_OK)
    return result;
  if (host->param_i64 (ctx, "steps", &job->steps) != SORA_OK
      || host->param_f64 (ctx, "flow-shift", &job->flow_shift) != SORA_OK
      || host->param_string (ctx, "sampler", &sampler) != SORA_OK)
    return host->fail (ctx, "a parameter of dit-wan is not known to the host");
  if (choose_sampler (host, ctx, job, sampler, turbo) != SORA_OK)
    return SORA_FAILED;
  job->n_texts = !job->is_probe && job->guidance[0] > 1.0 ? 2 : 1;
  if (job->is_probe)
    job->steps = 1;
  for (int i = 0; i < job->n_texts; i++)
    if (read_text (host, ctx, job, i) != SORA_OK)
      return SORA_FAILED;
  /* A schedule that cannot be is said before anything is loaded.  */
  char error[256];
  SoraKitSampler *schedule
      = sora_kit_sampler_new (&job->sampler, (SoraKitSamplerKind)job->sampler_kind, job->flow_shift,
                              (int)job->steps, error, sizeof error);
  if (schedule == NULL)
    return host->fail (ctx, "scheduler: %s", error);
  job->sampler_bytes = sora_kit_sampler_state_size (schedule, dit_latent_count (&job->geometry));
  if (!job->is_probe)
    job->steps = sora_kit_sampler_get_steps (schedule);
  /* Timesteps fall, so that the boundary is crossed once.  */
  const float *timesteps
      = job->is_probe ? job->times.values : sora_kit_sampler_get_timesteps (schedule);
  while (job->crossing < job->steps
         && dit_family_expert (&job->family, timesteps[job->crossing]) == 0)
    job->crossing++;
  sora_kit_sampler_free (schedule);
  return read_parts (host, ctx, job);
}

static uint64_t
larger (uint64_t a, uint64_t b)
{
  return a > b ? a : b;
}

SoraCost
dit_job_cost (const DitJob *job, const uint64_t stored_bytes[DIT_MAX_EXPERTS])
{
  int64_t rows[DIT_MAX_TEXTS];
  uint64_t latent_bytes = dit_latent_count (&job->geometry) * sizeof (float);
  for (int i = 0; i < job->n_texts; i++)
    rows[i] = job->text_rows[i] >= 0 ? job->text_rows[i] : job->padded[i];
  SoraCost cost = { .struct_size = sizeof cost };
  /* One expert stands in memory at a time, with what it needs: the larger counts.  */
  for (int i = 0; i < job->family.n_experts; i++)
    {
      const DitConfig *expert = &job->family.experts[i];
      const int64_t first = i == 0 ? 0 : job->crossing, end = i == 0 ? job->crossing : job->steps;
      if (first == end)
        continue;
      const int n_texts = dit_job_expert_texts (job, i);
      cost.weights_bytes = larger (cost.weights_bytes, stored_bytes[i]);
      cost.packed_bytes = larger (cost.packed_bytes, dit_model_bytes (expert));
      cost.work_bytes = larger (
          cost.work_bytes,
          dit_forward_bytes (expert, &job->geometry, rows, n_texts, job->times.n)
              + (uint64_t)sora_kit_threads_expected () * sora_kit_thread_bytes (expert->head_dim));
      /* How many steps will be reused is only known when they are: none, here.  */
      for (int64_t step = first; step < end; step++)
        cost.flops
            += dit_forward_flops (expert, &job->geometry, rows, dit_job_step_texts (job, step));
    }
  /* The sample is the output; beside it stand the model's outputs, the sampler's memory and that
   * of reuse, and which token is when.  A few MiB are the primitives.  */
  cost.work_bytes
      += (uint64_t)job->n_texts * latent_bytes + job->sampler_bytes
         + (job->reuse_threshold > 0 ? dit_reuse_bytes (dit_latent_count (&job->geometry)) : 0)
         + (job->probe_tokens != NULL ? (uint64_t)job->geometry.tokens * sizeof (int32_t) : 0)
         + (UINT64_C (4) << 20);
  cost.output_bytes = latent_bytes;
  cost.steps = (uint32_t)job->steps;
  return cost;
}

void
dit_job_tokens (const DitJob *job, int32_t *of_token)
{
  for (int64_t i = 0; i < job->geometry.tokens; i++)
    of_token[i] = find_time (&job->times, (float)job->probe_tokens[i]);
}
