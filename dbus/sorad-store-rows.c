/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Writes and reads rows of jobs.  Blobs are serialized GVariants of these types: request a{sv},
 * inputs a(sts) (parameter, size, SHA-256), warnings and notes as, files aa{sv}, details a{sv}.
 */
#include "config.h"
#include "sorad-store-rows.h"

#include "dbus/sora-bus-error.h"
#include "sorad-database.h"

#define INPUTS_TYPE "a(sts)"

struct SoradRow
{
  SoradJob *job; /* of what never changes, and is read here: id, number, submission */
  guint revision;
  SoradJobState state;
  gboolean paused, kept;
  int priority;
  guint attempts, crashes;
  gint64 started, finished;
  char *error_name, *error, *outcome;
  const char *sandbox;
  GVariant *warnings, *notes, *files, *details, *third_party;
  guint64 stored_bytes, bytes;
};

static GVariant *
lines_variant (const GPtrArray *lines)
{
  return g_variant_ref_sink (
      g_variant_new_strv ((const char *const *)lines->pdata, (gssize)lines->len));
}

SoradRow *
sorad_row_new (SoradJob *job)
{
  SoradRow *row = g_new0 (SoradRow, 1);
  row->job = sorad_job_ref (job);
  row->revision = ++job->revision;
  row->state = job->ending ? job->next_state : job->state;
  row->paused = job->paused;
  row->kept = job->kept;
  row->priority = job->priority;
  row->attempts = job->attempts;
  row->crashes = job->crashes;
  row->started = job->started;
  row->finished = job->finished;
  row->error_name = job->error ? g_strdup (sora_bus_error_name (job->error->code)) : NULL;
  row->error = job->error ? g_strdup (job->error->message) : NULL;
  row->outcome = g_strdup (job->outcome);
  row->sandbox = job->sandbox;
  row->warnings = lines_variant (job->warnings);
  row->notes = lines_variant (job->notes);
  row->files = job->files ? g_variant_ref (job->files) : NULL;
  row->details = job->details ? g_variant_ref (job->details) : NULL;
  row->third_party = job->third_party ? g_variant_ref (job->third_party) : NULL;
  row->stored_bytes = job->stored_bytes;
  row->bytes = job->submission->bytes;
  return row;
}

void
sorad_row_free (SoradRow *row)
{
  sorad_job_unref (row->job);
  g_free (row->error_name);
  g_free (row->error);
  g_free (row->outcome);
  g_variant_unref (row->warnings);
  g_variant_unref (row->notes);
  g_clear_pointer (&row->files, g_variant_unref);
  g_clear_pointer (&row->details, g_variant_unref);
  g_clear_pointer (&row->third_party, g_variant_unref);
  g_free (row);
}

SoradJob *
sorad_row_job (SoradRow *row)
{
  return row->job;
}

/* -- Binding, by name: a name that the statement does not have is a fault of ours */

static void
bind_int (sqlite3_stmt *statement, const char *name, gint64 value)
{
  sqlite3_bind_int64 (statement, sqlite3_bind_parameter_index (statement, name), value);
}

static void
bind_text (sqlite3_stmt *statement, const char *name, const char *value)
{
  sqlite3_bind_text (statement, sqlite3_bind_parameter_index (statement, name), value, -1,
                     SQLITE_TRANSIENT);
}

static void
bind_variant (sqlite3_stmt *statement, const char *name, GVariant *value)
{
  int index = sqlite3_bind_parameter_index (statement, name);
  if (!value)
    return;
  gsize size = g_variant_get_size (value);
  sqlite3_bind_blob64 (statement, index, size > 0 ? g_variant_get_data (value) : "", size,
                       SQLITE_TRANSIENT);
}

static GVariant *
inputs_variant (const GPtrArray *inputs)
{
  GVariantBuilder builder;
  g_variant_builder_init (&builder, G_VARIANT_TYPE (INPUTS_TYPE));
  for (guint i = 0; i < inputs->len; i++)
    {
      const SoradInput *input = g_ptr_array_index (inputs, i);
      g_variant_builder_add (&builder, "(sts)", input->parameter, input->size, input->sha256);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

static void
bind_changing (sqlite3_stmt *statement, const SoradRow *row)
{
  bind_text (statement, ":id", row->job->id);
  bind_int (statement, ":revision", row->revision);
  bind_text (statement, ":state", sorad_job_state_name (row->state));
  bind_int (statement, ":paused", row->paused);
  bind_int (statement, ":priority", row->priority);
  bind_int (statement, ":kept", row->kept);
  bind_int (statement, ":attempts", row->attempts);
  bind_int (statement, ":crashes", row->crashes);
  bind_int (statement, ":started", row->started);
  bind_int (statement, ":finished", row->finished);
  bind_int (statement, ":bytes", (gint64)row->bytes);
  bind_text (statement, ":error_name", row->error_name);
  bind_text (statement, ":error", row->error);
  bind_variant (statement, ":warnings", row->warnings);
  bind_variant (statement, ":notes", row->notes);
  bind_text (statement, ":sandbox", row->sandbox);
  bind_variant (statement, ":files", row->files);
  bind_variant (statement, ":details", row->details);
  bind_variant (statement, ":third_party", row->third_party);
  bind_int (statement, ":stored_bytes", (gint64)row->stored_bytes);
}

static void
bind_lasting (sqlite3_stmt *statement, const SoradJob *job)
{
  const SoradSubmission *submission = job->submission;
  g_autoptr (GVariant) inputs = inputs_variant (submission->inputs);
  bind_int (statement, ":number", (gint64)job->number);
  bind_int (statement, ":uid", submission->uid);
  bind_int (statement, ":submitted", job->submitted);
  bind_text (statement, ":pipeline", submission->pipeline);
  bind_text (statement, ":name", submission->name);
  bind_text (statement, ":key", submission->key);
  bind_text (statement, ":digest", submission->digest);
  bind_variant (statement, ":request", submission->request);
  bind_variant (statement, ":inputs", inputs);
}

static gboolean
run_statement (sqlite3 *handle, const char *sql, void (*bind) (sqlite3_stmt *, const SoradRow *),
               const SoradRow *row, GError **error)
{
  sqlite3_stmt *statement = NULL;
  int code = sqlite3_prepare_v2 (handle, sql, -1, &statement, NULL);
  if (code == SQLITE_OK)
    {
      bind (statement, row);
      code = sqlite3_step (statement);
    }
  gboolean ok = sorad_database_check (handle, code, error);
  sqlite3_finalize (statement);
  return ok;
}

static void
bind_all (sqlite3_stmt *statement, const SoradRow *row)
{
  bind_changing (statement, row);
  bind_lasting (statement, row->job);
}

static void
bind_id (sqlite3_stmt *statement, const SoradRow *row)
{
  bind_text (statement, ":id", row->job->id);
}

static void
bind_attempt (sqlite3_stmt *statement, const SoradRow *row)
{
  bind_text (statement, ":id", row->job->id);
  bind_int (statement, ":number", row->attempts);
  bind_int (statement, ":time",
            row->state == SORAD_JOB_RUNNING ? row->started : g_get_real_time ());
  bind_text (statement, ":outcome", row->outcome ? row->outcome : sorad_job_state_name (row->state));
}

#define COLUMNS_CHANGING                                                                           \
  "revision, state, paused, priority, kept, attempts, crashes, started, finished, bytes, "         \
  "error_name, error, warnings, notes, sandbox, files, details, stored_bytes, " \
  "third_party"
#define VALUES_CHANGING                                                                            \
  ":revision, :state, :paused, :priority, :kept, :attempts, :crashes, :started, :finished, "       \
  ":bytes, :error_name, :error, :warnings, :notes, :sandbox, :files, :details, :stored_bytes, " \
  ":third_party"
#define COLUMNS_LASTING "id, number, uid, submitted, pipeline, name, key, digest, request, inputs"
#define VALUES_LASTING                                                                             \
  ":id, :number, :uid, :submitted, :pipeline, :name, :key, :digest, :request, :inputs"

gboolean
sorad_row_insert (sqlite3 *handle, SoradRow *row, GError **error)
{
  return run_statement (handle,
                        "INSERT INTO jobs (" COLUMNS_LASTING ", " COLUMNS_CHANGING
                        ") VALUES (" VALUES_LASTING ", " VALUES_CHANGING ")",
                        bind_all, row, error);
}

/* An attempt begins with the state "running", and ends with whatever comes next. */
static gboolean
write_attempt (sqlite3 *handle, SoradRow *row, GError **error)
{
  if (row->attempts == 0)
    return TRUE;
  return run_statement (
      handle,
      row->state == SORAD_JOB_RUNNING
          ? "INSERT INTO attempts (job, number, started) SELECT id, :number, :time FROM jobs"
            " WHERE id = :id ON CONFLICT DO NOTHING"
          : "UPDATE attempts SET ended = :time, outcome = :outcome"
            " WHERE job = :id AND number = :number AND ended IS NULL",
      bind_attempt, row, error);
}

gboolean
sorad_row_update (sqlite3 *handle, SoradRow *row, GError **error)
{
  return run_statement (handle,
                        "UPDATE jobs SET (" COLUMNS_CHANGING ") = (" VALUES_CHANGING
                        ") WHERE id = :id AND revision < :revision",
                        bind_changing, row, error)
         && write_attempt (handle, row, error);
}

gboolean
sorad_row_delete (sqlite3 *handle, SoradRow *row, GError **error)
{
  return run_statement (handle, "DELETE FROM jobs WHERE id = :id", bind_id, row, error);
}

/* -- Reading */

static char *
get_text (sqlite3_stmt *statement, int column)
{
  return g_strdup ((const char *)sqlite3_column_text (statement, column));
}

/* NULL for a NULL. */
static GVariant *
get_variant (sqlite3_stmt *statement, int column, const char *type)
{
  if (sqlite3_column_type (statement, column) == SQLITE_NULL)
    return NULL;
  g_autoptr (GBytes) bytes = g_bytes_new (sqlite3_column_blob (statement, column),
                                          (gsize)sqlite3_column_bytes (statement, column));
  g_autoptr (GVariant) value
      = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (type), bytes, FALSE));
  return g_variant_get_normal_form (value);
}

static void
get_lines (sqlite3_stmt *statement, int column, GPtrArray *lines)
{
  g_autoptr (GVariant) value = get_variant (statement, column, "as");
  gsize n = value ? g_variant_n_children (value) : 0;
  for (gsize i = 0; i < n; i++)
    {
      char *line;
      g_variant_get_child (value, i, "s", &line);
      g_ptr_array_add (lines, line);
    }
}

static GPtrArray *
get_inputs (sqlite3_stmt *statement, int column)
{
  g_autoptr (GVariant) value = get_variant (statement, column, INPUTS_TYPE);
  GPtrArray *inputs = g_ptr_array_new_with_free_func ((GDestroyNotify)sorad_input_free);
  for (gsize i = 0; i < g_variant_n_children (value); i++)
    {
      SoradInput *input = g_new0 (SoradInput, 1);
      g_variant_get_child (value, i, "(sts)", &input->parameter, &input->size, &input->sha256);
      input->fd = -1;
      g_ptr_array_add (inputs, input);
    }
  return inputs;
}

/* The names that there are: a job's is a pointer to one. */
static const char *
sandbox_name (const char *name)
{
  return g_intern_string (name);
}

static SoradJob *
read_row (sqlite3_stmt *statement, GError **error)
{
  SoradSubmission *submission = g_new0 (SoradSubmission, 1);
  const char *id = (const char *)sqlite3_column_text (statement, 0);
  submission->uid = (guint32)sqlite3_column_int64 (statement, 2);
  submission->pipeline = get_text (statement, 4);
  submission->name = get_text (statement, 5);
  submission->key = get_text (statement, 6);
  submission->digest = get_text (statement, 7);
  submission->request = get_variant (statement, 8, "a{sv}");
  submission->inputs = get_inputs (statement, 9);
  submission->bytes = (guint64)sqlite3_column_int64 (statement, 19);
  SoradJob *job = sorad_job_new ((guint64)sqlite3_column_int64 (statement, 1), id, submission);
  job->submitted = sqlite3_column_int64 (statement, 3);
  job->revision = (guint)sqlite3_column_int64 (statement, 10);
  const char *state = (const char *)sqlite3_column_text (statement, 11);
  if (!sorad_job_state_from_name (state, &job->state))
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "job '%s' has the unknown state '%s'", id,
                   state);
      sorad_job_unref (job);
      return NULL;
    }
  job->paused = sqlite3_column_int (statement, 12) != 0;
  job->priority = sqlite3_column_int (statement, 13);
  job->kept = sqlite3_column_int (statement, 14) != 0;
  job->attempts = (guint)sqlite3_column_int64 (statement, 15);
  job->crashes = (guint)sqlite3_column_int64 (statement, 16);
  job->started = sqlite3_column_int64 (statement, 17);
  job->finished = sqlite3_column_int64 (statement, 18);
  if (sqlite3_column_type (statement, 20) != SQLITE_NULL)
    {
      int code = SORA_ERROR_FAILED;
      sora_bus_error_code ((const char *)sqlite3_column_text (statement, 20), &code);
      job->error = g_error_new_literal (SORA_ERROR, code,
                                        (const char *)sqlite3_column_text (statement, 21));
    }
  get_lines (statement, 22, job->warnings);
  get_lines (statement, 23, job->notes);
  job->sandbox = sandbox_name ((const char *)sqlite3_column_text (statement, 24));
  job->files = get_variant (statement, 25, "aa{sv}");
  job->details = get_variant (statement, 26, "a{sv}");
  job->stored_bytes = (guint64)sqlite3_column_int64 (statement, 27);
  job->third_party = get_variant (statement, 28, "a{ss}");
  job->progress = job->state == SORAD_JOB_DONE ? 1 : 0;
  return job;
}

GPtrArray *
sorad_rows_load (sqlite3 *handle, GError **error)
{
  sqlite3_stmt *statement = NULL;
  g_autoptr (GPtrArray) jobs = g_ptr_array_new_with_free_func ((GDestroyNotify)sorad_job_unref);
  int code = sqlite3_prepare_v2 (
      handle, "SELECT " COLUMNS_LASTING ", " COLUMNS_CHANGING " FROM jobs ORDER BY number", -1,
      &statement, NULL);
  SoradJob *job = NULL;
  while (code == SQLITE_OK && (code = sqlite3_step (statement)) == SQLITE_ROW
         && (job = read_row (statement, error)))
    {
      g_ptr_array_add (jobs, job);
      code = SQLITE_OK;
    }
  gboolean ok = code == SQLITE_DONE;
  if (!ok && error && !*error)
    sorad_database_check (handle, code, error);
  sqlite3_finalize (statement);
  return ok ? g_steal_pointer (&jobs) : NULL;
}
