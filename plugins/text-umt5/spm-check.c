/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * spm-check.c: looks through a sentencepiece model before libsentencepiece reads it.  Field numbers
 * are those of sentencepiece_model.proto; the trie is a darts-clone double array, as
 * sentencepiece's normalizer walks it.
 */
#include "spm-check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prompt.h"
#include "spm-nest.h"

enum
{
  WIRE_VARINT = 0,
  WIRE_64 = 1,
  WIRE_BYTES = 2,
  WIRE_32 = 5
};

typedef struct
{
  uint8_t *p, *end;
} Wire;

typedef struct
{
  uint32_t number, wire;
  uint64_t value; /* varint */
  uint8_t *data;  /* of the value itself: where a varint, a fixed number or a string begins */
  size_t size;
} Field;

static int
varint (Wire *w, uint64_t *value)
{
  *value = 0;
  for (unsigned shift = 0; shift < 64 && w->p < w->end; shift += 7)
    {
      uint8_t b = *w->p++;

      *value |= (uint64_t)(b & 0x7F) << shift;
      if (b < 0x80)
        return 1;
    }
  return 0;
}

/* 1: a field was read; 0: the end; -1: no protocol buffer. */
static int
next_field (Wire *w, Field *f)
{
  uint64_t tag, n;

  if (w->p == w->end)
    return 0;
  if (!varint (w, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF)
    return -1;
  *f = (Field){ .number = (uint32_t)(tag >> 3), .wire = tag & 7, .data = w->p };
  switch (f->wire)
    {
    case WIRE_VARINT:
      if (!varint (w, &f->value))
        return -1;
      f->size = (size_t)(w->p - f->data);
      return 1;
    case WIRE_64:
      n = 8;
      break;
    case WIRE_32:
      n = 4;
      break;
    case WIRE_BYTES:
      if (!varint (w, &n))
        return -1;
      f->data = w->p;
      break;
    default: /* groups: sentencepiece writes none */
      return -1;
    }
  if (n > (uint64_t)(w->end - w->p))
    return -1;
  f->size = (size_t)n;
  w->p += n;
  return 1;
}

static int
bad (char *why, size_t why_size, const char *format, uint64_t a, uint64_t b)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  snprintf (why, why_size, format, (unsigned long long)a, (unsigned long long)b);
#pragma GCC diagnostic pop
  return 0;
}

static uint32_t
le32 (const uint8_t *p)
{
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* -------------------------------------------------------------------------------- the maps -- */

/* Each unit that a walk may stand on leads to a block of 256 units that lies inside; each leaf's
 * value is the offset of a string in the blob behind the trie. */
static int
check_trie (const uint8_t *trie, size_t units, const uint8_t *blob, size_t blob_size, char *why,
            size_t why_size)
{
  for (size_t i = 0; i < units; i++)
    {
      uint32_t unit = le32 (trie + 4 * i), value;
      uint64_t to = i ^ ((uint64_t)(unit >> 10) << ((unit & 0x200) >> 6));

      if (unit & 0x80000000u && i != 0) /* a value, or unused: no label matches it */
        continue;
      if ((to | 0xFF) >= units)
        return bad (why, why_size, "character map: unit %llu of the trie points outside it (%llu)",
                    i, to);
      if ((unit & 0x100) == 0)
        continue;
      value = le32 (trie + 4 * to) & 0x7FFFFFFFu;
      if (value >= blob_size || (blob[value] & 0xC0) == 0x80)
        return bad (why, why_size,
                    "character map: unit %llu of the trie names no string (offset %llu)", i, value);
    }
  switch (sora_spm_nest_rules (trie, units))
    {
    case SORA_SPM_NEST_DEEP:
      return bad (why, why_size,
                  "character map: more than %llu of its rules begin alike, one within the other",
                  SORA_SPM_MAX_NESTED_RULES, 0);
    case SORA_SPM_NEST_CIRCLE:
      return bad (why, why_size, "character map: its trie goes round in a circle", 0, 0);
    case SORA_SPM_NEST_NO_MEMORY:
      return bad (why, why_size, "character map: no memory to look through %llu units", units, 0);
    case SORA_SPM_NEST_GOOD:
      break;
    }
  return 1;
}

static int
check_charsmap (const uint8_t *map, size_t size, char *why, size_t why_size)
{
  uint32_t trie;
  const uint8_t *blob;
  size_t blob_size, at = 0;

  if (size == 0)
    return 1;
  trie = size > 4 ? le32 (map) : 0;
  if (trie == 0 || trie % 1024 != 0 || trie >= size - 4)
    return bad (why, why_size,
                "character map: the trie has %llu bytes of %llu, expected a multiple of 1024 with "
                "strings after it",
                trie, size);
  blob = map + 4 + trie;
  blob_size = size - 4 - trie;
  if (blob[blob_size - 1] != 0)
    return bad (why, why_size, "character map: the last of its strings does not end", 0, 0);
  if (!sora_prompt_is_utf8 ((const char *)blob, blob_size, &at))
    return bad (why, why_size, "character map: its strings are not UTF-8 at byte %llu", at, 0);
  return check_trie (map + 4, trie / 4, blob, blob_size, why, why_size);
}

static int
check_normalizer (Field *outer, char *why, size_t why_size)
{
  Wire w = { outer->data, outer->data + outer->size };
  Field f;
  int r;

  while ((r = next_field (&w, &f)) > 0)
    if (f.number == 2 && (f.wire != WIRE_BYTES || !check_charsmap (f.data, f.size, why, why_size)))
      return f.wire == WIRE_BYTES ? 0 : bad (why, why_size, "character map: not bytes", 0, 0);
  return r == 0 ? 1 : bad (why, why_size, "the normalizer's settings are damaged", 0, 0);
}

/* ------------------------------------------------------------------------------ the pieces -- */

static int
is_extra_id (const uint8_t *piece, size_t size)
{
  static const char start[] = "<extra_id_";

  return size > sizeof start && memcmp (piece, start, sizeof start - 1) == 0
         && piece[size - 1] == '>';
}

/* Of fields that stand there twice the last one counts, as with protobuf.  *@kind_at: the kind's
 * bytes; NULL if it is not told.  Returns: 0, -1: damaged, or the number of a field of a wrong type. */
static int
read_piece (const Field *outer, SoraSpmPiece *piece, uint64_t *kind, uint8_t **kind_at)
{
  Wire w = { outer->data, outer->data + outer->size };
  Field f;
  int r;

  *piece = (SoraSpmPiece){ .kind = SORA_SPM_NORMAL };
  *kind = SORA_SPM_NORMAL;
  *kind_at = NULL;
  while ((r = next_field (&w, &f)) > 0)
    if (f.number == 1 && f.wire == WIRE_BYTES)
      {
        piece->name = (const char *)f.data;
        piece->size = f.size;
      }
    else if (f.number == 2 && f.wire == WIRE_32)
      {
        uint32_t bits = le32 (f.data);

        memcpy (&piece->score, &bits, 4);
      }
    else if (f.number == 3 && f.wire == WIRE_VARINT)
      {
        *kind = f.value;
        *kind_at = f.data;
      }
    else if (f.number <= 3)
      return (int)f.number;
  return r;
}

/* What is known when all pieces were read. */
typedef struct
{
  uint64_t n;
  unsigned unknowns;
  SoraSpmText *defined; /* by the user */
  size_t n_defined, room;
} Pieces;

static int
add_defined (Pieces *pieces, const SoraSpmPiece *piece)
{
  if (pieces->n_defined == pieces->room)
    {
      size_t room = 2 * pieces->room + 64;
      SoraSpmText *more = realloc (pieces->defined, room * sizeof *more);

      if (more == NULL)
        return 0;
      pieces->defined = more;
      pieces->room = room;
    }
  pieces->defined[pieces->n_defined++]
      = (SoraSpmText){ (const uint8_t *)piece->name, piece->size };
  return 1;
}

static int
check_piece (Field *outer, Pieces *pieces, char *why, size_t why_size)
{
  const uint64_t index = pieces->n++;
  SoraSpmPiece piece;
  uint8_t *kind_at;
  uint64_t kind;
  int r = read_piece (outer, &piece, &kind, &kind_at);

  if (r > 0)
    return bad (why, why_size, "piece %llu: field %llu has another type", index, (uint64_t)r);
  if (r < 0)
    return bad (why, why_size, "piece %llu is damaged", index, 0);
  if (piece.size == 0 || piece.size > SORA_SPM_MAX_PIECE_BYTES)
    return bad (why, why_size, "piece %llu has %llu bytes, expected 1 to 256", index, piece.size);
  if (memchr (piece.name, 0, piece.size) != NULL
      || !sora_prompt_is_utf8 (piece.name, piece.size, NULL))
    return bad (why, why_size, "piece %llu is not UTF-8", index, 0);
  if (kind < SORA_SPM_NORMAL || kind > SORA_SPM_BYTE)
    return bad (why, why_size, "piece %llu is of the kind %llu, expected 1 to 6", index, kind);
  if (!isfinite (piece.score) || fabsf (piece.score) > 1e6f)
    return bad (why, why_size, "piece %llu has no usable score", index, 0);
  if (kind == SORA_SPM_UNKNOWN)
    pieces->unknowns++;
  if (kind == SORA_SPM_USER_DEFINED && kind_at != NULL
      && is_extra_id ((const uint8_t *)piece.name, piece.size))
    *kind_at = (uint8_t)((*kind_at & 0x80) | SORA_SPM_CONTROL);
  else if (kind == SORA_SPM_USER_DEFINED && !add_defined (pieces, &piece))
    return bad (why, why_size, "no memory for %llu user-defined pieces", pieces->n_defined, 0);
  return 1;
}

static int
check_trainer (Field *outer, char *why, size_t why_size)
{
  Wire w = { outer->data, outer->data + outer->size };
  Field f;
  int r;

  while ((r = next_field (&w, &f)) > 0)
    if (f.number == 3 && (f.wire != WIRE_VARINT || f.value != 1))
      return bad (why, why_size, "the model is of type %llu, expected 1 (unigram)", f.value, 0);
  return r == 0 ? 1 : bad (why, why_size, "the trainer's settings are damaged", 0, 0);
}

static int
check_fields (Wire *w, Pieces *pieces, char *why, size_t why_size)
{
  const uint8_t *begin = w->p;
  Field f;
  int r;

  while ((r = next_field (w, &f)) > 0)
    {
      int good = 1;

      if (f.number <= 5 && f.wire != WIRE_BYTES)
        good = bad (why, why_size, "field %llu has another type", f.number, 0);
      else if (f.number == 1 && pieces->n >= SORA_SPM_MAX_PIECES)
        good = bad (why, why_size, "it has more than %llu pieces", SORA_SPM_MAX_PIECES, 0);
      else if (f.number == 1)
        good = check_piece (&f, pieces, why, why_size);
      else if (f.number == 2)
        good = check_trainer (&f, why, why_size);
      else if (f.number == 3 || f.number == 5)
        good = check_normalizer (&f, why, why_size);
      if (!good)
        return 0;
    }
  return r == 0 ? 1
                : bad (why, why_size, "it is no sentencepiece model: damaged at byte %llu of %llu",
                       (uint64_t)(w->p - begin), (uint64_t)(w->end - begin));
}

int64_t
sora_spm_check (uint8_t *data, size_t size, char *why, size_t why_size)
{
  Pieces pieces = { 0 };
  int good;

  if (size == 0 || size > SORA_SPM_MAX_BYTES)
    {
      bad (why, why_size, "it has %llu bytes, expected 1 to %llu", size, SORA_SPM_MAX_BYTES);
      return -1;
    }
  good = check_fields (&(Wire){ data, data + size }, &pieces, why, why_size);
  if (good && pieces.n == 0)
    good = bad (why, why_size, "it has no pieces", 0, 0);
  else if (good && pieces.unknowns != 1)
    good = bad (why, why_size, "it has %llu unknown pieces, expected 1", pieces.unknowns, 0);
  else if (good && sora_spm_nest_pieces (pieces.defined, pieces.n_defined) != SORA_SPM_NEST_GOOD)
    good = bad (why, why_size,
                "more than %llu of its user-defined pieces begin alike, one within the other",
                SORA_SPM_MAX_NESTED_PIECES, 0);
  free (pieces.defined);
  return good ? (int64_t)pieces.n : -1;
}

/* ------------------------------------------------------------------------ what passed the check -- */

int
sora_spm_next_piece (const uint8_t *data, size_t size, size_t *at, SoraSpmPiece *piece)
{
  uint8_t *begin = (uint8_t *)data, *kind_at; /* only read */
  Wire w = { begin + *at, begin + size };
  uint64_t kind;
  Field f;

  while (next_field (&w, &f) > 0)
    if (f.number == 1)
      {
        *at = (size_t)(w.p - begin);
        (void)read_piece (&f, piece, &kind, &kind_at);
        piece->kind = (int)kind;
        return 1;
      }
  return 0;
}

int
sora_spm_falls_back (const uint8_t *data, size_t size)
{
  uint8_t *begin = (uint8_t *)data; /* only read */
  Wire w = { begin, begin + size };
  Field outer, f;
  int found = 0;

  while (next_field (&w, &outer) > 0)
    {
      Wire inner = { outer.data, outer.data + outer.size };

      while (outer.number == 2 && next_field (&inner, &f) > 0)
        if (f.number == 35 && f.wire == WIRE_VARINT) /* trainer_spec.byte_fallback */
          found = f.value != 0;
    }
  return found;
}
