/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * "Did you mean ...?": the nearest of a list of names by edit distance, for messages about unknown
 * ones.
 */
#include "config.h"
#include "sora-suggest.h"
#include <string.h>

/* Levenshtein distance with one row; names are short. */
static guint
edit_distance (const char *a, const char *b)
{
  gsize n = strlen (b);
  g_autofree guint *row = g_new (guint, n + 1);

  for (gsize j = 0; j <= n; j++)
    row[j] = (guint)j;
  for (gsize i = 1; a[i - 1] != '\0'; i++)
    {
      guint diagonal = row[0];
      row[0] = (guint)i;
      for (gsize j = 1; j <= n; j++)
        {
          guint above = row[j];
          guint replace = diagonal + (g_ascii_tolower (a[i - 1]) != g_ascii_tolower (b[j - 1]));
          row[j] = MIN (replace, MIN (above, row[j - 1]) + 1);
          diagonal = above;
        }
    }
  return row[n];
}

char *
sora_suggest (const char *name, GPtrArray *names)
{
  const char *best = NULL;
  guint best_distance = G_MAXUINT;

  /* A megabyte of text for a name is not worth a thought. */
  if (strlen (name) > 256)
    return g_strdup ("");
  for (guint i = 0; i < names->len; i++)
    {
      const char *candidate = g_ptr_array_index (names, i);
      guint distance = edit_distance (name, candidate);
      if (distance < best_distance)
        {
          best_distance = distance;
          best = candidate;
        }
    }
  if (best != NULL && best_distance <= MAX (strlen (name) > 3 ? 2 : 1, strlen (name) / 3))
    return g_strdup_printf (": did you mean '%s'?", best);
  if (names->len == 0 || names->len > 12)
    return g_strdup ("");

  g_autoptr (GString) text = g_string_new (names->len == 1 ? "; there is only " : "; there are ");
  for (guint i = 0; i < names->len; i++)
    g_string_append_printf (text, "%s'%s'", i == 0 ? "" : ", ",
                            (const char *)g_ptr_array_index (names, i));
  return g_string_free (g_steal_pointer (&text), FALSE);
}
