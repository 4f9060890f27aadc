/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target: the head of a file of packed weights.  The first byte says what is put right before it is
 * read (1: its checksum, 2: the size of the file) and whether it is cut short (4); the next 8 are the size
 * of the file, and the rest the head's beginning, which zeros follow.  What is taken is written the same
 * again.
 */
#include "config.h"
#include "fuzz.h"
#include "sora-packed-header.h"
#include "sora-xxh64.h"
#include <string.h>

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *head = g_malloc0 (SORA_PACKED_HEADER_SIZE);
  guint8 again[SORA_PACKED_HEADER_SIZE];
  SoraPackedHeader header;
  guint64 file_size, data_size, sum;

  if (size < 9)
    return 0;
  memcpy (&file_size, data + 1, 8);
  file_size = GUINT64_FROM_LE (file_size);
  gsize n = MIN (size - 9, SORA_PACKED_HEADER_SIZE);
  memcpy (head, data + 9, n);
  if ((data[0] & 1) != 0)
    {
      sum = GUINT64_TO_LE (sora_xxh64 (head, SORA_PACKED_HEADER_SIZE - 8, 0));
      memcpy (head + SORA_PACKED_HEADER_SIZE - 8, &sum, sizeof sum);
    }
  memcpy (&data_size, head + 16, sizeof data_size);
  if ((data[0] & 2) != 0)
    file_size = GUINT64_FROM_LE (data_size) + SORA_PACKED_HEADER_SIZE;
  if ((data[0] & 4) == 0)
    n = SORA_PACKED_HEADER_SIZE;
  /* What is read past @n the sanitizer sees. */
  g_autofree guint8 *bytes = g_memdup2 (head, n);
  gboolean ok = sora_packed_header_parse (bytes, n, file_size, &header, &error);
  MUST_TELL (ok, error);
  if (!ok)
    return 0;
  MUST (header.size > 0 && header.size == file_size - SORA_PACKED_HEADER_SIZE);
  MUST (strlen (header.key) == 64 && strlen (header.label) < SORA_PACKED_LABEL_SIZE);
  MUST (g_utf8_validate (header.label, -1, NULL));
  sora_packed_header_write (&header, again);
  MUST (memcmp (again, head, sizeof again) == 0);
  return 0;
}
