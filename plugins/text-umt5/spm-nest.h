/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * spm-nest.h: how many strings of a sentencepiece model begin alike, one within the other ("a", "ab", "abc": three).
 * libsentencepiece 0.1.97 looks up all of them that a text begins with, into arrays of fixed sizes on its stack, and
 * then reads as many as there were.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SORA_SPM_MAX_NESTED_RULES 32u  /* of a character map; Normalizer::kMaxTrieResultsSize */
#define SORA_SPM_MAX_NESTED_PIECES 64u /* of the user-defined ones; PrefixMatcher's kResultSize */

typedef struct
{
  const uint8_t *bytes;
  size_t size;
} SoraSpmText;

typedef enum
{
  SORA_SPM_NEST_GOOD,
  SORA_SPM_NEST_DEEP,
  SORA_SPM_NEST_CIRCLE, /* a text may go round in it for ever */
  SORA_SPM_NEST_NO_MEMORY,
} SoraSpmNest;

/**
 * sora_spm_nest_rules:
 * @trie: a double array of darts-clone, whose units all lead inside it
 * @units: how many, of 4 bytes
 *
 * Returns: if no text meets more than %SORA_SPM_MAX_NESTED_RULES rules at its beginning, good
 */
SoraSpmNest sora_spm_nest_rules (const uint8_t *trie, size_t units);

/**
 * sora_spm_nest_pieces:
 * @pieces: texts, which are put in order
 * @n: how many
 *
 * Returns: if no text begins with more than %SORA_SPM_MAX_NESTED_PIECES of them, good
 */
SoraSpmNest sora_spm_nest_pieces (SoraSpmText *pieces, size_t n);
