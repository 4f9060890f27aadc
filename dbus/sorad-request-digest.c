/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A digest of what a client asked for, by which a submission that is made again is known.  The
 * order in which parameters came says nothing, and a seed that was not given is no part of it.
 */
#include "config.h"
#include "sorad-request.h"

#include <string.h>

/* With its length before it, so that no two lists of parts run together. */
static void
add (GChecksum *sum, const char *text)
{
  g_autofree char *length = g_strdup_printf ("%" G_GSIZE_FORMAT ":", strlen (text));
  g_checksum_update (sum, (const guchar *)length, -1);
  g_checksum_update (sum, (const guchar *)text, -1);
}

static void
add_table (GChecksum *sum, const char *name, GHashTable *table, gboolean of_variants)
{
  g_autoptr (GList) keys = g_list_sort (g_hash_table_get_keys (table), (GCompareFunc)strcmp);
  add (sum, name);
  for (GList *l = keys; l; l = l->next)
    {
      gpointer value = g_hash_table_lookup (table, l->data);
      g_autofree char *printed = of_variants ? g_variant_print (value, TRUE) : g_strdup (value);
      add (sum, l->data);
      add (sum, printed);
    }
}

char *
sorad_request_digest (const SoraRequest *request, const SoradSubmission *submission)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree char *numbers = g_strdup_printf (
      "%d %" G_GUINT64_FORMAT " %u %d %d", request->has_seed,
      request->has_seed ? request->seed : G_GUINT64_CONSTANT (0), request->threads,
      submission->priority, request->no_cache);
  add (sum, submission->pipeline);
  add (sum, numbers);
  add (sum, request->metadata ? request->metadata : "");
  add (sum, submission->name ? submission->name : "");
  add_table (sum, "params", request->params, TRUE);
  add_table (sum, "models", request->models, FALSE);
  add_table (sum, "stages", request->stages, FALSE);
  return g_strdup (g_checksum_get_string (sum));
}

static int
compare_inputs (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(SoradInput *const *)a)->parameter, (*(SoradInput *const *)b)->parameter);
}

void
sorad_request_digest_inputs (SoradSubmission *submission)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  if (submission->inputs->len == 0)
    return;
  g_ptr_array_sort (submission->inputs, compare_inputs);
  add (sum, submission->digest);
  for (guint i = 0; i < submission->inputs->len; i++)
    {
      const SoradInput *input = g_ptr_array_index (submission->inputs, i);
      add (sum, input->parameter);
      add (sum, input->sha256);
    }
  g_free (submission->digest);
  submission->digest = g_strdup (g_checksum_get_string (sum));
}
