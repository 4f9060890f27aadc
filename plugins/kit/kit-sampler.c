/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-sampler.c: the part that all samplers share: life, order of steps, state for checkpoints.
 */
#include "kit-sampler-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
sora_kit_sampler_kind_from_name (const char *name)
{
  static const char *const names[] = { "auto", "unipc", "euler", "dpmpp-2m", "dmd", "distill" };
  for (int i = 0; i < (int)(sizeof names / sizeof names[0]); i++)
    if (strcmp (name, names[i]) == 0)
      return i;
  return -1;
}

static const SoraKitSamplerClass *
class_of (SoraKitSamplerKind kind)
{
  switch (kind)
    {
    case SORA_KIT_SAMPLER_EULER:
      return &sora_kit_sampler_euler;
    case SORA_KIT_SAMPLER_DPM:
      return &sora_kit_sampler_dpm;
    case SORA_KIT_SAMPLER_DMD:
      return &sora_kit_sampler_dmd;
    case SORA_KIT_SAMPLER_DISTILL:
      return &sora_kit_sampler_distill;
    default:
      return &sora_kit_sampler_unipc;
    }
}

SoraKitSampler *
sora_kit_sampler_new (const SoraKitSamplerConfig *config, SoraKitSamplerKind kind,
                      double flow_shift, int steps, char *err, size_t err_size)
{
  SoraKitSamplerConfig c = *config;
  if (kind != SORA_KIT_SAMPLER_AUTO)
    c.kind = kind;
  if (!(flow_shift >= 0 && flow_shift <= 1000))
    {
      snprintf (err, err_size, "flow shift %g, expected 0 (the checkpoint's) or up to 1000",
                flow_shift);
      return NULL;
    }
  if (sora_kit_sampler_kind_is_few (c.kind))
    {
      if (sora_kit_sampler_few_prepare (&c, flow_shift, err, err_size) != 0)
        return NULL;
      steps = c.n_few;
    }
  else if (flow_shift > 0)
    c.flow_shift = flow_shift;
  if (c.kind == SORA_KIT_SAMPLER_DPM && !c.final_sigma_zero)
    {
      /* The reference's sigma_min comes of its betas, which a flow model has none of. */
      snprintf (err, err_size,
                "'final_sigmas_type' is 'sigma_min', expected 'zero' for the sampler dpmpp-2m");
      return NULL;
    }
  if (steps < 1 || steps > SORA_KIT_SAMPLER_MAX_STEPS)
    {
      snprintf (err, err_size, "%d steps, expected 1 to %d", steps, SORA_KIT_SAMPLER_MAX_STEPS);
      return NULL;
    }

  SoraKitSampler *s = calloc (1, sizeof *s);
  if (s != NULL)
    {
      s->timesteps = calloc ((size_t)steps, sizeof (float));
      s->sigmas = calloc ((size_t)steps + 1, sizeof (float));
    }
  if (s == NULL || s->timesteps == NULL || s->sigmas == NULL)
    {
      sora_kit_sampler_free (s);
      snprintf (err, err_size, "out of memory for a schedule of %d steps", steps);
      return NULL;
    }
  s->config = c;
  s->steps = steps;
  s->klass = class_of (c.kind);
  s->klass->schedule (s);
  return s;
}

void
sora_kit_sampler_free (SoraKitSampler *s)
{
  if (s == NULL)
    return;
  free (s->timesteps);
  free (s->sigmas);
  free (s->history);
  free (s);
}

int
sora_kit_sampler_get_steps (const SoraKitSampler *s)
{
  return s->steps;
}

const char *
sora_kit_sampler_get_name (const SoraKitSampler *s)
{
  return s->klass->name;
}

const float *
sora_kit_sampler_get_timesteps (const SoraKitSampler *s)
{
  return s->timesteps;
}

const float *
sora_kit_sampler_get_sigmas (const SoraKitSampler *s)
{
  return s->sigmas;
}

size_t
sora_kit_sampler_state_size (const SoraKitSampler *s, size_t n)
{
  return (size_t)s->klass->history (s) * n * sizeof (float);
}

/* Room for the history of samples of n values.  Cleared, so that a saved state has no chance bytes.
 */
static int
set_size (SoraKitSampler *s, size_t n)
{
  const size_t count = (size_t)s->klass->history (s);
  if (n == 0 || n > SIZE_MAX / sizeof (float) / (SORA_KIT_SAMPLER_MAX_ORDER + 1))
    return -1;
  if (s->n != n)
    {
      free (s->history);
      s->history = NULL;
      s->n = 0;
      if (count > 0)
        {
          s->history = malloc (count * n * sizeof (float));
          if (s->history == NULL)
            return -1;
        }
      s->n = n;
    }
  if (count > 0)
    memset (s->history, 0, count * n * sizeof (float));
  return 0;
}

int
sora_kit_sampler_step (SoraKitSampler *s, int i, const float *model_output, float *sample, size_t n)
{
  if (i == 0)
    {
      if (set_size (s, n) != 0)
        return -1;
    }
  else if (i != s->next || i >= s->steps || n != s->n)
    return -1;
  s->klass->step (s, i, model_output, sample);
  s->next = i + 1;
  return 0;
}

int
sora_kit_sampler_state_save (const SoraKitSampler *s, void *state, size_t n)
{
  if (s->next == 0 || n != s->n)
    return -1;
  const size_t size = sora_kit_sampler_state_size (s, n);
  if (size > 0)
    memcpy (state, s->history, size);
  return 0;
}

int
sora_kit_sampler_state_load (SoraKitSampler *s, int next, const void *state, size_t n)
{
  if (next < 1 || next > s->steps || set_size (s, n) != 0)
    return -1;
  const size_t size = sora_kit_sampler_state_size (s, n);
  if (size > 0)
    memcpy (s->history, state, size);
  s->next = next;
  return 0;
}
