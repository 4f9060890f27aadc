/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Writes and reads the head of a file of packed weights.  Nothing in it is believed that does not
 * follow from the size of the file or from a sum.
 */
#include "config.h"
#include "sora-packed-header.h"
#include "sora-error.h"
#include "sora-xxh64.h"
#include <string.h>

#define MAGIC "SORAPCK1"
#define AT_HEADER_SIZE 8
#define AT_LABEL_LENGTH 12
#define AT_SIZE 16
#define AT_SUM 24
#define AT_KEY 32
#define AT_LABEL 96
#define AT_OWN_SUM (SORA_PACKED_HEADER_SIZE - 8)

static void
put32 (guint8 *at, guint32 value)
{
  value = GUINT32_TO_LE (value);
  memcpy (at, &value, sizeof value);
}

static void
put64 (guint8 *at, guint64 value)
{
  value = GUINT64_TO_LE (value);
  memcpy (at, &value, sizeof value);
}

static guint32
get32 (const guint8 *at)
{
  guint32 value;
  memcpy (&value, at, sizeof value);
  return GUINT32_FROM_LE (value);
}

static guint64
get64 (const guint8 *at)
{
  guint64 value;
  memcpy (&value, at, sizeof value);
  return GUINT64_FROM_LE (value);
}

void
sora_packed_header_write (const SoraPackedHeader *header, guint8 bytes[SORA_PACKED_HEADER_SIZE])
{
  g_autofree char *label = g_utf8_make_valid (header->label, -1);

  for (char *c = label; *c != '\0'; c++)
    if (g_ascii_iscntrl (*c))
      *c = ' ';
  if (strlen (label) >= SORA_PACKED_LABEL_SIZE)
    *g_utf8_find_prev_char (label, label + SORA_PACKED_LABEL_SIZE) = '\0';
  memset (bytes, 0, SORA_PACKED_HEADER_SIZE);
  memcpy (bytes, MAGIC, 8);
  put32 (bytes + AT_HEADER_SIZE, SORA_PACKED_HEADER_SIZE);
  put32 (bytes + AT_LABEL_LENGTH, (guint32)strlen (label));
  put64 (bytes + AT_SIZE, header->size);
  put64 (bytes + AT_SUM, header->sum);
  memcpy (bytes + AT_KEY, header->key, 64);
  memcpy (bytes + AT_LABEL, label, strlen (label));
  put64 (bytes + AT_OWN_SUM, sora_xxh64 (bytes, AT_OWN_SUM, 0));
}

static gboolean
is_label (const char *label, gsize length)
{
  if (!g_utf8_validate (label, (gssize)length, NULL))
    return FALSE;
  for (gsize i = 0; i < length; i++)
    if (g_ascii_iscntrl (label[i]))
      return FALSE;
  return TRUE;
}

gboolean
sora_packed_header_parse (const guint8 *bytes, gsize n, guint64 file_size, SoraPackedHeader *header,
                          GError **error)
{
  memset (header, 0, sizeof *header);
  if (n < SORA_PACKED_HEADER_SIZE || file_size <= SORA_PACKED_HEADER_SIZE)
    sora_error_set (error, SORA_ERROR_FAILED,
                    "it has %" G_GUINT64_FORMAT " bytes, expected more than %u", file_size,
                    SORA_PACKED_HEADER_SIZE);
  else if (memcmp (bytes, MAGIC, 8) != 0
           || get32 (bytes + AT_HEADER_SIZE) != SORA_PACKED_HEADER_SIZE)
    sora_error_set (error, SORA_ERROR_FAILED, "it does not begin as a file of packed weights");
  else if (get64 (bytes + AT_OWN_SUM) != sora_xxh64 (bytes, AT_OWN_SUM, 0))
    sora_error_set (error, SORA_ERROR_FAILED, "its head is damaged");
  else if (get64 (bytes + AT_SIZE) != file_size - SORA_PACKED_HEADER_SIZE)
    sora_error_set (error, SORA_ERROR_FAILED,
                    "it holds %" G_GUINT64_FORMAT " bytes of data, expected %" G_GUINT64_FORMAT,
                    file_size - SORA_PACKED_HEADER_SIZE, get64 (bytes + AT_SIZE));
  else
    {
      const char *key = (const char *)bytes + AT_KEY, *label = (const char *)bytes + AT_LABEL;
      const guint32 length = get32 (bytes + AT_LABEL_LENGTH);
      for (int i = 0; i < 64; i++)
        if (!g_ascii_isxdigit (key[i]) || g_ascii_isupper (key[i]))
          {
            sora_error_set (error, SORA_ERROR_FAILED, "its key is not made of 64 digits");
            return FALSE;
          }
      if (length >= SORA_PACKED_LABEL_SIZE || !is_label (label, length))
        {
          sora_error_set (error, SORA_ERROR_FAILED, "its label is no text of at most %u bytes",
                          SORA_PACKED_LABEL_SIZE - 1);
          return FALSE;
        }
      for (guint i = AT_LABEL + length; i < AT_OWN_SUM; i++)
        if (bytes[i] != 0)
          {
            sora_error_set (error, SORA_ERROR_FAILED,
                            "its head has a byte at %u that this version does not know", i);
            return FALSE;
          }
      header->size = get64 (bytes + AT_SIZE);
      header->sum = get64 (bytes + AT_SUM);
      memcpy (header->key, key, 64);
      memcpy (header->label, label, length);
      return TRUE;
    }
  return FALSE;
}
