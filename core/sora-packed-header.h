/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The head of a file of packed weights, 4,096 bytes before the data.  All numbers are little endian:
 *
 *      0  "SORAPCK1"
 *      8  u32, size of the head: 4,096
 *     12  u32, bytes of the label
 *     16  u64, bytes of the data, which fill the rest of the file
 *     24  u64, checksum of the data: sora_packed_sum()
 *     32  the key: 64 hexadecimal digits
 *     96  the label: UTF-8 without control characters, at most 255 bytes, then zeros
 *   4088  u64, XXH64 of all before it
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

#define SORA_PACKED_HEADER_SIZE 4096u
#define SORA_PACKED_LABEL_SIZE 256u
/* Data is summed so many bytes at a time, each with the sum of those before it as its seed. */
#define SORA_PACKED_BLOCK (16u << 20)

typedef struct
{
  guint64 size, sum;                  /* of the data */
  char key[65];                       /* and a NUL */
  char label[SORA_PACKED_LABEL_SIZE]; /* for people: "dit-wan: transformer of wan13" */
} SoraPackedHeader;

/* A label that is too long or has control characters is cut or cleaned. */
void sora_packed_header_write (const SoraPackedHeader *header, guint8 bytes[SORA_PACKED_HEADER_SIZE]);
/* @bytes: the first @n of a file of @file_size.  The error says what is wrong with "it". */
gboolean sora_packed_header_parse (const guint8 *bytes, gsize n, guint64 file_size,
                                   SoraPackedHeader *header, GError **error);

G_END_DECLS
