/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What fuzz targets share: libFuzzer's entry, and a check that stays in with NDEBUG.
 */
#pragma once
#include <glib.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define MUST(condition)                                                                            \
  do                                                                                               \
    {                                                                                              \
      if (!(condition))                                                                            \
        {                                                                                          \
          fprintf (stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);          \
          abort ();                                                                                \
        }                                                                                          \
    }                                                                                              \
  while (0)

/* What every parser promises: a result, or an error with a message in UTF-8. */
#define MUST_TELL(result, error)                                                                   \
  do                                                                                               \
    {                                                                                              \
      MUST (((result) == 0) == ((error) != NULL));                                                 \
      MUST ((error) == NULL                                                                        \
            || ((error)->message[0] != '\0' && g_utf8_validate ((error)->message, -1, NULL)));     \
    }                                                                                              \
  while (0)
