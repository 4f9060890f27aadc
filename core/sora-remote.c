/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The stand-in for a third-party stage: to the runner a stage as any other, whose infer and run ask
 * a process.  It serves what that process asks for through the host's own functions, so that every
 * rule that holds for a plugin holds for what comes over the stream; and it maps, copies and passes
 * on nothing that it has not looked at.
 */
#include "config.h"
#include "sora-remote-private.h"
#include "sora-cache-private.h"
#include "sora-describe.h"
#include "sora-manifest.h"
#include "sora-runner-private.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <stdlib.h>

#define MAX_LOGS 256u /* of one run */

static int
refuse (SoraContext *ctx, SoraPeer *peer, const GError *error)
{
  if (g_error_matches (error, SORA_ERROR, SORA_ERROR_CANCELLED))
    return SORA_CANCELLED;
  if (g_error_matches (error, SORA_ERROR, SORA_ERROR_WORKER_DIED))
    {
      g_autofree char *end = sora_peer_end_text (peer);
      return sora_context_fail (ctx, SORA_ERROR_WORKER_DIED, "the process of plugin '%s' %s",
                                ctx->node->plugin->id, end);
    }
  return sora_context_fail (ctx, error->code, "the process of plugin '%s' was ended: %s",
                            ctx->node->plugin->id, error->message);
}

static int
refuse_silence (SoraContext *ctx, guint seconds, const char *key)
{
  return sora_context_fail (ctx, SORA_ERROR_WORKER_DIED,
                            "the process of plugin '%s' gave no sign for %u s and was ended (%s)",
                            ctx->node->plugin->id, seconds, key);
}

/* Starts one, and hears how it is confined. */
static SoraPeer *
launch (const SoraRemote *remote, const char *plugin, const char *const *paths, gboolean *silent,
        GError **error)
{
  int stream, control;
  if (!remote->launch (remote->data, plugin, paths, &stream, &control, error))
    return NULL;
  SoraPeer *peer = sora_peer_new (stream, control, TRUE);
  g_auto (SoraPeerMessage) hello = { .fd = -1 };
  if (!sora_peer_receive (peer, remote->answer_seconds, NULL, NULL, &hello, silent, error)
      || hello.type != SORA_PEER_HELLO)
    {
      g_autofree char *end = sora_peer_end_text (peer);
      g_clear_error (error);
      gboolean refused = g_str_has_prefix (end, SORA_REMOTE_REFUSED);
      sora_error_set (error, refused ? SORA_ERROR_DENIED : SORA_ERROR_WORKER_DIED,
                      "plugin '%s' is third-party, and a process for it %s", plugin, end);
      sora_peer_free (peer);
      return NULL;
    }
  g_variant_get (hello.payload, "(s)", &peer->level);
  return peer;
}

/* -- Describing */

static int remote_infer (const SoraHost *host, SoraContext *ctx);
static int remote_run (const SoraHost *host, SoraContext *ctx, void *instance);

const SoraPlugin *
sora_remote_describe (const SoraRemote *remote, const SoraPluginInfo *info, char **level,
                      GError **error)
{
  static const char *const none[] = { NULL };
  g_autoptr (GError) failure = NULL;
  g_auto (SoraPeerMessage) answer = { .fd = -1 };
  gboolean silent = FALSE;
  const SoraPlugin *plugin = NULL;
  if (remote->refused)
    {
      sora_error_set (error, SORA_ERROR_DENIED,
                      "plugin '%s' is third-party (it was not installed with sorad), and the "
                      "settings refuse those (ThirdPartySandbox=refuse)",
                      info->id);
      return NULL;
    }
  SoraPeer *peer = launch (remote, info->id, none, &silent, error);
  if (peer == NULL)
    return NULL;
  if (sora_peer_send (peer, SORA_PEER_DESCRIBE, g_variant_new ("(s)", info->id), -1, &failure)
      && sora_peer_receive (peer, remote->answer_seconds, NULL, NULL, &answer, &silent, &failure))
    {
      if (answer.type == SORA_PEER_DESCRIBED)
        {
          g_autoptr (GVariant) description = g_variant_get_child_value (answer.payload, 0);
          plugin = sora_plugin_from_variant (description, info->module_path, remote_infer,
                                             remote_run, error);
          if (plugin != NULL && !sora_manifest_matches (info, plugin, error))
            {
              sora_plugin_drop_described (plugin);
              plugin = NULL;
            }
        }
      else if (answer.type == SORA_PEER_FAILED)
        {
          const char *text;
          gint32 code;
          g_variant_get (answer.payload, "(i&s)", &code, &text);
          sora_error_set (error, code >= 0 && code < (int)SORA_N_ERRORS ? code : SORA_ERROR_FAILED,
                          "%s", text);
        }
      else
        sora_error_set (error, SORA_ERROR_PROTOCOL, "plugin '%s': its process broke the protocol",
                        info->id);
    }
  else if (silent)
    sora_error_set (error, SORA_ERROR_WORKER_DIED,
                    "plugin '%s': its process did not load it within %u s and was ended "
                    "(ThirdPartyAnswerSeconds)",
                    info->id, remote->answer_seconds);
  else if (g_error_matches (failure, SORA_ERROR, SORA_ERROR_WORKER_DIED))
    {
      g_autofree char *end = sora_peer_end_text (peer);
      sora_error_set (error, SORA_ERROR_WORKER_DIED,
                      "plugin '%s': its process %s when it was loaded", info->id, end);
    }
  else
    sora_error_set (error, SORA_ERROR_PROTOCOL, "plugin '%s': its process was ended: %s", info->id,
                    failure->message);
  if (plugin != NULL)
    *level = g_strdup (peer->level);
  sora_peer_free (peer);
  return plugin;
}

/* -- Inferring */

static GVariant *
describe_inputs (SoraNode *node)
{
  GVariantBuilder rows;
  g_variant_builder_init (&rows, G_VARIANT_TYPE ("a(siaxxa{sv})"));
  for (guint i = 0; i < node->inputs->len; i++)
    {
      const SoraPortSpec *spec = sora_node_input_spec (node, i);
      SoraNodeInput *input = g_ptr_array_index (node->inputs, i);
      if (spec == NULL)
        continue;
      GVariantDict attrs;
      GHashTableIter iter;
      gpointer name, value;
      g_variant_dict_init (&attrs, NULL);
      if (spec->attrs != NULL)
        {
          g_hash_table_iter_init (&iter, spec->attrs);
          while (g_hash_table_iter_next (&iter, &name, &value))
            g_variant_dict_insert_value (&attrs, name, value);
        }
      g_variant_builder_add (&rows, "(si@axx@a{sv})", input->port->name, (gint32)spec->dtype,
                             g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, spec->shape,
                                                        (gsize)spec->ndim, sizeof (gint64)),
                             spec->chunk, g_variant_dict_end (&attrs));
    }
  return g_variant_builder_end (&rows);
}

static GVariant *
describe_node (SoraNode *node, const SoraRequest *request)
{
  GVariantDict params;
  GVariantBuilder set, models;
  GHashTableIter iter;
  gpointer name, value;
  g_autofree char *stage = g_strdup_printf ("%s/%s", node->plugin->id, node->klass->id);
  g_variant_dict_init (&params, NULL);
  g_hash_table_iter_init (&iter, node->params);
  while (g_hash_table_iter_next (&iter, &name, &value))
    g_variant_dict_insert_value (&params, name, value);
  g_variant_builder_init (&set, G_VARIANT_TYPE_STRING_ARRAY);
  g_hash_table_iter_init (&iter, node->params_set);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    g_variant_builder_add (&set, "s", name);
  g_variant_builder_init (&models, G_VARIANT_TYPE ("a{ss}"));
  for (guint i = 0; i < node->n_slots; i++)
    if (node->models[i] != NULL)
      g_variant_builder_add (&models, "{ss}", node->klass->models[i]->name,
                             sora_model_path (node->models[i]));
  return g_variant_new ("(sus@a{sv}@as@a{ss}@a(siaxxa{sv})ttsu)", stage, node->run, node->id,
                        g_variant_dict_end (&params), g_variant_builder_end (&set),
                        g_variant_builder_end (&models), describe_inputs (node), node->memory_limit,
                        request->seed, request->metadata, request->threads);
}

static gboolean
set_attr (const SoraHost *host, SoraContext *ctx, const char *port, const char *name,
          GVariant *value)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_INT64))
    return host->set_output_attr_i64 (ctx, port, name, g_variant_get_int64 (value)) == SORA_OK;
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_DOUBLE))
    return host->set_output_attr_f64 (ctx, port, name, g_variant_get_double (value)) == SORA_OK;
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    return host->set_output_attr_string (ctx, port, name, g_variant_get_string (value, NULL))
           == SORA_OK;
  sora_context_break (ctx, "attribute '%s' of output '%s' has a type that attributes cannot have",
                      name, port);
  return FALSE;
}

/* Through the host's functions, which check it as they check a plugin's. */
static int
take_inferred (const SoraHost *host, SoraContext *ctx, GVariant *payload)
{
  GVariantIter *outputs, *warnings;
  SoraCost cost = { .struct_size = sizeof cost };
  const char *port, *warning;
  gint32 dtype;
  gint64 chunk;
  GVariant *shape, *attrs;
  int result = SORA_OK;
  g_variant_get (payload, "(a(siaxxa{sv})(tttttdu)as)", &outputs, &cost.weights_bytes,
                 &cost.packed_bytes, &cost.work_bytes, &cost.scratch_bytes, &cost.output_bytes,
                 &cost.flops, &cost.steps, &warnings);
  while (g_variant_iter_next (outputs, "(&si@axx@a{sv})", &port, &dtype, &shape, &chunk, &attrs))
    {
      gsize rank;
      const gint64 *extents = g_variant_get_fixed_array (shape, &rank, sizeof (gint64));
      SoraSpec spec = { .struct_size = sizeof spec,
                        .dtype = dtype,
                        .shape = extents,
                        .ndim = (int32_t)MIN (rank, 32u),
                        .chunk = chunk };
      if (result == SORA_OK)
        result = host->set_output_spec (ctx, port, &spec);
      GVariantIter iter;
      const char *name;
      GVariant *value;
      g_variant_iter_init (&iter, attrs);
      while (g_variant_iter_next (&iter, "{&sv}", &name, &value))
        {
          if (result == SORA_OK && !set_attr (host, ctx, port, name, value))
            result = SORA_FAILED;
          g_variant_unref (value);
        }
      g_variant_unref (shape);
      g_variant_unref (attrs);
    }
  for (guint n = 0; g_variant_iter_next (warnings, "&s", &warning) && n < MAX_LOGS; n++)
    host->log (ctx, SORA_LOG_WARNING, "%s", warning);
  g_variant_iter_free (outputs);
  g_variant_iter_free (warnings);
  return result == SORA_OK ? host->set_cost (ctx, &cost) : result;
}

static int
take_failure (SoraContext *ctx, GVariant *payload)
{
  const char *text;
  gint32 code;
  g_variant_get (payload, "(i&s)", &code, &text);
  if (code < 0 || code >= (int)SORA_N_ERRORS)
    code = SORA_ERROR_FAILED;
  return sora_context_fail (ctx, code, "%s", text);
}

static int
remote_infer (const SoraHost *host, SoraContext *ctx)
{
  SoraNode *node = ctx->node;
  const SoraRemote *remote = node->remote;
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) paths = g_ptr_array_new ();
  g_auto (SoraPeerMessage) answer = { .fd = -1 };
  gboolean silent = FALSE;
  for (guint i = 0; i < node->n_slots; i++)
    if (node->models[i] != NULL)
      g_ptr_array_add (paths, (gpointer)sora_model_path (node->models[i]));
  g_ptr_array_add (paths, NULL);
  if (node->peer == NULL)
    node->peer
        = launch (remote, node->plugin->id, (const char *const *)paths->pdata, &silent, &error);
  if (node->peer == NULL)
    return sora_context_fail_error (ctx, error);
  if (!sora_peer_send (node->peer, SORA_PEER_INFER, describe_node (node, node->request), -1, &error)
      || !sora_peer_receive (node->peer, remote->answer_seconds, NULL, NULL, &answer, &silent,
                             &error))
    return silent ? refuse_silence (ctx, remote->answer_seconds, "ThirdPartyAnswerSeconds")
                  : refuse (ctx, node->peer, error);
  if (answer.type == SORA_PEER_INFERRED)
    return take_inferred (host, ctx, answer.payload);
  if (answer.type == SORA_PEER_FAILED)
    return take_failure (ctx, answer.payload);
  return sora_context_fail (ctx, SORA_ERROR_PROTOCOL,
                            "the process of plugin '%s' was ended: it answered what was not asked",
                            node->plugin->id);
}

/* -- Running */

typedef struct
{
  const SoraHost *host;
  SoraContext *ctx;
  SoraPeer *peer;
  guint logs;
  gboolean watched;
} Run;

static gboolean
is_stopped (gpointer data)
{
  Run *run = data;
  return run->host->cancelled (run->ctx) != 0;
}

static GVariant *
shape_of (const SoraTensorView *view)
{
  return g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, view->shape, (gsize)view->ndim,
                                    sizeof (gint64));
}

static int
give_tensor (Run *run, const char *port, GError **error)
{
  g_autoptr (SoraTensor) tensor = NULL;
  SoraTensorView view = { .struct_size = sizeof view };
  int result = run->host->pull (run->ctx, port, &tensor);
  if (result == SORA_FAILED)
    return SORA_FAILED;
  int fd = -1;
  if (result == SORA_OK)
    {
      sora_tensor_get_view (tensor, &view);
      fd = sora_peer_share (tensor, error);
      if (fd < 0)
        return SORA_FAILED;
    }
  sora_peer_send (run->peer, SORA_PEER_TENSOR,
                  g_variant_new ("(ii@ax)", (gint32)result, (gint32)view.dtype, shape_of (&view)),
                  fd, NULL); /* a failure shows when it is listened to next */
  if (fd >= 0)
    close (fd);
  return SORA_OK;
}

static void
reply (Run *run, int result, const char *words, int fd)
{
  sora_peer_send (run->peer, SORA_PEER_REPLY,
                  g_variant_new ("(is)", (gint32)result, words != NULL ? words : ""), fd, NULL);
}

static int
take_tensor (Run *run, SoraPeerMessage *message, GError **error)
{
  const char *port;
  gint32 dtype;
  g_autoptr (GVariant) shape = NULL;
  g_variant_get (message->payload, "(&si@ax)", &port, &dtype, &shape);
  SoraTensor *tensor
      = sora_peer_map (message->fd, dtype, shape, run->ctx->node->memory_limit, error);
  if (tensor == NULL)
    {
      g_prefix_error (error, "output '%.64s': ", port);
      return SORA_FAILED;
    }
  int result = run->host->push (run->ctx, port, tensor);
  if (result == SORA_OK)
    reply (run, result, NULL, -1);
  return result;
}

static int
take_preview (Run *run, SoraPeerMessage *message, GError **error)
{
  g_autoptr (GVariant) shape = g_variant_get_child_value (message->payload, 0);
  g_autoptr (SoraTensor) picture = sora_peer_map (message->fd, SORA_U8, shape, 256u << 20, error);
  if (picture == NULL)
    return SORA_FAILED;
  run->host->preview (run->ctx, picture);
  return SORA_OK;
}

static int
give_file (Run *run, GVariant *payload)
{
  const char *port, *name, *media_type;
  int fd;
  g_variant_get (payload, "(&s&s&s)", &port, &name, &media_type);
  int result = run->host->file_create (run->ctx, port, name, media_type, &fd);
  if (result == SORA_OK)
    reply (run, result, NULL, fd); /* the output's own, which is closed with it */
  return result;
}

static int
give_info (Run *run, GVariant *payload)
{
  const char *key, *value;
  g_variant_get (payload, "(&s)", &key);
  int result = run->host->info (run->ctx, key, &value);
  if (result == SORA_OK || result == SORA_NOT_FOUND)
    {
      reply (run, result, value, -1);
      return SORA_OK;
    }
  return result;
}

/* SORA_EOS: it is done. */
static int
serve (Run *run, SoraPeerMessage *message, GError **error)
{
  const char *words;
  double fraction;
  guint step, steps;
  gint32 level;
  switch (message->type)
    {
    case SORA_PEER_PULL:
      g_variant_get (message->payload, "(&s)", &words);
      return give_tensor (run, words, error);
    case SORA_PEER_PUSH:
      return take_tensor (run, message, error);
    case SORA_PEER_PREVIEW:
      return take_preview (run, message, error);
    case SORA_PEER_FILE:
      return give_file (run, message->payload);
    case SORA_PEER_INFO:
      return give_info (run, message->payload);
    case SORA_PEER_PROGRESS:
      g_variant_get (message->payload, "(duu)", &fraction, &step, &steps);
      run->host->progress (run->ctx, fraction, step, steps);
      return SORA_OK;
    case SORA_PEER_LOG:
      g_variant_get (message->payload, "(i&s)", &level, &words);
      if (run->logs++ < MAX_LOGS)
        run->host->log (run->ctx, CLAMP (level, SORA_LOG_DEBUG, SORA_LOG_WARNING), "%s", words);
      return SORA_OK;
    case SORA_PEER_FAILED:
      return take_failure (run->ctx, message->payload);
    case SORA_PEER_DONE:
      return SORA_EOS;
    default:
      sora_error_set (error, SORA_ERROR_PROTOCOL, "it answered what was not asked");
      return SORA_FAILED;
    }
}

static int
converse (Run *run)
{
  SoraContext *ctx = run->ctx;
  const SoraRemote *remote = ctx->node->remote;
  g_autoptr (GError) error = NULL;
  if (!sora_peer_send (run->peer, SORA_PEER_RUN, NULL, -1, &error))
    return refuse (ctx, run->peer, error);
  for (;;)
    {
      g_auto (SoraPeerMessage) message = { .fd = -1 };
      gboolean silent = FALSE;
      if (!run->watched && run->host->preview_wanted (ctx))
        run->watched = sora_peer_send (run->peer, SORA_PEER_WATCHED, NULL, -1, NULL);
      if (!sora_peer_receive (run->peer, remote->stall_seconds, is_stopped, run, &message, &silent,
                              &error))
        return silent ? refuse_silence (ctx, remote->stall_seconds, "ThirdPartyStallSeconds")
                      : refuse (ctx, run->peer, error);
      int result = serve (run, &message, &error);
      if (error != NULL)
        return refuse (ctx, run->peer, error);
      if (result != SORA_OK)
        return result == SORA_EOS ? SORA_OK : result;
    }
}

static int
remote_run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  SoraNode *node = ctx->node;
  sora_task_is_personal (ctx->task); /* nobody sees here what it makes its outputs of */
  Run run = { .host = host, .ctx = ctx, .peer = node->peer };
  if (node->peer != NULL)
    host->log (ctx, SORA_LOG_INFO,
               "plugin '%s' is third-party: it runs in a process of its own, sandbox level '%s'",
               node->plugin->id, node->peer->level);
  /* What it said that it takes counts here: nobody else sees that process's memory. */
  int result
      = host->reserve (ctx, SORA_MEMORY_WORK, node->cost.packed_bytes + node->cost.work_bytes);
  if (result == SORA_OK)
    result = node->peer != NULL ? converse (&run)
                                : sora_context_fail (ctx, SORA_ERROR_FAILED, "it was run already");
  /* Whatever it still does ends here: before its files are synced, and before anybody reads them.
   */
  g_clear_pointer (&node->peer, sora_peer_free);
  return result;
}

/* -- Trust */

static gboolean
belongs (const char *path, const char *folder, const struct stat *owner)
{
  struct stat st;
  gsize length = strlen (folder);
  char *real = realpath (path, NULL);
  gboolean ok = real != NULL && strncmp (real, folder, length) == 0 && real[length] == '/'
                && stat (real, &st) == 0 && (st.st_uid == owner->st_uid || st.st_uid == 0)
                && (st.st_mode & S_IWOTH) == 0
                && ((st.st_mode & S_IWGRP) == 0 || st.st_gid == owner->st_gid);
  free (real);
  return ok;
}

static gboolean
is_trusted (const char *path, char **dirs)
{
  for (; dirs != NULL && *dirs != NULL; dirs++)
    {
      struct stat st;
      char *folder = realpath (*dirs, NULL);
      gboolean ok = folder != NULL && stat (folder, &st) == 0 && (st.st_mode & S_IWOTH) == 0
                    && belongs (path, folder, &st);
      free (folder);
      if (ok)
        return TRUE;
    }
  return FALSE;
}

gboolean
sora_plugin_info_is_trusted (const SoraPluginInfo *info, char **dirs)
{
  return is_trusted (info->module_path, dirs) && is_trusted (info->manifest_path, dirs);
}
