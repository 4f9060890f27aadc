/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Everything a caller may put into a request, looked at once and kept as our own copy.  No path of
 * a caller's is ever opened: pipelines, plugins and models are ids that the catalogue knows, input
 * files are descriptors.
 */
#include "config.h"
#include "sorad-request.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/sora-request.h"

#define MAX_PARAMETERS 256
#define MAX_NAME 128
#define MAX_INPUTS 16 /* files */

static gboolean G_GNUC_PRINTF (2, 3) refuse (GError **error, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  if (error)
    *error = g_error_new_valist (SORA_ERROR, SORA_ERROR_INVALID_REQUEST, format, args);
  va_end (args);
  return FALSE;
}

gboolean
sorad_request_check_priority (int priority, GError **error)
{
  return (priority >= -SORAD_JOB_MAX_PRIORITY && priority <= SORAD_JOB_MAX_PRIORITY)
         || refuse (error, "the priority is %d, expected %d to %d", priority,
                    -SORAD_JOB_MAX_PRIORITY, SORAD_JOB_MAX_PRIORITY);
}

/* -- Parameters */

static gboolean
take_descriptor (SoradSubmission *submission, const char *name, gint32 handle, GUnixFDList *fds,
                 GError **error)
{
  int count = fds ? g_unix_fd_list_get_length (fds) : 0;
  if (handle < 0 || handle >= count) /* a handle is signed on the wire */
    return refuse (error,
                   "parameter '%s': descriptor index %d, but the message carries %d descriptors",
                   name, handle, count);
  if (submission->inputs->len >= MAX_INPUTS)
    return refuse (error, "parameter '%s': a request has at most %d input files", name, MAX_INPUTS);
  g_autoptr (SoradInput) input = g_new0 (SoradInput, 1);
  input->parameter = g_strdup (name);
  input->fd = g_unix_fd_list_get (fds, handle, error);
  if (input->fd < 0)
    return FALSE;
  g_ptr_array_add (submission->inputs, g_steal_pointer (&input));
  return TRUE;
}

static gboolean
take_parameter (SoradSubmission *submission, SoraRequest *request, const char *name,
                GVariant *value, GUnixFDList *fds, GError **error)
{
  static const char *const types[]
      = { "b", "y", "n", "q", "i", "u", "x", "t", "d", "s", "as", "ad", "ai", "ax", "ay", NULL };
  const char *type = g_variant_get_type_string (value);
  if (g_str_equal (type, "h"))
    return take_descriptor (submission, name, g_variant_get_handle (value), fds, error);
  if (!g_strv_contains (types, type))
    return refuse (error, "parameter '%s': a value of D-Bus type '%s' fits no parameter", name,
                   type);
  /* The value points into the message: an own copy lives longer, and is no larger than it says. */
  g_autoptr (GVariant) normal = g_variant_get_normal_form (value);
  g_autoptr (GBytes) bytes = g_variant_get_data_as_bytes (normal);
  g_autoptr (GBytes) copy = g_bytes_new (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  sora_request_set_param (request, name,
                          g_variant_new_from_bytes (g_variant_get_type (normal), copy, TRUE));
  return TRUE;
}

static gboolean
take_parameters (SoradSubmission *submission, SoraRequest *request, SoradCatalogue *catalogue,
                 SoraPipeline *pipeline, GVariant *parameters, GUnixFDList *fds, GError **error)
{
  GVariantIter iter;
  const char *name;
  GVariant *item;
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  if (g_variant_n_children (parameters) > MAX_PARAMETERS)
    return refuse (error, "%" G_GSIZE_FORMAT " parameters, at most %d are taken",
                   g_variant_n_children (parameters), MAX_PARAMETERS);
  g_variant_iter_init (&iter, parameters);
  while (g_variant_iter_next (&iter, "{&sv}", &name, &item))
    {
      g_autoptr (GVariant) value = item;
      if (!g_hash_table_add (seen, (gpointer)name))
        return refuse (error, "parameter '%.*s' is given twice", MAX_NAME, name);
      if (strlen (name) > MAX_NAME
          || !sorad_catalogue_may_have_parameter (catalogue, pipeline, name))
        return refuse (error, "pipeline '%s' has no parameter '%.*s'", sora_pipeline_id (pipeline),
                       MAX_NAME, name);
      if (!take_parameter (submission, request, name, value, fds, error))
        return FALSE;
    }
  return TRUE;
}

/* -- Options */

static gboolean
has_stage (SoraPipeline *pipeline, const char *id)
{
  GPtrArray *stages = sora_pipeline_stages (pipeline);
  for (guint i = 0; i < stages->len; i++)
    if (g_str_equal (((SoraPipelineStage *)g_ptr_array_index (stages, i))->id, id))
      return TRUE;
  return FALSE;
}

static gboolean
take_models (SoraRequest *request, SoradCatalogue *catalogue, SoraPipeline *pipeline,
             GVariant *value, GError **error)
{
  GVariantIter iter;
  const char *role, *id;
  g_variant_iter_init (&iter, value);
  while (g_variant_iter_next (&iter, "{&s&s}", &role, &id))
    {
      /* Or a slot's name; whether a stage of this job has it, the plan says. */
      if (!g_hash_table_contains (sora_pipeline_roles (pipeline), role)
          && !sorad_catalogue_has_slot (catalogue, role))
        return refuse (error, "option 'models': pipeline '%s' has no role '%.*s'",
                       sora_pipeline_id (pipeline), MAX_NAME, role);
      if (!sorad_catalogue_has_model (catalogue, id))
        {
          g_set_error (error, SORA_ERROR, SORA_ERROR_NOT_FOUND, "no model '%.*s'", MAX_NAME, id);
          return FALSE;
        }
      g_hash_table_replace (request->models, g_strdup (role), g_strdup (id));
    }
  return TRUE;
}

static gboolean
take_stages (SoraRequest *request, SoradCatalogue *catalogue, SoraPipeline *pipeline,
             GVariant *value, GError **error)
{
  GVariantIter iter;
  const char *stage, *plugin;
  g_variant_iter_init (&iter, value);
  while (g_variant_iter_next (&iter, "{&s&s}", &stage, &plugin))
    {
      if (!has_stage (pipeline, stage))
        return refuse (error, "option 'stages': pipeline '%s' has no stage '%.*s'",
                       sora_pipeline_id (pipeline), MAX_NAME, stage);
      if (!sorad_catalogue_has_plugin (catalogue, plugin))
        {
          g_set_error (error, SORA_ERROR, SORA_ERROR_NOT_FOUND, "no plugin '%.*s'", MAX_NAME,
                       plugin);
          return FALSE;
        }
      g_hash_table_replace (request->stages, g_strdup (stage), g_strdup (plugin));
    }
  return TRUE;
}

static gboolean
take_option (SoradSubmission *submission, SoraRequest *request, SoradCatalogue *catalogue,
             SoraPipeline *pipeline, const char *key, GVariant *value, GError **error)
{
  static const struct
  {
    const char *key, *type;
  } options[]
      = { { "seed", "t" }, { "models", "a{ss}" }, { "stages", "a{ss}" }, { "metadata", "s" },
          { "name", "s" }, { "threads", "u" },    { "ephemeral", "b" },
          { "cache", "b" },
          { "priority", "i" }, { "idempotency-key", "s" } };
  const char *type = NULL;
  for (gsize i = 0; i < G_N_ELEMENTS (options); i++)
    if (g_str_equal (options[i].key, key))
      type = options[i].type;
  if (!type)
    return refuse (error, "there is no option '%.*s'", MAX_NAME, key);
  if (!g_variant_is_of_type (value, G_VARIANT_TYPE (type)))
    return refuse (error, "option '%s' has the D-Bus type '%s', expected '%s'", key,
                   g_variant_get_type_string (value), type);

  if (g_str_equal (key, "models"))
    return take_models (request, catalogue, pipeline, value, error);
  if (g_str_equal (key, "stages"))
    return take_stages (request, catalogue, pipeline, value, error);
  if (g_str_equal (key, "seed"))
    {
      request->has_seed = TRUE;
      request->seed = g_variant_get_uint64 (value);
      return TRUE;
    }
  if (g_str_equal (key, "ephemeral"))
    {
      submission->ephemeral = g_variant_get_boolean (value);
      return TRUE;
    }
  if (g_str_equal (key, "cache"))
    {
      request->no_cache = !g_variant_get_boolean (value);
      return TRUE;
    }
  if (g_str_equal (key, "threads"))
    {
      request->threads = g_variant_get_uint32 (value);
      return request->threads <= SORA_REQUEST_MAX_THREADS
             || refuse (error, "option 'threads' is %u, expected at most %u", request->threads,
                        SORA_REQUEST_MAX_THREADS);
    }
  if (g_str_equal (key, "priority"))
    {
      submission->priority = g_variant_get_int32 (value);
      return sorad_request_check_priority (submission->priority, error);
    }
  const char *text = g_variant_get_string (value, NULL);
  if (g_str_equal (key, "idempotency-key"))
    {
      if (*text == '\0' || strlen (text) > MAX_NAME)
        return refuse (error, "option 'idempotency-key' has %" G_GSIZE_FORMAT
                              " bytes, expected 1 to %d",
                       strlen (text), MAX_NAME);
      g_free (submission->key);
      submission->key = g_strdup (text);
      return TRUE;
    }
  if (g_str_equal (key, "metadata"))
    {
      static const char *const choices[] = { "full", "minimal", "none", NULL };
      if (!g_strv_contains (choices, text))
        return refuse (error, "option 'metadata' is '%.*s', expected full, minimal or none",
                       MAX_NAME, text);
      g_free (request->metadata);
      request->metadata = g_strdup (text);
      return TRUE;
    }
  if (!sorad_is_plain_name (text, MAX_NAME) || text[0] == '-')
    return refuse (error,
                   "option 'name': expected 1 to %d bytes without '/', control characters and a "
                   "leading '.' or '-'",
                   MAX_NAME);
  g_free (submission->name);
  submission->name = g_strdup (text);
  return TRUE;
}

SoradSubmission *
sorad_request_parse (SoradCatalogue *catalogue, const SoradConfig *config, guint32 uid,
                     GVariant *arguments, GUnixFDList *fds, GError **error)
{
  const char *id;
  g_autoptr (GVariant) parameters = NULL;
  g_autoptr (GVariant) options = NULL;
  if (g_variant_get_size (arguments) > config->max_request_bytes)
    {
      refuse (error,
              "the request has %" G_GSIZE_FORMAT " bytes, at most %" G_GUINT64_FORMAT
              " are taken: give large data as a descriptor",
              g_variant_get_size (arguments), config->max_request_bytes);
      return NULL;
    }
  g_variant_get (arguments, "(&s@a{sv}@a{sv})", &id, &parameters, &options);
  SoraPipeline *pipeline = sorad_catalogue_find_pipeline (catalogue, id);
  if (!pipeline)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_NOT_FOUND, "no pipeline '%.*s'", MAX_NAME, id);
      return NULL;
    }
  g_autoptr (SoradSubmission) submission = g_new0 (SoradSubmission, 1);
  submission->uid = uid;
  submission->pipeline = g_strdup (id);
  submission->inputs = g_ptr_array_new_with_free_func ((GDestroyNotify)sorad_input_free);
  g_autoptr (SoraRequest) request = sora_request_new (id);
  request->pipeline_text = g_strdup (sora_pipeline_text (pipeline));

  GVariantIter iter;
  const char *key;
  GVariant *item;
  g_variant_iter_init (&iter, options);
  while (g_variant_iter_next (&iter, "{&sv}", &key, &item))
    {
      g_autoptr (GVariant) value = item;
      if (!take_option (submission, request, catalogue, pipeline, key, value, error))
        return NULL;
    }
  if (!take_parameters (submission, request, catalogue, pipeline, parameters, fds, error))
    return NULL;
  if (submission->key && submission->ephemeral)
    {
      refuse (error, "options 'idempotency-key' and 'ephemeral' exclude each other: what is not "
                     "stored cannot be found again");
      return NULL;
    }
  submission->digest = sorad_request_digest (request, submission);
  sora_request_choose_seed (request);
  submission->request = g_variant_ref_sink (sora_request_to_variant (request));
  submission->bytes = g_variant_get_size (submission->request);
  return g_steal_pointer (&submission);
}

/* -- Input files */

static gboolean
copy_input (SoradInput *input, int to, guint64 max_bytes, GError **error)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree guint8 *buffer = g_malloc (64 * 1024);
  struct stat st;
  if (fstat (input->fd, &st) != 0 || !S_ISREG (st.st_mode))
    return refuse (error, "parameter '%s': the descriptor is no regular file", input->parameter);
  for (;;)
    {
      ssize_t n = pread (input->fd, buffer, 64 * 1024, (off_t)input->size);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return refuse (error, "parameter '%s': the file cannot be read: %s", input->parameter,
                       g_strerror (errno));
      if (n == 0)
        break;
      if ((guint64)n > max_bytes - input->size)
        return refuse (error,
                       "parameter '%s': the input files have more than the %" G_GUINT64_FORMAT
                       " bytes that a job may bring",
                       input->parameter, max_bytes);
      for (ssize_t done = 0; done < n;)
        {
          ssize_t written = write (to, buffer + done, (gsize)(n - done));
          if (written < 0 && errno == EINTR)
            continue;
          if (written < 0)
            {
              g_set_error (error, SORA_ERROR, SORA_ERROR_NO_SPACE,
                           "parameter '%s': the file cannot be kept: %s", input->parameter,
                           g_strerror (errno));
              return FALSE;
            }
          done += written;
        }
      g_checksum_update (checksum, buffer, n);
      input->size += (guint64)n;
    }
  if (fsync (to) != 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_NO_SPACE,
                   "parameter '%s': the file cannot be kept: %s", input->parameter,
                   g_strerror (errno));
      return FALSE;
    }
  input->sha256 = g_strdup (g_checksum_get_string (checksum));
  return TRUE;
}

gboolean
sorad_request_copy_inputs (SoradSubmission *submission, SoradStore *store, guint64 max_bytes,
                           GError **error)
{
  guint64 left = max_bytes;
  for (guint i = 0; i < submission->inputs->len; i++)
    {
      SoradInput *input = g_ptr_array_index (submission->inputs, i);
      int fd = sorad_store_make_input (store, error);
      if (fd < 0)
        return FALSE;
      gboolean ok = copy_input (input, fd, left, error);
      close (input->fd);
      input->fd = fd;
      if (!ok)
        return FALSE;
      left -= input->size;
      submission->bytes += input->size;
    }
  return TRUE;
}
