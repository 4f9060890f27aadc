/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What is remembered of the last computed step, and whether it will do for the next one.
 */
#include "dit-reuse.h"

#include "kit-memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NO_KIND (-1)

/* What a checkpoint holds before the values.  */
typedef struct
{
  double rate;  /* k: how much the velocity changes as the sample moves; below 0: not known yet */
  double speed; /* the mean absolute velocity */
  int64_t kind; /* NO_KIND: no step was computed */
} Head;

struct DitReuse
{
  double threshold;
  SoraKitPrediction prediction;
  size_t n;
  Head head;
  float *x, *v; /* of the last computed step: the sample it was computed for, and the velocity */
};

uint64_t
dit_reuse_bytes (size_t n)
{
  return sizeof (Head) + 2 * (uint64_t)n * sizeof (float);
}

DitReuse *
dit_reuse_new (double threshold, SoraKitPrediction prediction, size_t n)
{
  DitReuse *reuse = calloc (1, sizeof *reuse);
  if (reuse == NULL)
    return NULL;
  *reuse = (DitReuse){ .threshold = threshold,
                       .prediction = prediction,
                       .n = n,
                       .head = { .rate = -1, .kind = NO_KIND },
                       .x = sora_kit_alloc0 (n, sizeof (float)),
                       .v = sora_kit_alloc0 (n, sizeof (float)) };
  if (reuse->x != NULL && reuse->v != NULL)
    return reuse;
  dit_reuse_free (reuse);
  return NULL;
}

void
dit_reuse_free (DitReuse *reuse)
{
  if (reuse == NULL)
    return;
  sora_kit_free (reuse->x);
  sora_kit_free (reuse->v);
  free (reuse);
}

/* The mean absolute difference.  */
static double
distance (const float *a, const float *b, size_t n)
{
  double sum = 0;
  for (size_t i = 0; i < n; i++)
    sum += fabs ((double)a[i] - (double)b[i]);
  return sum / (double)n;
}

int
dit_reuse_step (const DitReuse *reuse, int kind, double sigma, const float *x, float *output)
{
  const Head *head = &reuse->head;
  if (head->kind != kind || head->rate < 0)
    return 0;
  const double change = head->rate * distance (x, reuse->x, reuse->n) / head->speed;
  if (!(change < reuse->threshold)) /* nor if it is no number */
    return 0;
  if (reuse->prediction == SORA_KIT_PREDICTION_FLOW)
    memcpy (output, reuse->v, reuse->n * sizeof *output);
  else
    for (size_t i = 0; i < reuse->n; i++)
      output[i] = (float)((double)x[i] - sigma * (double)reuse->v[i]);
  return 1;
}

void
dit_reuse_keep (DitReuse *reuse, int kind, double sigma, const float *x, const float *output)
{
  Head *head = &reuse->head;
  const int flow = reuse->prediction == SORA_KIT_PREDICTION_FLOW;
  const double moved = head->kind == kind ? distance (x, reuse->x, reuse->n) : 0;
  double changed = 0, speed = 0;
  for (size_t i = 0; i < reuse->n; i++)
    {
      const float v = flow ? output[i] : (float)(((double)x[i] - (double)output[i]) / sigma);
      changed += fabs ((double)v - (double)reuse->v[i]);
      speed += fabs ((double)v);
      reuse->v[i] = v;
    }
  /* The rate is a property of the way: one measured by another expert, or with guidance where
   * there is none now, is still the best guess.  */
  if (moved > 0)
    head->rate = changed / (double)reuse->n / moved;
  head->speed = speed / (double)reuse->n;
  head->kind = kind;
  memcpy (reuse->x, x, reuse->n * sizeof *x);
}

void
dit_reuse_save (const DitReuse *reuse, void *state)
{
  const size_t size = reuse->n * sizeof (float);
  char *to = state;
  memcpy (to, &reuse->head, sizeof reuse->head);
  memcpy (to + sizeof reuse->head, reuse->x, size);
  memcpy (to + sizeof reuse->head + size, reuse->v, size);
}

void
dit_reuse_load (DitReuse *reuse, const void *state)
{
  const size_t size = reuse->n * sizeof (float);
  const char *from = state;
  memcpy (&reuse->head, from, sizeof reuse->head);
  memcpy (reuse->x, from + sizeof reuse->head, size);
  memcpy (reuse->v, from + sizeof reuse->head + size, size);
}
