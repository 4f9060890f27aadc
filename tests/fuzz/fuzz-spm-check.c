/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target: the look at a tokenizer's model before libsentencepiece reads it.  What is accepted
 * is gone through once more here, with another reader: everything that the library would believe
 * has to hold.
 */
#include "config.h"
#include <string.h>
#include "mutate-spm.h"
#include "plugins/text-umt5/spm-check.h"

typedef struct
{
  const uint8_t *p, *end;
} Reader;

static uint64_t
varint (Reader *r)
{
  uint64_t value = 0;
  for (unsigned shift = 0;; shift += 7)
    {
      MUST (r->p < r->end && shift < 64);
      uint8_t byte = *r->p++;
      value |= (uint64_t)(byte & 0x7F) << shift;
      if (byte < 0x80)
        return value;
    }
}

/* The next field's number; @value is its number or its bytes. */
static unsigned
field (Reader *r, Reader *value)
{
  uint64_t tag = varint (r), length = 0;
  const uint8_t *begin = r->p;
  switch (tag & 7)
    {
    case 0:
      (void)varint (r);
      length = (uint64_t)(r->p - begin);
      r->p = begin;
      break;
    case 1:
      length = 8;
      break;
    case 2:
      length = varint (r);
      break;
    case 5:
      length = 4;
      break;
    default:
      MUST (FALSE);
    }
  MUST (length <= (uint64_t)(r->end - r->p));
  *value = (Reader){ r->p, r->p + length };
  r->p += length;
  return (unsigned)(tag >> 3);
}

static void
must_be_piece (Reader piece)
{
  Reader value, name = { 0 };
  while (piece.p < piece.end)
    if (field (&piece, &value) == 1)
      name = value;
  size_t size = (size_t)(name.end - name.p);
  MUST (size > 0 && size <= SORA_SPM_MAX_PIECE_BYTES);
  MUST (g_utf8_validate ((const char *)name.p, (gssize)size, NULL));
}

static uint32_t
unit_at (const uint8_t *trie, size_t i)
{
  uint32_t unit;
  memcpy (&unit, trie + 4 * i, 4);
  return GUINT32_FROM_LE (unit);
}

/* As darts-clone walks: each byte of a text leads to a unit, or nowhere. */
static void
must_walk (const uint8_t *trie, size_t units, size_t blob_size, const char *text)
{
  size_t at = 0;
  uint32_t unit = unit_at (trie, 0);
  at ^= (size_t)(unit >> 10) << ((unit & 0x200) >> 6);
  for (; *text != '\0'; text++)
    {
      at ^= (uint8_t)*text;
      MUST (at < units);
      unit = unit_at (trie, at);
      if ((unit & 0x800000FFu) != (uint8_t)*text)
        return;
      at ^= (size_t)(unit >> 10) << ((unit & 0x200) >> 6);
      MUST (at < units);
      if (unit & 0x100)
        MUST ((unit_at (trie, at) & 0x7FFFFFFFu) < blob_size);
    }
}

static void
must_be_map (Reader map)
{
  size_t size = (size_t)(map.end - map.p);
  uint32_t trie;
  if (size == 0)
    return;
  MUST (size > 4);
  memcpy (&trie, map.p, 4);
  trie = GUINT32_FROM_LE (trie);
  MUST (trie % 1024 == 0 && trie < size - 4);
  MUST (map.end[-1] == 0);
  static const char *const texts[]
      = { "a", "A", " ", "\xC3\xA9", "\xEF\xBC\xA1\xEF\xBC\xA2", "\xF0\x9F\x98\x80", "\x7F\x01zz" };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    must_walk (map.p + 4, trie / 4, size - 4 - trie, texts[i]);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree uint8_t *model = g_memdup2 (data, size);
  char why[256] = "";
  int64_t pieces = sora_spm_check (model, size, why, sizeof why), n = 0;
  MUST (pieces != 0 && (pieces < 0) == (why[0] != '\0'));
  MUST (g_utf8_validate (why, -1, NULL));
  if (pieces < 0)
    return 0;
  Reader r = { model, model + size }, value, inner;
  while (r.p < r.end)
    switch (field (&r, &value))
      {
      case 1:
        must_be_piece (value);
        n++;
        break;
      case 3:
      case 5:
        while (value.p < value.end)
          if (field (&value, &inner) == 2)
            must_be_map (inner);
        break;
      default:
        break;
      }
  MUST (n == pieces);
  return 0;
}

size_t
LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
  Mutation m = mutation_begin (data, size, max_size, seed);
  mutation_spm (&m);
  return m.size;
}
