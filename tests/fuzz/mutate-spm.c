/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See mutate-spm.h.  A model is a row of fields; one of them is changed inside, made anew, repeated
 * or left out, and lengths are written again.
 */
#include "config.h"
#include <math.h>
#include <string.h>
#include "mutate-spm.h"

#define MAX_FIELDS 512

typedef struct
{
  size_t begin, body, end; /* the tag; the bytes of a message or text, else of the value; its end */
  unsigned number, wire;
} Field;

static gboolean
varint (const Mutation *m, size_t *at, size_t end, uint64_t *value)
{
  *value = 0;
  for (unsigned shift = 0; shift < 64 && *at < end; shift += 7)
    {
      uint8_t byte = m->data[(*at)++];
      *value |= (uint64_t)(byte & 0x7F) << shift;
      if (byte < 0x80)
        return TRUE;
    }
  return FALSE;
}

/* Those that can be read; what is behind a damaged one is let alone. */
static guint
split (const Mutation *m, size_t at, size_t end, Field *fields)
{
  guint n = 0;
  while (n < MAX_FIELDS && at < end)
    {
      Field *f = &fields[n];
      uint64_t tag, length = 0;
      f->begin = at;
      if (!varint (m, &at, end, &tag))
        break;
      f->number = (unsigned)(tag >> 3);
      f->wire = (unsigned)(tag & 7);
      f->body = at;
      if (f->wire == 0 && !varint (m, &at, end, &length))
        break;
      if (f->wire == 2 && !varint (m, &at, end, &length))
        break;
      if (f->wire == 2)
        f->body = at;
      if (f->wire == 0)
        length = 0;
      if (f->wire == 1 || f->wire == 5)
        length = f->wire == 1 ? 8 : 4;
      if (f->wire == 3 || f->wire == 4 || f->wire > 5 || length > end - at)
        break;
      at += length;
      f->end = at;
      n++;
    }
  return n;
}

static size_t
put_varint (uint8_t *out, uint64_t value)
{
  size_t n = 0;
  for (; value >= 0x80; value >>= 7)
    out[n++] = (uint8_t)(value | 0x80);
  out[n++] = (uint8_t)value;
  return n;
}

/* A field of bytes. */
static GByteArray *
put_field (GByteArray *out, unsigned number, const void *data, size_t size)
{
  uint8_t head[20];
  size_t n = put_varint (head, number << 3 | 2);
  n += put_varint (head + n, size);
  g_byte_array_append (out, head, (guint)n);
  return g_byte_array_append (out, data, (guint)size);
}

static GByteArray *
make_piece (Mutation *m)
{
  static const char *const names[] = { "<unk>",
                                       "<s>",
                                       "</s>",
                                       "<pad>",
                                       "a",
                                       "b",
                                       "ab",
                                       "abc",
                                       "\xE2\x96\x81",
                                       "\xE2\x96\x81"
                                       "a",
                                       "<0x00>",
                                       "<0x41>",
                                       "<0xFF>",
                                       "<0xE2>",
                                       "<extra_id_0>",
                                       "<extra_id_99>",
                                       "\xC3\xA9",
                                       "\xF0\x9F\x98\x80",
                                       "",
                                       "\xC3",
                                       "<0xGG>",
                                       "\n",
                                       "<mask>" };
  static const float scores[] = { 0, -1, -3.5f, 1, 1e6f, -1e6f, 1e7f, INFINITY, NAN, -0.0f };
  GByteArray *piece = g_byte_array_new ();
  const char *name = names[mutation_random (m, G_N_ELEMENTS (names))];
  if (mutation_random (m, 12) == 0)
    {
      static const size_t sizes[] = { 255, 256, 257, 511, 512, 513, 700 };
      size_t size = sizes[mutation_random (m, G_N_ELEMENTS (sizes))];
      g_autofree char *longer = g_malloc (size);
      memset (longer, 'a', size);
      put_field (piece, 1, longer, size);
    }
  else
    put_field (piece, 1, name, strlen (name));
  if (mutation_random (m, 4) > 0)
    {
      uint8_t score[5] = { 2 << 3 | 5 };
      memcpy (score + 1, &scores[mutation_random (m, G_N_ELEMENTS (scores))], 4);
      g_byte_array_append (piece, score, sizeof score);
    }
  if (mutation_random (m, 2) == 0)
    {
      uint8_t kind[2] = { 3 << 3, (uint8_t)mutation_random (m, 8) };
      g_byte_array_append (piece, kind, sizeof kind);
    }
  return piece;
}

/* The settings of a normalizer with a map of 256 or 512 units, most of which lead inside. */
static GByteArray *
make_normalizer (Mutation *m)
{
  static const char strings[] = "a\0bc\0\xC3\xA9\0 \0";
  uint32_t units = 256u << mutation_random (m, 2);
  uint32_t head = GUINT32_TO_LE (4 * units);
  g_autoptr (GByteArray) map = g_byte_array_new ();
  g_byte_array_append (map, (uint8_t *)&head, 4);
  for (uint32_t i = 0; i < units; i++)
    {
      uint32_t unit = 0x80000000u | mutation_random (m, 8);
      if (mutation_random (m, 4) == 0)
        unit = mutation_random (m, units) << 10 | (mutation_random (m, 4) == 0 ? 0x100u : 0)
               | (i & 0xFF);
      unit = GUINT32_TO_LE (unit);
      g_byte_array_append (map, (uint8_t *)&unit, 4);
    }
  g_byte_array_append (map, (const uint8_t *)strings, sizeof strings - 1);
  GByteArray *settings = g_byte_array_new ();
  put_field (settings, 1, "nmt_nfkc", 8);
  put_field (settings, 2, map->data, map->len);
  for (uint8_t flag = 3; flag <= 5; flag++)
    {
      uint8_t field[2] = { (uint8_t)(flag << 3), (uint8_t)mutation_random (m, 2) };
      g_byte_array_append (settings, field, sizeof field);
    }
  return settings;
}

static void
add_made (Mutation *m, size_t at)
{
  static const uint8_t trainer[] = { 3 << 3, 1 };
  g_autoptr (GByteArray) field = g_byte_array_new ();
  g_autoptr (GByteArray) inner = NULL;
  switch (mutation_random (m, 8))
    {
    case 0:
      put_field (field, 2, trainer, sizeof trainer);
      break;
    case 1:
    case 2:
      inner = make_normalizer (m);
      put_field (field, mutation_random (m, 4) == 0 ? 5 : 3, inner->data, inner->len);
      break;
    default:
      inner = make_piece (m);
      put_field (field, 1, inner->data, inner->len);
    }
  (void)mutation_splice (m, at, at, field->data, field->len);
}

/* Lets @change at the inside of a field, and writes its length again. */
static void
change_inside (Mutation *m, const Field *f, void (*change) (Mutation *inside))
{
  size_t size = f->end - f->body;
  g_autofree uint8_t *copy = g_malloc (m->max);
  g_autoptr (GByteArray) field = g_byte_array_new ();
  memcpy (copy, m->data + f->body, size);
  Mutation inside = { copy, size, m->max - (m->size - size), m->state };
  change (&inside);
  m->state = inside.state;
  put_field (field, f->number, copy, inside.size);
  (void)mutation_splice (m, f->begin, f->end, field->data, field->len);
}

static void
change_bytes (Mutation *m)
{
  m->size = LLVMFuzzerMutate (m->data, m->size, m->max);
}

static void
change_map (Mutation *m)
{
  if (m->size < 8 || mutation_random (m, 4) == 0)
    {
      change_bytes (m);
      return;
    }
  size_t at = 4 + 4 * (size_t)mutation_random (m, (uint32_t)(m->size - 4) / 4);
  uint32_t unit;
  memcpy (&unit, m->data + at, 4);
  if (mutation_random (m, 2) == 0)
    unit ^= 1u << mutation_random (m, 32);
  else
    unit = mutation_random (m, 1024) << 10 | (mutation_random (m, 8) << 8) | (unit & 0xFF);
  memcpy (m->data + at, &unit, 4);
}

static void
change_fields (Mutation *m)
{
  Field fields[MAX_FIELDS];
  guint n = split (m, 0, m->size, fields);
  if (n == 0)
    {
      change_bytes (m);
      return;
    }
  const Field *f = &fields[mutation_random (m, n)];
  if (f->wire == 2 && mutation_random (m, 4) > 0)
    change_inside (m, f, f->end - f->body > 1024 ? change_map : change_bytes);
  else
    mutation_bytes (m, f->body, f->end, f->end - f->body + 4);
}

void
mutation_spm (Mutation *m)
{
  Field fields[MAX_FIELDS];
  guint n = split (m, 0, m->size, fields);
  if (n == 0)
    {
      add_made (m, 0);
      return;
    }
  const Field *f = &fields[mutation_random (m, n)], *g = &fields[mutation_random (m, n)];
  switch (mutation_random (m, 8))
    {
    case 0:
      change_bytes (m);
      break;
    case 1:
      add_made (m, f->begin);
      break;
    case 2:
      (void)mutation_splice (m, f->begin, f->end, NULL, 0);
      break;
    case 3:
      (void)mutation_splice (m, f->begin, f->begin, m->data + g->begin, g->end - g->begin);
      break;
    case 4:
      mutation_bytes (m, f->body, f->end, f->end - f->body + 16);
      break;
    default:
      if (f->wire == 2)
        change_inside (m, f, change_fields);
      else
        change_bytes (m);
    }
}
