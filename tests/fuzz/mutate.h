/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Mutators that know what they mutate, for formats in which bytes changed at random never get past the first check.
 * libFuzzer calls a target's LLVMFuzzerCustomMutator(); replay.c calls it too, so that `make check` tries what these
 * make, with any compiler.
 */
#pragma once
#include "fuzz.h"

/* libFuzzer's own mutations; replay.c has a small one. */
size_t LLVMFuzzerMutate (uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* What is being mutated, and a source of numbers that follow from the seed alone. */
typedef struct
{
  uint8_t *data;
  size_t size, max;
  uint64_t state;
} Mutation;

static inline uint32_t
mutation_random (Mutation *m, uint32_t below)
{
  m->state ^= m->state << 13;
  m->state ^= m->state >> 7;
  m->state ^= m->state << 17;
  return (uint32_t)(m->state >> 32) % below;
}

static inline Mutation
mutation_begin (uint8_t *data, size_t size, size_t max, unsigned seed)
{
  return (Mutation){ data, size, max, (seed + UINT64_C (1)) * UINT64_C (0x9E3779B97F4A7C15) };
}

/* Replaces the bytes from @begin to @end; FALSE, and nothing changed, if there is no room. */
gboolean mutation_splice (Mutation *m, size_t begin, size_t end, const void *with, size_t length);
/* Lets libFuzzer change the bytes from @begin to @end, and perhaps their number, up to @most. */
void mutation_bytes (Mutation *m, size_t begin, size_t end, size_t most);
/* One change to the JSON in @m that mostly leaves it JSON: a value, a member, a number.  @words are texts to put in,
 * without quotes, NULL-terminated.  What is not JSON is changed all the same. */
void mutation_json (Mutation *m, const char *const *words);
