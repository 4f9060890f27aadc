/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Source: Yann Collet, "xxHash fast digest algorithm", version 0.1.1, section "XXH64 algorithm
 * description".  Four sums run side by side over 32 bytes at a time.
 */
#include "config.h"
#include "sora-xxh64.h"
#include <string.h>

#define PRIME_1 G_GUINT64_CONSTANT (0x9E3779B185EBCA87)
#define PRIME_2 G_GUINT64_CONSTANT (0xC2B2AE3D27D4EB4F)
#define PRIME_3 G_GUINT64_CONSTANT (0x165667B19E3779F9)
#define PRIME_4 G_GUINT64_CONSTANT (0x85EBCA77C2B2AE63)
#define PRIME_5 G_GUINT64_CONSTANT (0x27D4EB2F165667C5)

static inline guint64
rotate (guint64 value, int bits)
{
  return value << bits | value >> (64 - bits);
}

static inline guint64
read64 (const guint8 *at)
{
  guint64 value;
  memcpy (&value, at, sizeof value);
  return GUINT64_FROM_LE (value);
}

static inline guint64
round64 (guint64 sum, guint64 lane)
{
  return rotate (sum + lane * PRIME_2, 31) * PRIME_1;
}

static inline guint64
merge (guint64 sum, guint64 lane)
{
  return (sum ^ round64 (0, lane)) * PRIME_1 + PRIME_4;
}

guint64
sora_xxh64 (gconstpointer data, gsize size, guint64 seed)
{
  const guint8 *at = data, *end = at + size;
  guint64 sum = seed + PRIME_5;

  if (size >= 32)
    {
      guint64 a = seed + PRIME_1 + PRIME_2, b = seed + PRIME_2, c = seed, d = seed - PRIME_1;
      for (; end - at >= 32; at += 32)
        {
          a = round64 (a, read64 (at));
          b = round64 (b, read64 (at + 8));
          c = round64 (c, read64 (at + 16));
          d = round64 (d, read64 (at + 24));
        }
      sum = rotate (a, 1) + rotate (b, 7) + rotate (c, 12) + rotate (d, 18);
      sum = merge (merge (merge (merge (sum, a), b), c), d);
    }
  sum += size;
  for (; end - at >= 8; at += 8)
    sum = rotate (sum ^ round64 (0, read64 (at)), 27) * PRIME_1 + PRIME_4;
  if (end - at >= 4)
    {
      guint32 value;
      memcpy (&value, at, sizeof value);
      sum = rotate (sum ^ GUINT32_FROM_LE (value) * PRIME_1, 23) * PRIME_2 + PRIME_3;
      at += 4;
    }
  for (; at < end; at++)
    sum = rotate (sum ^ *at * PRIME_5, 11) * PRIME_1;
  sum = (sum ^ sum >> 33) * PRIME_2;
  sum = (sum ^ sum >> 29) * PRIME_3;
  return sum ^ sum >> 32;
}
