/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Private to libsora-core: the JSON header of a safetensors file as a checked table.
 */
#pragma once
#include "sora-safetensors.h"

G_BEGIN_DECLS

#define SORA_SAFETENSORS_MAX_HEADER (16u << 20)

typedef struct
{
  char *name;
  SoraDtype dtype;
  int ndim;
  int64_t *extents;    /* ndim of the shape, then ndim strides */
  uint64_t begin, end; /* in the data, behind the header */
  gpointer copy;       /* aligned bytes, where the file's are not; of sora-safetensors.c */
} SoraSafetensorsEntry;

typedef struct
{
  GPtrArray *entries;   /* of SoraSafetensorsEntry, in the order of their data */
  GHashTable *by_name;  /* name -> entry */
  GHashTable *metadata; /* char* -> char* */
} SoraSafetensorsTable;

/* @json is the header's @length bytes, @data_size what stands behind it in the file. */
gboolean sora_safetensors_table_parse (SoraSafetensorsTable *table, const char *json, size_t length,
                                       uint64_t data_size, const char *display_name, GError **error);
void sora_safetensors_table_clear (SoraSafetensorsTable *table);
/* A file's table, as long as the file lives. */
const SoraSafetensorsTable *sora_safetensors_table (SoraSafetensors *file);
/* Closes the descriptor of a file whose header alone is wanted: info and names go on working, get and load do not. */
void sora_safetensors_close_fd (SoraSafetensors *file);
/* "F32" ...; NULL for none. */
const char *sora_safetensors_dtype_name (SoraDtype dtype);

G_END_DECLS
