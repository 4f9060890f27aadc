/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * spm-nest.c: see spm-nest.h.
 */
#include "spm-nest.h"

#include <stdlib.h>
#include <string.h>

/* Rules are for one character and what is combined with it: a few bytes. */
#define MAX_DEPTH 1024

enum
{
  UNSEEN = 0,
  OPEN = 255 /* else: rules at and below it, the most on one way, and 1 */
};

typedef struct
{
  size_t unit, base;
  unsigned label; /* the next to follow */
  uint8_t most;   /* below, so far */
} Place;

static uint32_t
unit_at (const uint8_t *trie, size_t i)
{
  const uint8_t *p = trie + 4 * i;

  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static Place
enter (const uint8_t *trie, uint8_t *seen, size_t unit)
{
  uint32_t bits = unit_at (trie, unit);

  seen[unit] = OPEN;
  return (Place){ .unit = unit, .base = unit ^ ((size_t)(bits >> 10) << ((bits & 0x200) >> 6)) };
}

/* The array is made of a graph in which ends are shared, so that a unit may be met on many ways:
 * what is below it is counted once. */
SoraSpmNest
sora_spm_nest_rules (const uint8_t *trie, size_t units)
{
  Place *places = malloc (MAX_DEPTH * sizeof *places);
  uint8_t *seen = calloc (units, 1);
  SoraSpmNest result = SORA_SPM_NEST_GOOD;
  size_t depth = 0;

  if (places == NULL || seen == NULL)
    result = SORA_SPM_NEST_NO_MEMORY;
  else
    places[depth++] = enter (trie, seen, 0);
  while (depth > 0 && result == SORA_SPM_NEST_GOOD)
    {
      Place *at = &places[depth - 1];

      if (at->label == 256)
        {
          uint8_t most = (uint8_t)(at->most + ((unit_at (trie, at->unit) & 0x100) != 0));

          if (most > SORA_SPM_MAX_NESTED_RULES)
            result = SORA_SPM_NEST_DEEP;
          seen[at->unit] = (uint8_t)(most + 1);
          depth--;
          if (depth > 0 && places[depth - 1].most < most)
            places[depth - 1].most = most;
          continue;
        }
      size_t next = at->base ^ at->label;

      if ((unit_at (trie, next) & 0x800000FFu) != at->label++)
        continue;
      if (seen[next] == OPEN)
        result = SORA_SPM_NEST_CIRCLE;
      else if (seen[next] != UNSEEN)
        at->most = seen[next] - 1 > at->most ? (uint8_t)(seen[next] - 1) : at->most;
      else if (depth == MAX_DEPTH)
        result = SORA_SPM_NEST_DEEP;
      else
        places[depth++] = enter (trie, seen, next);
    }
  free (places);
  free (seen);
  return result;
}

/* What a text begins with stands right before it, and so do the texts that begin with that. */
static int
compare (const void *a, const void *b)
{
  const SoraSpmText *x = a, *y = b;
  const int order = memcmp (x->bytes, y->bytes, x->size < y->size ? x->size : y->size);

  return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

static int
begins_with (const SoraSpmText *text, const SoraSpmText *start)
{
  return start->size <= text->size && memcmp (text->bytes, start->bytes, start->size) == 0;
}

SoraSpmNest
sora_spm_nest_pieces (SoraSpmText *pieces, size_t n)
{
  const SoraSpmText *open[SORA_SPM_MAX_NESTED_PIECES];
  size_t depth = 0;

  if (n > 0)
    qsort (pieces, n, sizeof *pieces, compare);
  for (size_t i = 0; i < n; i++)
    {
      while (depth > 0 && !begins_with (&pieces[i], open[depth - 1]))
        depth--;
      if (depth == SORA_SPM_MAX_NESTED_PIECES)
        return SORA_SPM_NEST_DEEP;
      open[depth++] = &pieces[i];
    }
  return SORA_SPM_NEST_GOOD;
}
