/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * spm-check.h: looks through a sentencepiece model before libsentencepiece reads it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SORA_SPM_MAX_BYTES (64u << 20)
#define SORA_SPM_MAX_PIECES (1u << 20)
#define SORA_SPM_MAX_PIECE_BYTES 256u

/**
 * sora_spm_check:
 * @data: the file spiece.model (a protocol buffer, sentencepiece_model.proto)
 * @size: its bytes
 * @why: (out): what is wrong, if something is
 * @why_size: room there
 *
 * libsentencepiece 0.1.97 trusts the models that it is given: a long piece overflows its stack, a character map
 * whose trie points outside makes it read there, and so do many rules or user-defined pieces of which one begins with
 * the other.  So everything that it would take on trust is checked: the wire format, number, length, encoding, kind
 * and score of the pieces, each unit of each map's trie, and how deep rules and pieces nest.
 *
 * Pieces of the user-defined kind named `<extra_id_N>` are turned into control pieces in place, so that a prompt
 * with these words in it is text to us whichever tool wrote the model.
 *
 * Returns: the number of pieces, or -1 with @why.
 */
int64_t sora_spm_check (uint8_t *data, size_t size, char *why, size_t why_size);

/* sentencepiece_model.proto, ModelProto.SentencePiece.Type */
enum
{
  SORA_SPM_NORMAL = 1,
  SORA_SPM_UNKNOWN,
  SORA_SPM_CONTROL,
  SORA_SPM_USER_DEFINED,
  SORA_SPM_UNUSED,
  SORA_SPM_BYTE
};

/**
 * SoraSpmPiece:
 * @name: not terminated; points into the model
 * @size: its bytes
 * @score: a logarithm
 * @kind: SORA_SPM_NORMAL and so on
 */
typedef struct
{
  const char *name;
  size_t size;
  float score;
  int kind;
} SoraSpmPiece;

/**
 * sora_spm_next_piece:
 * @data: a model that sora_spm_check() let pass
 * @size: its bytes
 * @at: where to go on; 0 at first
 * @piece: (out): the next piece; their numbers are their ids
 *
 * Returns: 1, or 0 at the end
 */
int sora_spm_next_piece (const uint8_t *data, size_t size, size_t *at, SoraSpmPiece *piece);

/** sora_spm_falls_back: does a checked model spell in bytes what it has no piece for? */
int sora_spm_falls_back (const uint8_t *data, size_t size);

#ifdef __cplusplus
}
#endif
