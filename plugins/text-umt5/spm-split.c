/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * spm-split.c: the best split of a text into pieces, by dynamic programming over its characters.
 *
 * libsentencepiece does the same and sums scores in f32.  Of two splits that are worth the same (K +
 * KK, KK + K) rounding then decides, and decides otherwise after other text or with another version.
 * A score has 24 bits; sums of thousands of them fit into f64's 53 without any rounding, so that the
 * rule for equal sums decides alone, as in the tokenizer that diffusers uses.
 */
#include "spm-split.h"

#include <stdlib.h>
#include <string.h>

#include "spm-check.h"

#define UNKNOWN_PENALTY 10.0
#define USER_DEFINED_BONUS 0.1 /* below so many times the best score as the piece has bytes */
#define HASH_START 0xcbf29ce484222325u
#define HASH_FACTOR 0x100000001b3u

typedef struct
{
  const char *name; /* in `names`; NULL: an empty place */
  double score;
  uint32_t size;
  int32_t id;
} Entry;

struct SoraSpmSplit
{
  char *names;
  Entry *table;       /* open addressing */
  size_t mask;        /* places - 1 */
  uint32_t longest;   /* bytes of a piece */
  double unknown;     /* score of what no piece is for */
  int32_t unknown_id;
  int32_t byte_ids[256];
  int falls_back; /* on bytes */
};

/* What reaches a place of the text best. */
typedef struct
{
  double score;
  uint32_t from; /* where the last piece begins */
  int32_t id;
} Node;

#define NOTHING INT32_MIN

static uint64_t
hash_on (uint64_t hash, const char *bytes, size_t n)
{
  for (size_t i = 0; i < n; i++)
    hash = (hash ^ (uint8_t)bytes[i]) * HASH_FACTOR;
  return hash;
}

/* Where the piece is, or the empty place where it would be. */
static Entry *
find (const SoraSpmSplit *split, uint64_t hash, const char *name, size_t size)
{
  size_t at = (size_t)(hash ^ hash >> 32) & split->mask;
  while (split->table[at].name != NULL
         && (split->table[at].size != size || memcmp (split->table[at].name, name, size) != 0))
    at = (at + 1) & split->mask;
  return &split->table[at];
}

/* "<0xE3>" */
static int
byte_of (const SoraSpmPiece *piece)
{
  unsigned value = 0;
  if (piece->kind != SORA_SPM_BYTE || piece->size != 6)
    return -1;
  for (int i = 3; i < 5; i++)
    {
      const char c = piece->name[i];
      const unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                             : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                    : 16;
      if (digit > 15)
        return -1;
      value = value << 4 | digit;
    }
  return (int)value;
}

static int
is_text (const SoraSpmPiece *piece)
{
  return piece->kind == SORA_SPM_NORMAL || piece->kind == SORA_SPM_USER_DEFINED;
}

typedef struct
{
  size_t pieces, bytes; /* of those that text is made of */
  double lowest, highest;
} Survey;

static Survey
survey (const uint8_t *model, size_t size)
{
  Survey all = { .pieces = 0 };
  SoraSpmPiece piece;
  int any = 0;
  for (size_t at = 0; sora_spm_next_piece (model, size, &at, &piece);)
    {
      all.pieces += (size_t)is_text (&piece);
      all.bytes += is_text (&piece) ? piece.size : 0;
      if (piece.kind != SORA_SPM_NORMAL)
        continue;
      all.lowest = !any || (double)piece.score < all.lowest ? (double)piece.score : all.lowest;
      all.highest = !any || (double)piece.score > all.highest ? (double)piece.score : all.highest;
      any = 1;
    }
  return all;
}

static void
take_pieces (SoraSpmSplit *split, const uint8_t *model, size_t size, const Survey *all)
{
  SoraSpmPiece piece;
  char *name = split->names;
  int32_t id = 0;
  for (size_t at = 0; sora_spm_next_piece (model, size, &at, &piece); id++)
    {
      const int byte = byte_of (&piece);
      if (byte >= 0)
        split->byte_ids[byte] = id;
      if (piece.kind == SORA_SPM_UNKNOWN)
        split->unknown_id = id;
      if (!is_text (&piece))
        continue;
      memcpy (name, piece.name, piece.size);
      Entry *entry = find (split, hash_on (HASH_START, name, piece.size), name, piece.size);
      *entry = (Entry){ .name = name, .size = (uint32_t)piece.size, .id = id };
      entry->score = piece.kind == SORA_SPM_NORMAL
                         ? (double)piece.score
                         : (double)piece.size * all->highest - USER_DEFINED_BONUS;
      name += piece.size;
      if (piece.size > split->longest)
        split->longest = (uint32_t)piece.size;
    }
}

SoraSpmSplit *
sora_spm_split_new (const uint8_t *model, size_t size)
{
  const Survey all = survey (model, size);
  size_t places = 16;
  SoraSpmSplit *split = calloc (1, sizeof *split);
  if (split == NULL)
    return NULL;
  while (places < 2 * all.pieces)
    places *= 2;
  split->names = malloc (all.bytes + 1);
  split->table = calloc (places, sizeof *split->table);
  split->mask = places - 1;
  if (split->names == NULL || split->table == NULL)
    {
      sora_spm_split_free (split);
      return NULL;
    }
  for (int i = 0; i < 256; i++)
    split->byte_ids[i] = -1;
  split->unknown = all.lowest - UNKNOWN_PENALTY;
  split->falls_back = sora_spm_falls_back (model, size);
  take_pieces (split, model, size, &all);
  for (int i = 0; i < 256; i++)
    if (split->byte_ids[i] < 0)
      split->falls_back = 0; /* libsentencepiece refuses such a model */
  return split;
}

void
sora_spm_split_free (SoraSpmSplit *split)
{
  if (split == NULL)
    return;
  free (split->names);
  free (split->table);
  free (split);
}

int
sora_spm_split_byte (const SoraSpmSplit *split, int id)
{
  for (int i = 0; i < 256; i++)
    if (split->byte_ids[i] == id)
      return i;
  return -1;
}

/* Bytes of the character that begins with @first; the text is UTF-8. */
static size_t
character (uint8_t first)
{
  return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* A piece that comes later goes before only if it is worth more: of equal ones the longest stays. */
static void
offer (Node *node, double score, size_t from, int32_t id)
{
  if (node->id == NOTHING || score > node->score)
    *node = (Node){ .score = score, .from = (uint32_t)from, .id = id };
}

static void
offer_pieces (const SoraSpmSplit *split, const char *text, size_t length, Node *nodes, size_t from)
{
  const double till = nodes[from].score;
  const size_t first = character ((uint8_t)text[from]);
  uint64_t hash = HASH_START;
  int alone = 0;
  for (size_t to = from; to < length && to - from < split->longest;)
    {
      size_t step = character ((uint8_t)text[to]);
      step = step < length - to ? step : length - to;
      hash = hash_on (hash, text + to, step);
      to += step;
      const Entry *entry = find (split, hash, text + from, to - from);
      if (entry->name == NULL)
        continue;
      offer (&nodes[to], till + entry->score, from, entry->id);
      alone |= to - from == first;
    }
  if (!alone)
    offer (&nodes[first < length - from ? from + first : length], till + split->unknown, from,
           split->unknown_id);
}

/* From the end to the beginning; @ids has room for as many as there are bytes. */
static size_t
collect (const SoraSpmSplit *split, const char *text, const Node *nodes, size_t length, int64_t *ids)
{
  size_t n = 0;
  int after_unknown = 0;
  for (size_t at = length; at > 0; at = nodes[at].from)
    {
      const int unknown = nodes[at].id == split->unknown_id;
      if (unknown && split->falls_back)
        for (size_t i = at; i-- > nodes[at].from;)
          ids[n++] = split->byte_ids[(uint8_t)text[i]];
      else if (!unknown || !after_unknown) /* unknown ones in a row are one */
        ids[n++] = nodes[at].id;
      after_unknown = unknown;
    }
  for (size_t i = 0; i < n / 2; i++)
    {
      const int64_t swapped = ids[i];
      ids[i] = ids[n - 1 - i];
      ids[n - 1 - i] = swapped;
    }
  return n;
}

int
sora_spm_split (const SoraSpmSplit *split, const char *text, size_t length, int64_t **ids, size_t *n)
{
  Node *nodes = length < UINT32_MAX ? malloc ((length + 1) * sizeof *nodes) : NULL;
  *ids = nodes != NULL ? malloc ((length + 1) * sizeof **ids) : NULL;
  if (*ids == NULL)
    {
      free (nodes);
      return -1;
    }
  for (size_t i = 0; i <= length; i++)
    nodes[i].id = NOTHING;
  nodes[0].score = 0;
  for (size_t from = 0; from < length;)
    {
      offer_pieces (split, text, length, nodes, from);
      const size_t step = character ((uint8_t)text[from]);
      from = step < length - from ? from + step : length;
    }
  *n = collect (split, text, nodes, length, *ids);
  free (nodes);
  return 0;
}
