/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The process of a third-party stage: an ordinary plan of one stage and an ordinary runner, whose
 * one task pulls from and pushes to a stream.  The main thread listens, the stage's thread asks and
 * waits.  Nothing here guards anybody: who is asked does.
 */
#include "config.h"
#include "sora-describe.h"
#include "sora-error.h"
#include "sora-remote-private.h"
#include "sora-runner-private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define OWN_MEMORY                                                                                 \
  (G_GUINT64_CONSTANT (1) << 30) /* of libraries, stacks and what infer did not count */

struct SoraStage
{
  SoraEnvironment *environment;
  SoraPeer *peer;
  SoraPlan *plan;
  SoraRunner *runner;
  GMutex asking; /* one question at a time */
  GMutex lock;
  GCond answered;
  gboolean has_answer;
  SoraPeerMessage answer;
};

static void
send_failure (SoraStage *stage, const GError *error)
{
  g_autofree char *valid = g_utf8_make_valid (error->message, -1);
  const char *text = valid;
  /* Who asked says of which stage it is. */
  if (g_str_has_prefix (text, "stage '") && strstr (text, "': ") != NULL)
    text = strstr (text, "': ") + 3;
  if (strlen (text) > 8192)
    *g_utf8_find_prev_char (valid, text + 8192) = '\0';
  gint32 code = error->domain == SORA_ERROR ? error->code : SORA_ERROR_FAILED;
  sora_peer_send (stage->peer, SORA_PEER_FAILED, g_variant_new ("(is)", code, text), -1, NULL);
}

/* -- What the stage's thread asks */

static SoraPeerMessage
ask (SoraStage *stage, guint type, GVariant *payload, int fd)
{
  SoraPeerMessage answer = { .fd = -1 };
  g_mutex_lock (&stage->asking);
  if (sora_peer_send (stage->peer, type, payload, fd, NULL))
    {
      g_mutex_lock (&stage->lock);
      while (!stage->has_answer)
        g_cond_wait (&stage->answered, &stage->lock);
      answer = stage->answer;
      stage->has_answer = FALSE;
      g_mutex_unlock (&stage->lock);
    }
  g_mutex_unlock (&stage->asking);
  return answer;
}

static int
lost (SoraContext *ctx)
{
  return sora_context_fail (ctx, SORA_ERROR_PROTOCOL, "the runner answered what was not asked");
}

int
sora_stage_pull (SoraStage *stage, SoraContext *ctx, const char *port, SoraTensor **tensor)
{
  g_autoptr (GError) error = NULL;
  gint32 result, dtype;
  g_autoptr (GVariant) shape = NULL;
  g_auto (SoraPeerMessage) answer = ask (stage, SORA_PEER_PULL, g_variant_new ("(s)", port), -1);
  *tensor = NULL;
  if (answer.type != SORA_PEER_TENSOR)
    return lost (ctx);
  g_variant_get (answer.payload, "(ii@ax)", &result, &dtype, &shape);
  if (result != SORA_OK)
    return result;
  *tensor = sora_peer_map (answer.fd, dtype, shape, G_MAXINT64, &error);
  return *tensor != NULL ? SORA_OK : sora_context_fail_error (ctx, error);
}

static GVariant *
shape_of (SoraTensor *tensor, SoraTensorView *view)
{
  view->struct_size = sizeof *view;
  sora_tensor_get_view (tensor, view);
  return g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, view->shape, (gsize)view->ndim,
                                    sizeof (gint64));
}

static int
take_result (SoraContext *ctx, SoraPeerMessage *answer)
{
  gint32 result;
  if (answer->type != SORA_PEER_REPLY)
    return lost (ctx);
  g_variant_get (answer->payload, "(is)", &result, NULL);
  return result;
}

int
sora_stage_push (SoraStage *stage, SoraContext *ctx, const char *port, SoraTensor *tensor)
{
  g_autoptr (GError) error = NULL;
  SoraTensorView view;
  GVariant *shape = shape_of (tensor, &view);
  g_autoptr (GVariant) payload
      = g_variant_ref_sink (g_variant_new ("(si@ax)", port, (gint32)view.dtype, shape));
  int fd = sora_peer_share (tensor, &error);
  if (fd < 0)
    return sora_context_fail_error (ctx, error);
  g_auto (SoraPeerMessage) answer = ask (stage, SORA_PEER_PUSH, payload, fd);
  close (fd);
  return take_result (ctx, &answer);
}

int
sora_stage_file (SoraStage *stage, SoraContext *ctx, const char *port, const char *name,
                 const char *media_type, int *fd)
{
  g_auto (SoraPeerMessage) answer
      = ask (stage, SORA_PEER_FILE, g_variant_new ("(sss)", port, name, media_type), -1);
  int result = take_result (ctx, &answer);
  if (result != SORA_OK)
    return result;
  if (answer.fd < 0)
    return lost (ctx);
  *fd = answer.fd; /* open until the process ends, as a result's file is */
  answer.fd = -1;
  return SORA_OK;
}

char *
sora_stage_info (SoraStage *stage, const char *key)
{
  const char *words;
  gint32 result;
  g_auto (SoraPeerMessage) answer = ask (stage, SORA_PEER_INFO, g_variant_new ("(s)", key), -1);
  if (answer.type != SORA_PEER_REPLY)
    return NULL;
  g_variant_get (answer.payload, "(i&s)", &result, &words);
  return result == SORA_OK ? g_strdup (words) : NULL;
}

/* -- What the runner tells */

static void
on_progress (gpointer data, double fraction, guint run, const char *id, guint step, guint steps,
             double remaining)
{
  SoraStage *stage = data;
  sora_peer_send (stage->peer, SORA_PEER_PROGRESS, g_variant_new ("(duu)", fraction, step, steps),
                  -1, NULL);
}

static void
on_log (gpointer data, int level, const char *id, const char *message)
{
  SoraStage *stage = data;
  g_autofree char *valid = g_utf8_make_valid (message, -1);
  if (strlen (valid) > 8192)
    *g_utf8_find_prev_char (valid, valid + 8192) = '\0';
  if (level >= SORA_LOG_INFO)
    sora_peer_send (stage->peer, SORA_PEER_LOG, g_variant_new ("(is)", level, valid), -1, NULL);
}

static void
on_preview (gpointer data, SoraTensor *picture)
{
  SoraStage *stage = data;
  SoraTensorView view;
  GVariant *shape = g_variant_ref_sink (g_variant_new ("(@ax)", shape_of (picture, &view)));
  int fd = sora_peer_share (picture, NULL);
  if (fd >= 0)
    {
      sora_peer_send (stage->peer, SORA_PEER_PREVIEW, shape, fd, NULL);
      close (fd);
    }
  g_variant_unref (shape);
}

static gpointer
run_thread (gpointer data)
{
  SoraStage *stage = data;
  g_autoptr (GError) error = NULL;
  if (sora_runner_run (stage->runner, &error))
    sora_peer_send (stage->peer, SORA_PEER_DONE, NULL, -1, NULL);
  else
    send_failure (stage, error);
  return NULL;
}

/* -- What it is asked */

static void
describe (SoraStage *stage, GVariant *payload)
{
  g_autoptr (GError) error = NULL;
  const char *id;
  g_variant_get (payload, "(&s)", &id);
  const SoraPlugin *plugin = sora_registry_load (stage->environment->registry, id, &error);
  if (plugin != NULL && sora_plugin_probe (plugin, &error))
    sora_peer_send (stage->peer, SORA_PEER_DESCRIBED,
                    g_variant_new ("(@a{sv})", sora_plugin_to_variant (plugin)), -1, &error);
  if (error != NULL)
    send_failure (stage, error);
}

static GHashTable *
read_specs (GVariantIter *inputs)
{
  GHashTable *specs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                             (GDestroyNotify)sora_port_spec_free);
  char *port;
  gint32 dtype;
  gint64 chunk;
  GVariant *shape, *attrs;
  while (g_variant_iter_next (inputs, "(si@axx@a{sv})", &port, &dtype, &shape, &chunk, &attrs))
    {
      gsize rank;
      const gint64 *extents = g_variant_get_fixed_array (shape, &rank, sizeof (gint64));
      SoraPortSpec *spec = sora_port_spec_new ((SoraDtype)dtype, (int)rank, extents);
      GVariantIter iter;
      char *name;
      GVariant *value;
      spec->chunk = chunk;
      g_variant_iter_init (&iter, attrs);
      while (g_variant_iter_next (&iter, "{sv}", &name, &value))
        g_hash_table_insert (spec->attrs, name, value);
      g_hash_table_insert (specs, port, spec);
      g_variant_unref (shape);
      g_variant_unref (attrs);
    }
  return specs;
}

static void
limit_memory (guint64 bytes)
{
#ifndef SORA_SANITIZERS
  struct rlimit now;
  if (bytes > G_MAXINT64 - OWN_MEMORY || getrlimit (RLIMIT_DATA, &now) != 0)
    return;
  now.rlim_max = MIN (now.rlim_max, bytes + OWN_MEMORY);
  now.rlim_cur = now.rlim_max;
  setrlimit (RLIMIT_DATA, &now);
#endif
}

static SoraPlan *
make_plan (SoraStage *stage, GVariant *payload, GError **error)
{
  const char *plugin, *id, *metadata, *slot, *path;
  guint run, threads;
  guint64 memory_limit, seed;
  GVariantIter *params, *models, *inputs;
  g_autofree const char **set = NULL;
  char *name;
  GVariant *value;
  g_variant_get (payload, "(&su&sa{sv}^a&sa{ss}a(siaxxa{sv})tt&su)", &plugin, &run, &id, &params,
                 &set, &models, &inputs, &memory_limit, &seed, &metadata, &threads);
  g_autoptr (SoraRequest) request = sora_request_new (NULL);
  while (g_variant_iter_next (params, "{&sv}", &name, &value))
    {
      sora_request_set_param (request, name, value);
      g_variant_unref (value);
    }
  while (g_variant_iter_next (models, "{&s&s}", &slot, &path))
    g_hash_table_insert (request->models, g_strdup (slot), g_strdup (path));
  g_autoptr (GHashTable) specs = read_specs (inputs);
  g_variant_iter_free (params);
  g_variant_iter_free (models);
  g_variant_iter_free (inputs);
  request->has_seed = TRUE;
  request->seed = seed;
  request->threads = MIN (threads, SORA_REQUEST_MAX_THREADS);
  request->memory_limit = memory_limit;
  g_free (request->metadata);
  request->metadata = g_strdup (metadata);
  limit_memory (memory_limit);
  return sora_plan_new_for_process (stage->environment, plugin, request, run, id,
                                    (const char *const *)set, specs, error);
}

static GVariant *
describe_plan (SoraPlan *plan)
{
  SoraGraph *graph = g_ptr_array_index (plan->runs, 0);
  SoraNode *node = g_ptr_array_index (graph->nodes, 0);
  const SoraCost *cost = &node->cost;
  GVariantBuilder outputs, warnings;
  g_variant_builder_init (&outputs, G_VARIANT_TYPE ("a(siaxxa{sv})"));
  g_variant_builder_init (&warnings, G_VARIANT_TYPE_STRING_ARRAY);
  for (guint i = 0; i < node->outputs->len; i++)
    {
      SoraNodeOutput *output = g_ptr_array_index (node->outputs, i);
      const SoraPortSpec *spec = output->spec;
      GVariantDict attrs;
      GHashTableIter iter;
      gpointer name, value;
      if (spec == NULL)
        continue;
      g_variant_dict_init (&attrs, NULL);
      g_hash_table_iter_init (&iter, spec->attrs);
      while (g_hash_table_iter_next (&iter, &name, &value))
        g_variant_dict_insert_value (&attrs, name, value);
      g_variant_builder_add (&outputs, "(si@axx@a{sv})", output->port->name, (gint32)spec->dtype,
                             g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, spec->shape,
                                                        (gsize)spec->ndim, sizeof (gint64)),
                             spec->chunk, g_variant_dict_end (&attrs));
    }
  for (const char *const *warning = sora_plan_warnings (plan); *warning != NULL; warning++)
    {
      const char *text = strstr (*warning, "': ");
      g_variant_builder_add (&warnings, "s", text != NULL ? text + 3 : *warning);
    }
  return g_variant_new ("(a(siaxxa{sv})(tttttdu)as)", &outputs, cost->weights_bytes,
                        cost->packed_bytes, cost->work_bytes, cost->scratch_bytes,
                        cost->output_bytes, cost->flops, cost->steps, &warnings);
}

static void
infer (SoraStage *stage, GVariant *payload)
{
  g_autoptr (GError) error = NULL;
  g_clear_pointer (&stage->plan, sora_plan_unref);
  stage->plan = make_plan (stage, payload, &error);
  if (stage->plan != NULL)
    sora_peer_send (stage->peer, SORA_PEER_INFERRED, describe_plan (stage->plan), -1, &error);
  if (error != NULL)
    send_failure (stage, error);
}

static void
begin_run (SoraStage *stage)
{
  static const SoraRunnerCallbacks callbacks
      = { .progress = on_progress, .log = on_log, .preview = on_preview };
  if (stage->plan == NULL || stage->runner != NULL)
    return;
  stage->runner = sora_runner_new (stage->plan, NULL, NULL, &callbacks, stage);
  stage->runner->stage = stage;
  g_thread_unref (g_thread_new ("run", run_thread, stage));
}

static void
give_answer (SoraStage *stage, SoraPeerMessage *message)
{
  g_mutex_lock (&stage->lock);
  if (!stage->has_answer)
    {
      stage->answer = *message;
      stage->has_answer = TRUE;
      *message = (SoraPeerMessage){ .fd = -1 };
    }
  g_cond_broadcast (&stage->answered);
  g_mutex_unlock (&stage->lock);
}

int
sora_stage_serve (SoraEnvironment *environment, int stream, const char *level)
{
  SoraStage *stage = g_new0 (SoraStage, 1);
  g_autoptr (GError) error = NULL;
  stage->environment = environment;
  stage->peer = sora_peer_new (stream, -1, FALSE);
  g_mutex_init (&stage->asking);
  g_mutex_init (&stage->lock);
  g_cond_init (&stage->answered);
  gboolean going
      = sora_peer_send (stage->peer, SORA_PEER_HELLO, g_variant_new ("(s)", level), -1, &error);
  while (going)
    {
      g_auto (SoraPeerMessage) message = { .fd = -1 };
      going = sora_peer_receive (stage->peer, 0, NULL, NULL, &message, NULL, &error);
      if (!going)
        break;
      if (message.type == SORA_PEER_DESCRIBE)
        describe (stage, message.payload);
      else if (message.type == SORA_PEER_INFER)
        infer (stage, message.payload);
      else if (message.type == SORA_PEER_RUN)
        begin_run (stage);
      else if (message.type == SORA_PEER_WATCHED && stage->runner != NULL)
        sora_runner_want_preview (stage->runner, TRUE);
      else
        give_answer (stage, &message);
    }
  /* The stage's thread may be anywhere: nothing that it uses is freed. */
  _exit (EXIT_SUCCESS);
}
