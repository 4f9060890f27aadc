/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Requests as plain data, and as the one GVariant that goes over the bus, into the store and to the
 * worker.  The keys of dictionaries are sorted, so that equal requests are equal bytes.
 */
#include "config.h"
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include "sora-error.h"
#include "sora-keyfile.h"
#include "sora-pipeline-private.h"
#include "sora-request.h"


SoraRequest *
sora_request_new (const char *pipeline)
{
  SoraRequest *request = g_new0 (SoraRequest, 1);
  request->pipeline = g_strdup (pipeline);
  request->metadata = g_strdup ("minimal");
  request->params
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_variant_unref);
  request->models = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  request->stages = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  return request;
}

static void
copy_texts (GHashTable *to, GHashTable *from)
{
  GHashTableIter iter;
  gpointer key, value;
  g_hash_table_iter_init (&iter, from);
  while (g_hash_table_iter_next (&iter, &key, &value))
    g_hash_table_insert (to, g_strdup (key), g_strdup (value));
}

SoraRequest *
sora_request_copy (const SoraRequest *request)
{
  SoraRequest *copy = sora_request_new (request->pipeline);
  GHashTableIter iter;
  gpointer key, value;
  g_hash_table_iter_init (&iter, request->params);
  while (g_hash_table_iter_next (&iter, &key, &value))
    g_hash_table_insert (copy->params, g_strdup (key), g_variant_ref (value));
  copy_texts (copy->models, request->models);
  copy_texts (copy->stages, request->stages);
  g_free (copy->metadata);
  copy->metadata = g_strdup (request->metadata);
  copy->pipeline_text = g_strdup (request->pipeline_text);
  copy->has_seed = request->has_seed;
  copy->seed = request->seed;
  copy->threads = request->threads;
  copy->no_cache = request->no_cache;
  copy->memory_limit = request->memory_limit;
  return copy;
}

void
sora_request_free (SoraRequest *request)
{
  if (request == NULL)
    return;
  g_free (request->pipeline);
  g_free (request->pipeline_text);
  g_free (request->metadata);
  g_hash_table_unref (request->params);
  g_hash_table_unref (request->models);
  g_hash_table_unref (request->stages);
  g_free (request);
}

void
sora_request_set_param (SoraRequest *request, const char *name, GVariant *value)
{
  g_hash_table_replace (request->params, g_strdup (name), g_variant_ref_sink (value));
}

/* 32 bits are short enough to be read aloud and enough never to repeat by chance. */
void
sora_request_choose_seed (SoraRequest *request)
{
  guint32 seed;
  if (request->has_seed)
    return;
  if (getrandom (&seed, sizeof seed, 0) != sizeof seed)
    seed
        = g_random_int (); /* no kernel that runs GLib lacks getrandom; a seed need not be secret */
  request->seed = seed;
  request->has_seed = TRUE;
}

static GVariant *
texts_to_variant (GHashTable *table)
{
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a{ss}"));
  g_autoptr (GList) keys = g_list_sort (g_hash_table_get_keys (table), (GCompareFunc)strcmp);
  for (GList *key = keys; key != NULL; key = key->next)
    g_variant_builder_add (&builder, "{ss}", key->data, g_hash_table_lookup (table, key->data));
  return g_variant_builder_end (&builder);
}

static GVariant *
params_to_variant (GHashTable *table)
{
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);
  g_autoptr (GList) keys = g_list_sort (g_hash_table_get_keys (table), (GCompareFunc)strcmp);
  for (GList *key = keys; key != NULL; key = key->next)
    g_variant_builder_add (&builder, "{sv}", key->data, g_hash_table_lookup (table, key->data));
  return g_variant_builder_end (&builder);
}

GVariant *
sora_request_to_variant (const SoraRequest *request)
{
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);
  if (request->no_cache)
    g_variant_builder_add (&builder, "{sv}", "cache", g_variant_new_boolean (FALSE));
  if (request->memory_limit > 0)
    g_variant_builder_add (&builder, "{sv}", "memory-limit",
                           g_variant_new_uint64 (request->memory_limit));
  g_variant_builder_add (&builder, "{sv}", "metadata", g_variant_new_string (request->metadata));
  g_variant_builder_add (&builder, "{sv}", "models", texts_to_variant (request->models));
  g_variant_builder_add (&builder, "{sv}", "params", params_to_variant (request->params));
  g_variant_builder_add (&builder, "{sv}", "pipeline", g_variant_new_string (request->pipeline));
  if (request->pipeline_text != NULL)
    g_variant_builder_add (&builder, "{sv}", "pipeline-text",
                           g_variant_new_string (request->pipeline_text));
  if (request->has_seed)
    g_variant_builder_add (&builder, "{sv}", "seed", g_variant_new_uint64 (request->seed));
  g_variant_builder_add (&builder, "{sv}", "stages", texts_to_variant (request->stages));
  if (request->threads > 0)
    g_variant_builder_add (&builder, "{sv}", "threads", g_variant_new_uint32 (request->threads));
  return g_variant_builder_end (&builder);
}

/* Always FALSE. */
G_GNUC_PRINTF (2, 3)
static gboolean
refuse (GError **error, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *what = g_strdup_vprintf (format, args);
  va_end (args);
  sora_error_set (error, SORA_ERROR_INVALID_REQUEST, "the request's %s", what);
  return FALSE;
}

static gboolean
take_text (char **field, const char *key, GVariant *value, GError **error)
{
  g_free (*field);
  *field = g_variant_dup_string (value, NULL);
  return **field != '\0' || refuse (error, "'%s' is empty", key);
}

static gboolean
take_metadata (SoraRequest *request, const char *key, GVariant *value, GError **error)
{
  static const char *const levels[] = { "full", "minimal", "none", NULL };
  const char *level = g_variant_get_string (value, NULL);
  if (!g_strv_contains (levels, level))
    return refuse (error, "'%s' is '%.60s', expected full, minimal or none", key, level);
  return take_text (&request->metadata, key, value, error);
}

static gboolean
take_texts (GHashTable *table, gboolean plugins, const char *key, GVariant *value, GError **error)
{
  GVariantIter iter;
  const char *name, *text;
  g_variant_iter_init (&iter, value);
  while (g_variant_iter_next (&iter, "{&s&s}", &name, &text))
    {
      if (!sora_name_is_valid (name))
        return refuse (error, "'%s' has a key '%.80s', which is not a name", key, name);
      if (*text == '\0' || (plugins && !sora_plugin_name_is_valid (text)))
        return refuse (error, "'%s' maps '%s' to '%.80s', which is not %s", key, name, text,
                       plugins ? "like 'plugin' or 'plugin/class'" : "a model's name or path");
      if (!g_hash_table_replace (table, g_strdup (name), g_strdup (text)))
        return refuse (error, "'%s' has the key '%s' twice", key, name);
    }
  return TRUE;
}

static gboolean
take_params (SoraRequest *request, GVariant *value, GError **error)
{
  GVariantIter iter;
  const char *name;
  GVariant *param;
  g_variant_iter_init (&iter, value);
  while (g_variant_iter_next (&iter, "{&sv}", &name, &param))
    {
      gboolean fresh
          = *name != '\0' && g_hash_table_replace (request->params, g_strdup (name), param);
      if (*name == '\0')
        g_variant_unref (param);
      if (!fresh)
        return refuse (error, "parameter '%.80s' has no name, or stands there twice", name);
    }
  return TRUE;
}

static gboolean
take (SoraRequest *request, const char *key, GVariant *value, GError **error)
{
  if (strcmp (key, "pipeline") == 0)
    return take_text (&request->pipeline, key, value, error);
  if (strcmp (key, "pipeline-text") == 0)
    return take_text (&request->pipeline_text, key, value, error);
  if (strcmp (key, "params") == 0)
    return take_params (request, value, error);
  if (strcmp (key, "models") == 0)
    return take_texts (request->models, FALSE, key, value, error);
  if (strcmp (key, "stages") == 0)
    return take_texts (request->stages, TRUE, key, value, error);
  if (strcmp (key, "metadata") == 0)
    return take_metadata (request, key, value, error);
  if (strcmp (key, "cache") == 0)
    request->no_cache = !g_variant_get_boolean (value);
  else if (strcmp (key, "memory-limit") == 0)
    request->memory_limit = g_variant_get_uint64 (value);
  else if (strcmp (key, "seed") == 0)
    {
      request->seed = g_variant_get_uint64 (value);
      request->has_seed = TRUE;
    }
  else if (strcmp (key, "threads") == 0)
    {
      request->threads = g_variant_get_uint32 (value);
      if (request->threads > SORA_REQUEST_MAX_THREADS)
        return refuse (error, "'threads' is %u, expected at most %u", request->threads,
                       SORA_REQUEST_MAX_THREADS);
    }
  return TRUE;
}

static const struct
{
  const char *key, *type;
} fields[] = {
  { "cache", "b" },       { "memory-limit", "t" }, { "metadata", "s" },
  { "models", "a{ss}" },  { "params", "a{sv}" },   { "pipeline", "s" },
  { "pipeline-text", "s" }, { "seed", "t" },       { "stages", "a{ss}" },
  { "threads", "u" },
};

static gboolean
check_field (const char *key, GVariant *value, guint *seen, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (fields); i++)
    {
      if (strcmp (fields[i].key, key) != 0)
        continue;
      if (*seen & (1u << i))
        return refuse (error, "key '%s' stands there twice", key);
      *seen |= 1u << i;
      if (!g_variant_is_of_type (value, G_VARIANT_TYPE (fields[i].type)))
        return refuse (error, "'%s' has type '%s', expected '%s'", key,
                       g_variant_get_type_string (value), fields[i].type);
      return TRUE;
    }
  return refuse (error, "key '%.80s' is unknown", key);
}

SoraRequest *
sora_request_from_variant (GVariant *variant, GError **error)
{
  g_autoptr (SoraRequest) request = sora_request_new (NULL);
  GVariantIter iter;
  const char *key;
  GVariant *value;
  guint seen = 0;
  if (!g_variant_is_of_type (variant, G_VARIANT_TYPE_VARDICT)
      || !g_variant_is_normal_form (variant))
    {
      refuse (error, "form is not a well-formed a{sv}");
      return NULL;
    }
  g_variant_iter_init (&iter, variant);
  while (g_variant_iter_next (&iter, "{&sv}", &key, &value))
    {
      g_autoptr (GVariant) held = value;
      if (!check_field (key, held, &seen, error) || !take (request, key, held, error))
        return NULL;
    }
  if (request->pipeline == NULL)
    {
      refuse (error, "key 'pipeline' is missing");
      return NULL;
    }
  return g_steal_pointer (&request);
}
