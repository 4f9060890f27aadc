/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Jobs as data, and what the bus may see of them.
 */
#include "config.h"
#include "sorad-job.h"

#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/sora-request.h"
#include "dbus/sora-bus-error.h"

static const char *const state_names[] = {
  [SORAD_JOB_QUEUED] = "queued",
  [SORAD_JOB_RUNNING] = "running",
  [SORAD_JOB_AWAITING_APPROVAL] = "awaiting-approval",
  [SORAD_JOB_DONE] = "done",
  [SORAD_JOB_FAILED] = "failed",
  [SORAD_JOB_CANCELLED] = "cancelled",
  [SORAD_JOB_REVOKED] = "revoked",
};

const char *
sorad_job_state_name (SoradJobState state)
{
  return state_names[state];
}

gboolean
sorad_job_state_from_name (const char *name, SoradJobState *state)
{
  for (gsize i = 0; i < G_N_ELEMENTS (state_names); i++)
    if (g_str_equal (state_names[i], name))
      {
        *state = (SoradJobState)i;
        return TRUE;
      }
  return FALSE;
}

void
sorad_input_free (SoradInput *input)
{
  if (!input)
    return;
  if (input->fd >= 0)
    close (input->fd);
  g_free (input->parameter);
  g_free (input->sha256);
  g_free (input->file);
  g_free (input);
}

void
sorad_submission_free (SoradSubmission *submission)
{
  if (!submission)
    return;
  g_free (submission->pipeline);
  g_free (submission->name);
  g_free (submission->key);
  g_free (submission->digest);
  g_clear_pointer (&submission->request, g_variant_unref);
  g_clear_pointer (&submission->inputs, g_ptr_array_unref);
  g_free (submission);
}

/* Ten characters of Crockford's base32: 50 random bits, easy to read out and to type. */
static char *
random_id (void)
{
  static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
  guint8 bytes[10];
  if (getrandom (bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
    g_error ("getrandom: the kernel gives no random bytes");
  char *id = g_malloc0 (sizeof bytes + 1);
  for (gsize i = 0; i < sizeof bytes; i++)
    id[i] = alphabet[bytes[i] & 31];
  return id;
}

SoradJob *
sorad_job_new (guint64 number, const char *id, SoradSubmission *submission)
{
  SoradJob *job = g_new0 (SoradJob, 1);
  g_ref_count_init (&job->refs);
  job->number = number;
  job->id = id ? g_strdup (id) : random_id ();
  job->path = g_strconcat (SORA_BUS_JOBS_PATH "/", job->id, NULL);
  job->submission = submission;
  job->priority = submission->priority;
  job->stage = g_strdup ("");
  job->submitted = g_get_real_time ();
  job->warnings = g_ptr_array_new_with_free_func (g_free);
  job->notes = g_ptr_array_new_with_free_func (g_free);
  job->sandbox = "none";
  job->preview_fd = -1;
  job->subscribers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  job->waiters = g_ptr_array_new ();
  job->submitters = g_ptr_array_new ();
  job->pausers = g_ptr_array_new ();
  return job;
}

SoradJob *
sorad_job_ref (SoradJob *job)
{
  g_ref_count_inc (&job->refs);
  return job;
}

void
sorad_job_unref (SoradJob *job)
{
  if (!job || !g_ref_count_dec (&job->refs))
    return;
  if (job->preview_fd >= 0)
    close (job->preview_fd);
  g_clear_handle_id (&job->notify_source, g_source_remove);
  sorad_submission_free (job->submission);
  g_clear_error (&job->error);
  g_clear_pointer (&job->files, g_variant_unref);
  g_clear_pointer (&job->details, g_variant_unref);
  g_clear_pointer (&job->third_party, g_variant_unref);
  g_ptr_array_unref (job->warnings);
  g_ptr_array_unref (job->notes);
  g_ptr_array_unref (job->waiters);
  g_ptr_array_unref (job->submitters);
  g_ptr_array_unref (job->pausers);
  g_hash_table_unref (job->subscribers);
  g_free (job->id);
  g_free (job->path);
  g_free (job->client);
  g_free (job->outcome);
  g_free (job->stage);
  g_free (job);
}

gboolean
sorad_job_is_over (const SoradJob *job)
{
  return (SORAD_JOB_STATE_BIT (job->state) & SORAD_JOB_ACTIVE) == 0;
}

/* -- Properties */

static const struct
{
  const char *name;
  guint change; /* 0: never changes */
} properties[] = {
  { "Id", 0 },
  { "Name", 0 },
  { "Pipeline", 0 },
  { "Ephemeral", 0 },
  { "State", SORAD_JOB_CHANGED_STATE },
  { "Progress", SORAD_JOB_CHANGED_PROGRESS },
  { "Run", SORAD_JOB_CHANGED_PROGRESS },
  { "Stage", SORAD_JOB_CHANGED_PROGRESS },
  { "Step", SORAD_JOB_CHANGED_PROGRESS },
  { "Steps", SORAD_JOB_CHANGED_PROGRESS },
  { "QueuePosition", SORAD_JOB_CHANGED_POSITION },
  { "SubmittedAt", 0 },
  { "StartedAt", SORAD_JOB_CHANGED_STATE },
  { "ExpectedEnd", SORAD_JOB_CHANGED_PROGRESS },
  { "FinishedAt", SORAD_JOB_CHANGED_STATE },
  { "Error", SORAD_JOB_CHANGED_STATE },
  { "ErrorName", SORAD_JOB_CHANGED_STATE },
  { "Warnings", SORAD_JOB_CHANGED_WARNINGS },
  { "Notes", SORAD_JOB_CHANGED_NOTES },
  { "SandboxLevel", SORAD_JOB_CHANGED_SANDBOX },
  { "ThirdPartyStages", SORAD_JOB_CHANGED_SANDBOX },
  { "Attempts", SORAD_JOB_CHANGED_STATE },
  { "Paused", SORAD_JOB_CHANGED_ORDER },
  { "Priority", SORAD_JOB_CHANGED_ORDER },
  { "Kept", SORAD_JOB_CHANGED_ORDER },
};

/* Floating, as the others are. */
static GVariant *
third_party_dict (const SoradJob *job)
{
  GVariantBuilder builder;
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{ss}"));
  for (gsize i = 0; job->third_party && i < g_variant_n_children (job->third_party); i++)
    {
      g_autoptr (GVariant) entry = g_variant_get_child_value (job->third_party, i);
      g_variant_builder_add_value (&builder, entry);
    }
  return g_variant_builder_end (&builder);
}

GVariant *
sorad_job_get_property (const SoradJob *job, const char *name, guint position)
{
#define IS(property) g_str_equal (name, property)
  if (IS ("Id"))
    return g_variant_new_string (job->id);
  if (IS ("Name"))
    return g_variant_new_string (job->submission->name ? job->submission->name : "");
  if (IS ("Pipeline"))
    return g_variant_new_string (job->submission->pipeline);
  if (IS ("Ephemeral"))
    return g_variant_new_boolean (job->submission->ephemeral);
  if (IS ("State"))
    return g_variant_new_string (sorad_job_state_name (job->state));
  if (IS ("Progress"))
    return g_variant_new_double (job->progress);
  if (IS ("Run"))
    return g_variant_new_uint32 (job->run);
  if (IS ("Stage"))
    return g_variant_new_string (job->stage);
  if (IS ("Step"))
    return g_variant_new_uint32 (job->step);
  if (IS ("Steps"))
    return g_variant_new_uint32 (job->steps);
  if (IS ("QueuePosition"))
    return g_variant_new_uint32 (position);
  if (IS ("SubmittedAt"))
    return g_variant_new_int64 (job->submitted);
  if (IS ("StartedAt"))
    return g_variant_new_int64 (job->started);
  if (IS ("ExpectedEnd"))
    return g_variant_new_int64 (job->expected_end);
  if (IS ("FinishedAt"))
    return g_variant_new_int64 (job->finished);
  if (IS ("Error"))
    return g_variant_new_string (job->error ? job->error->message : "");
  if (IS ("ErrorName"))
    return g_variant_new_string (job->error ? sora_bus_error_name (job->error->code) : "");
  if (IS ("Warnings"))
    return g_variant_new_strv ((const char *const *)job->warnings->pdata,
                               (gssize)job->warnings->len);
  if (IS ("Notes"))
    return g_variant_new_strv ((const char *const *)job->notes->pdata, (gssize)job->notes->len);
  if (IS ("SandboxLevel"))
    return g_variant_new_string (job->sandbox);
  if (IS ("ThirdPartyStages"))
    return third_party_dict (job);
  if (IS ("Attempts"))
    return g_variant_new_uint32 (job->attempts);
  if (IS ("Paused"))
    return g_variant_new_boolean (job->paused);
  if (IS ("Priority"))
    return g_variant_new_int32 (job->priority);
  if (IS ("Kept"))
    return g_variant_new_boolean (job->kept);
#undef IS
  return NULL;
}

GVariant *
sorad_job_get_all (const SoradJob *job, guint position)
{
  GVariantBuilder builder;
  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  for (gsize i = 0; i < G_N_ELEMENTS (properties); i++)
    g_variant_builder_add (&builder, "{sv}", properties[i].name,
                           sorad_job_get_property (job, properties[i].name, position));
  return g_variant_builder_end (&builder);
}

GVariant *
sorad_job_get_changed (const SoradJob *job, guint changes, guint position)
{
  GVariantBuilder builder;
  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  for (gsize i = 0; i < G_N_ELEMENTS (properties); i++)
    if (properties[i].change & changes)
      g_variant_builder_add (&builder, "{sv}", properties[i].name,
                             sorad_job_get_property (job, properties[i].name, position));
  return g_variant_builder_end (&builder);
}

/* -- The request, as its owner sees it again */

static GVariant *
string_dict (GHashTable *table)
{
  GVariantBuilder builder;
  GHashTableIter iter;
  gpointer key, value;
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{ss}"));
  g_hash_table_iter_init (&iter, table);
  while (g_hash_table_iter_next (&iter, &key, &value))
    g_variant_builder_add (&builder, "{ss}", key, value);
  return g_variant_builder_end (&builder);
}

static GVariant *
parameter_dict (const SoradJob *job, GHashTable *params)
{
  GVariantBuilder builder;
  GHashTableIter iter;
  gpointer key, value;
  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_hash_table_iter_init (&iter, params);
  while (g_hash_table_iter_next (&iter, &key, &value))
    g_variant_builder_add (&builder, "{sv}", key, value);
  for (guint i = 0; i < job->submission->inputs->len; i++)
    {
      const SoradInput *input = g_ptr_array_index (job->submission->inputs, i);
      GVariantDict file;
      g_variant_dict_init (&file, NULL);
      g_variant_dict_insert (&file, "size", "t", input->size);
      g_variant_dict_insert (&file, "sha256", "s", input->sha256);
      g_variant_builder_add (&builder, "{sv}", input->parameter, g_variant_dict_end (&file));
    }
  return g_variant_builder_end (&builder);
}

GVariant *
sorad_job_get_request (const SoradJob *job)
{
  g_autoptr (SoraRequest) request = sora_request_from_variant (job->submission->request, NULL);
  g_return_val_if_fail (request != NULL, NULL); /* it is our own */
  GVariantDict dict;
  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "pipeline", "s", job->submission->pipeline);
  g_variant_dict_insert_value (&dict, "parameters", parameter_dict (job, request->params));
  g_variant_dict_insert_value (&dict, "models", string_dict (request->models));
  g_variant_dict_insert_value (&dict, "stages", string_dict (request->stages));
  g_variant_dict_insert (&dict, "seed", "t", request->seed);
  g_variant_dict_insert (&dict, "metadata", "s", request->metadata ? request->metadata : "minimal");
  g_variant_dict_insert (&dict, "name", "s", job->submission->name ? job->submission->name : "");
  g_variant_dict_insert (&dict, "threads", "u", request->threads);
  g_variant_dict_insert (&dict, "cache", "b", !request->no_cache);
  g_variant_dict_insert (&dict, "idempotency-key", "s",
                         job->submission->key ? job->submission->key : "");
  g_variant_dict_insert (&dict, "priority", "i", job->submission->priority);
  g_variant_dict_insert (&dict, "ephemeral", "b", job->submission->ephemeral);
  return g_variant_dict_end (&dict);
}
