/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Changes to texts and to JSON.  Nothing is parsed into a tree: a place is taken at random, and the
 * value that begins behind it is found by its brackets and quotes, which is quick, and works on
 * what earlier changes have damaged.
 */
#include "config.h"
#include <string.h>
#include "mutate.h"

gboolean
mutation_splice (Mutation *m, size_t begin, size_t end, const void *with, size_t length)
{
  if (begin > end || end > m->size || m->size - (end - begin) + length > m->max)
    return FALSE;
  /* What is put in may be a part of what is there. */
  g_autofree uint8_t *copy = g_memdup2 (with, length);
  memmove (m->data + begin + length, m->data + end, m->size - end);
  if (length > 0)
    memcpy (m->data + begin, copy, length);
  m->size = m->size - (end - begin) + length;
  return TRUE;
}

void
mutation_bytes (Mutation *m, size_t begin, size_t end, size_t most)
{
  size_t size = end - begin;
  size_t room = MIN (most, size + (m->max - m->size));
  if (room == 0 || room < size)
    return;
  g_autofree uint8_t *copy = g_malloc (room);
  memcpy (copy, m->data + begin, size);
  size = LLVMFuzzerMutate (copy, size, room);
  (void)mutation_splice (m, begin, end, copy, size);
}

/* ---- JSON */

static gboolean
is_space (uint8_t byte)
{
  return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r';
}

static size_t
skip_space (const Mutation *m, size_t at)
{
  while (at < m->size && is_space (m->data[at]))
    at++;
  return at;
}

static size_t
string_end (const Mutation *m, size_t at)
{
  for (at++; at < m->size && m->data[at] != '"'; at++)
    if (m->data[at] == '\\')
      at++;
  return MIN (at + 1, m->size);
}

static size_t
value_end (const Mutation *m, size_t at)
{
  int depth = 0;
  if (at >= m->size)
    return m->size;
  if (m->data[at] == '"')
    return string_end (m, at);
  if (m->data[at] == '{' || m->data[at] == '[')
    {
      while (at < m->size)
        if (m->data[at] == '"')
          at = string_end (m, at);
        else
          {
            uint8_t byte = m->data[at++];
            depth += (byte == '{' || byte == '[') - (byte == '}' || byte == ']');
            if (depth == 0)
              break;
          }
      return at;
    }
  while (at < m->size && !is_space (m->data[at]) && strchr (",:]}", m->data[at]) == NULL)
    at++;
  return at;
}

static gboolean
begins_value (uint8_t byte)
{
  return !is_space (byte) && byte != '\0' && strchr (",:]}", byte) == NULL;
}

/* The first value behind a random place; a string's inside may be taken for one, now and then. */
static gboolean
pick (Mutation *m, size_t *begin, size_t *end)
{
  if (m->size == 0)
    return FALSE;
  size_t start = mutation_random (m, (uint32_t)m->size), at = start;
  /* From the middle of a word or of a string to behind it. */
  while (at < m->size && begins_value (m->data[at]))
    at++;
  for (size_t tries = 0; tries <= m->size; tries++, at++)
    {
      at = at >= m->size ? 0 : at;
      if (begins_value (m->data[at]))
        {
          *begin = at;
          *end = value_end (m, at);
          return *end > at;
        }
    }
  return FALSE;
}

/* A key is taken with its value. */
static size_t
member_end (const Mutation *m, size_t end)
{
  size_t at = skip_space (m, end);
  if (at >= m->size || m->data[at] != ':')
    return end;
  return value_end (m, skip_space (m, at + 1));
}

static const char *const literals[]
    = { "0",     "1",         "-1",    "2",    "3",      "4",           "8",
        "16",    "128",       "255",   "1e9",  "0.5",    "1e-6",        "2147483648",
        "65536", "65537",     "1e309", "true", "false",  "null",        "9223372036854775807",
        "\"\"",  "[]",        "{}",    "[[]]", "[null]", "\"\\u0000\"", "18446744073709551616",
        "-0",    "4294967296" };

static size_t
make_value (Mutation *m, const char *const *words, char *out, size_t room)
{
  guint n = g_strv_length ((char **)words);
  if (n > 0 && mutation_random (m, 3) > 0)
    return (size_t)g_snprintf (out, (gulong)room, "\"%s\"", words[mutation_random (m, n)]);
  if (mutation_random (m, 3) == 0)
    return (size_t)g_snprintf (out, (gulong)room, "%u",
                               mutation_random (m, 1u << mutation_random (m, 20)));
  return (size_t)g_snprintf (out, (gulong)room, "%s",
                             literals[mutation_random (m, G_N_ELEMENTS (literals))]);
}

static void
change_number (Mutation *m, size_t begin, size_t end)
{
  char text[48] = "";
  memcpy (text, m->data + begin, MIN (end - begin, sizeof text - 1));
  gint64 value = g_ascii_strtoll (text, NULL, 10);
  switch (mutation_random (m, 6))
    {
    case 0:
      value = (gint64)((guint64)value + 1);
      break;
    case 1:
      value = (gint64)((guint64)value - 1);
      break;
    case 2:
      value = (gint64)((guint64)value * 2);
      break;
    case 3:
      value /= 2;
      break;
    case 4:
      value = (gint64)(0 - (guint64)value);
      break;
    default:
      value = mutation_random (m, 1000);
    }
  g_snprintf (text, sizeof text, "%" G_GINT64_FORMAT, value);
  (void)mutation_splice (m, begin, end, text, strlen (text));
}

static void
remove_value (Mutation *m, size_t begin, size_t end)
{
  size_t after = skip_space (m, end);
  if (after < m->size && m->data[after] == ',')
    end = after + 1;
  else
    {
      while (begin > 0 && is_space (m->data[begin - 1]))
        begin--;
      if (begin > 0 && m->data[begin - 1] == ',')
        begin--;
    }
  (void)mutation_splice (m, begin, end, NULL, 0);
}

static void
repeat_value (Mutation *m, size_t begin, size_t end)
{
  g_autofree char *again = g_strdup_printf (",%.*s", (int)(end - begin), (char *)m->data + begin);
  (void)mutation_splice (m, end, end, again, strlen (again));
}

void
mutation_json (Mutation *m, const char *const *words)
{
  char text[160];
  size_t begin, end, other, other_end;
  if (!pick (m, &begin, &end))
    {
      (void)mutation_splice (m, 0, m->size, "{}", 2);
      return;
    }
  uint8_t first = m->data[begin];
  size_t whole = member_end (m, end);
  switch (mutation_random (m, 10))
    {
    case 0:
    case 1:
      (void)mutation_splice (m, begin, end, text, make_value (m, words, text, sizeof text));
      break;
    case 2:
    case 3:
      if (g_ascii_isdigit (first) || first == '-')
        change_number (m, begin, end);
      else
        (void)mutation_splice (m, begin, end, text, make_value (m, words, text, sizeof text));
      break;
    case 4:
      remove_value (m, begin, whole);
      break;
    case 5:
      repeat_value (m, begin, whole);
      break;
    case 6:
      if (pick (m, &other, &other_end))
        (void)mutation_splice (m, begin, end, m->data + other, other_end - other);
      break;
    case 7: /* a new member, or entry, at the beginning of what has such */
      if (first == '{' || first == '[')
        {
          char value[80];
          (void)make_value (m, words, value, sizeof value);
          guint n = g_strv_length ((char **)words);
          const char *key = n > 0 ? words[mutation_random (m, n)] : "";
          if (first == '{')
            g_snprintf (text, sizeof text, "\"%s\":%s,", key, value);
          else
            g_snprintf (text, sizeof text, "%s,", value);
          (void)mutation_splice (m, begin + 1, begin + 1, text, strlen (text));
        }
      else
        mutation_bytes (m, begin, end, end - begin + 16);
      break;
    case 8:
      if (mutation_splice (m, end, end, "]", 1))
        (void)mutation_splice (m, begin, begin, "[", 1);
      break;
    default:
      mutation_bytes (m, begin, end, end - begin + 16);
    }
}
