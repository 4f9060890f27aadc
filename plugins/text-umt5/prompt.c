/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * prompt.c: cleaning of prompts as diffusers' WanPipeline does it (pipeline_wan.py, prompt_clean),
 * byte for byte: Python's html.unescape twice, strip, `\s+` folded to one space.  A model has seen
 * text in this form and no other.
 */
#include "prompt.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "html-entities.h"

#define N_ENTITIES (sizeof sora_html_entities / sizeof sora_html_entities[0])
#define LONGEST_NAME 32

/* Bytes of the UTF-8 sequence at p, and its code point; 0 if there is no valid one in `left` bytes.
 */
static size_t
decode (const char *p, size_t left, uint32_t *point)
{
  static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
  const unsigned char *s = (const unsigned char *)p;
  size_t n = s[0] < 0x80                   ? 1
             : s[0] >= 0xC2 && s[0] < 0xE0 ? 2
             : (s[0] & 0xF0) == 0xE0       ? 3
             : s[0] >= 0xF0 && s[0] < 0xF5 ? 4
                                           : 0;
  uint32_t c;

  if (n == 0 || n > left)
    return 0;
  c = n == 1 ? s[0] : s[0] & (0xFFu >> (n + 1));
  for (size_t i = 1; i < n; i++)
    {
      if ((s[i] & 0xC0) != 0x80)
        return 0;
      c = c << 6 | (s[i] & 0x3F);
    }
  if (c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
    return 0;
  *point = c;
  return n;
}

static size_t
encode (uint32_t c, char *out)
{
  size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

  if (n == 1)
    {
      out[0] = (char)c;
      return 1;
    }
  for (size_t i = n - 1; i > 0; i--, c >>= 6)
    out[i] = (char)(0x80 | (c & 0x3F));
  out[0] = (char)((0xF00u >> n) | c);
  return n;
}

int
sora_prompt_is_utf8 (const char *text, size_t length, size_t *at)
{
  uint32_t point;

  for (size_t i = 0, n; i < length; i += n)
    {
      n = decode (text + i, length - i, &point);
      if (n == 0)
        {
          if (at != NULL)
            *at = i;
          return 0;
        }
    }
  return 1;
}

/* ------------------------------------------------------------------------------ references -- */

static int
find_entity (const char *name, size_t length)
{
  size_t lo = 0, hi = N_ENTITIES;

  while (lo < hi)
    {
      size_t mid = (lo + hi) / 2;
      int order = strncmp (sora_html_entities[mid].name, name, length);

      if (order == 0 && sora_html_entities[mid].name[length] != '\0')
        order = 1;
      if (order == 0)
        return (int)mid;
      if (order < 0)
        lo = mid + 1;
      else
        hi = mid;
    }
  return -1;
}

/* What HTML makes of the numbers 128 to 159: they are taken for windows-1252. */
static const uint16_t c1_controls[32]
    = { 0x20AC, 0x81,   0x201A, 0x192,  0x201E, 0x2026, 0x2020, 0x2021, 0x2C6,  0x2030, 0x160,
        0x2039, 0x152,  0x8D,   0x17D,  0x8F,   0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
        0x2013, 0x2014, 0x2DC,  0x2122, 0x161,  0x203A, 0x153,  0x9D,   0x17E,  0x178 };

/* The code point that a number stands for; 0: it vanishes.  Python: _invalid_charrefs,
 * _invalid_codepoints. */
static uint32_t
numeric_point (uint32_t n)
{
  if (n == 0)
    return 0xFFFD;
  if (n >= 0x80 && n <= 0x9F)
    return c1_controls[n - 0x80];
  if (n == 0x0D)
    return n;
  if (n > 0x10FFFF || (n >= 0xD800 && n <= 0xDFFF))
    return 0xFFFD;
  if ((n >= 0x1 && n <= 0x8) || n == 0xB || (n >= 0xE && n <= 0x1F) || n == 0x7F
      || (n >= 0xFDD0 && n <= 0xFDEF) || (n & 0xFFFE) == 0xFFFE)
    return 0;
  return n;
}

static int
digit_value (char c, uint32_t base)
{
  if (c >= '0' && c <= '9')
    return c - '0';
  if (base == 16 && c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (base == 16 && c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return -1;
}

/* A numeric reference whose '#' is at p: writes what it stands for, gives the bytes read, 0 if it
 * is none. */
static size_t
numeric_reference (const char *p, const char *end, char *out, size_t *written)
{
  const char *q = p + 1, *first;
  uint32_t base = 10, n = 0, point;

  if (q < end && (*q == 'x' || *q == 'X'))
    {
      base = 16;
      q++;
    }
  for (first = q; q < end && digit_value (*q, base) >= 0; q++)
    if (n <= 0x10FFFF) /* past that it only grows: stay there */
      n = n * base + (uint32_t)digit_value (*q, base);
  if (q == first)
    return 0;
  if (q < end && *q == ';')
    q++;
  point = numeric_point (n);
  *written = point == 0 ? 0 : encode (point, out);
  return (size_t)(q - p);
}

/* A named reference that may begin at p, after the ampersand.  What follows the name stays text:
 * `read` is what is used up of the input, of which the last `kept` bytes are copied as they are. */
static size_t
named_reference (const char *p, const char *end, char *out, size_t *written, size_t *kept)
{
  const char *q = p;
  size_t whole;
  int found;
  uint32_t point;

  for (int i = 0; i < LONGEST_NAME && q < end && strchr ("\t\n\f <&#;", *q) == NULL; i++)
    q += decode (q, (size_t)(end - q), &point);
  if (q == p)
    return 0;
  if (q < end && *q == ';')
    q++;
  whole = (size_t)(q - p);
  *written = 0;
  *kept = whole;
  for (size_t n = whole; n > 1; n--)
    {
      found = find_entity (p, n);
      if (found < 0)
        continue;
      *written = encode (sora_html_entities[found].a, out);
      if (sora_html_entities[found].b != 0)
        *written += encode (sora_html_entities[found].b, out + *written);
      *kept = whole - n;
      break;
    }
  return whole;
}

char *
sora_html_unescape (const char *text, size_t length, size_t *out_length)
{
  /* No reference grows to twice its length: the worst is "&nGt;", 5 bytes that become 6. */
  char *out = malloc (2 * length + 16);
  const char *p = text, *end = text + length;
  size_t n = 0;

  if (out == NULL)
    return NULL;
  while (p < end)
    {
      const char *amp = memchr (p, '&', (size_t)(end - p));
      size_t plain = (size_t)((amp != NULL ? amp : end) - p), read, written = 0, kept = 0;

      memcpy (out + n, p, plain);
      n += plain;
      p += plain;
      if (amp == NULL)
        break;
      p++;
      if (p < end && *p == '#')
        read = numeric_reference (p, end, out + n, &written);
      else
        read = named_reference (p, end, out + n, &written, &kept);
      if (read == kept) /* no reference: the ampersand itself, and what was read after it */
        out[n++] = '&';
      n += written;
      memcpy (out + n, p + read - kept, kept);
      n += kept;
      p += read;
    }
  out[n] = '\0';
  *out_length = n;
  return out;
}

/* ----------------------------------------------------------------------------- white space -- */

/* Unicode's White_Space property: what `\s` folds in the regex module. */
static int
is_space (uint32_t c)
{
  return (c >= 0x9 && c <= 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680
         || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F
         || c == 0x3000;
}

/* What str.strip() takes off the ends: the same and four separators. */
static int
is_strippable (uint32_t c)
{
  return is_space (c) || (c >= 0x1C && c <= 0x1F);
}

/* Offsets of what is left of text when its ends are stripped. */
static void
strip (const char *text, size_t *start, size_t *end)
{
  uint32_t c;
  size_t last = *start, n;

  while (*start < *end && (n = decode (text + *start, *end - *start, &c)) > 0 && is_strippable (c))
    *start += n;
  last = *start;
  for (size_t i = *start; i < *end && (n = decode (text + i, *end - i, &c)) > 0; i += n)
    if (!is_strippable (c))
      last = i + n;
  *end = last;
}

char *
sora_prompt_clean (const char *prompt, size_t *length)
{
  size_t once_length, twice_length, start = 0, end, n = 0, step;
  char *once = sora_html_unescape (prompt, strlen (prompt), &once_length);
  char *out = once == NULL ? NULL : sora_html_unescape (once, once_length, &twice_length);
  int in_space = 0;
  uint32_t c;

  free (once);
  if (out == NULL)
    return NULL;
  end = twice_length;
  strip (out, &start, &end);
  /* Folding only shortens: it is done in place. */
  for (size_t i = start; i < end; i += step)
    {
      step = decode (out + i, end - i, &c);
      if (step == 0)
        break;
      if (!is_space (c))
        {
          memmove (out + n, out + i, step);
          n += step;
        }
      else if (!in_space)
        out[n++] = ' ';
      in_space = is_space (c);
    }
  out[n] = '\0';
  *length = n;
  return out;
}
