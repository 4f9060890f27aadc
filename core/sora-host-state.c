/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Host functions: checkpoints, scratch, previews, result files, provenance.
 */
#include "config.h"
#include "sora-cache-private.h"
#include "sora-checkpoint.h"
#include "sora-host-private.h"
#include "sora-recipe.h"
#include "sora-runner-private.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The key of this stage's checkpoint, or NULL with *result.  What comes from other stages must have
 * been pulled, and whole: the same bytes come again when they run again, or else the key is another.
 * Of a stream nobody knows what is still to come. */
static const char *
checkpoint_key (SoraContext *ctx, int *result)
{
  g_autoptr (GError) error = NULL;

  *result = SORA_UNAVAILABLE;
  if (ctx->task->runner->state_dir == NULL)
    return NULL;
  for (guint i = 0; i < ctx->node->inputs->len; i++)
    if (((SoraNodeInput *)g_ptr_array_index (ctx->node->inputs, i))->edge != NULL
        && ctx->task->pulled_digests[i] == NULL)
      return NULL;
  if (ctx->task->recipe == NULL)
    ctx->task->recipe
        = sora_recipe_stage_key (ctx->task->runner->plan, ctx->node, ctx->task->pulled_digests,
                                 sora_runner_is_stopped, ctx->task->runner, &error);
  if (ctx->task->recipe == NULL)
    *result = g_error_matches (error, SORA_ERROR, SORA_ERROR_CANCELLED)
                  ? SORA_CANCELLED
                  : sora_context_fail_error (ctx, error);
  return ctx->task->recipe;
}

int
sora_host_checkpoint_save (SoraContext *ctx, const void *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  int result;

  if (!sora_context_enter (ctx, "checkpoint_save", SORA_PHASE_RUN, 0))
    return SORA_FAILED;
  const char *key = checkpoint_key (ctx, &result);
  if (key == NULL)
    return result;
  if (!sora_checkpoint_save (ctx->task->runner->state_dir, ctx->node->run, ctx->node->id, key, data,
                             size, &error))
    return sora_context_fail_error (ctx, error);
  SoraRunner *runner = ctx->task->runner;
  g_autofree char *name = sora_checkpoint_name (ctx->node->run, ctx->node->id);
  if (runner->callbacks.checkpoint != NULL
      && !runner->callbacks.checkpoint (runner->data, name, &error))
    return sora_runner_is_stopped (runner) ? SORA_CANCELLED : sora_context_fail_error (ctx, error);
  return SORA_OK;
}

int
sora_host_checkpoint_load (SoraContext *ctx, const void **data, size_t *size)
{
  g_autofree char *why = NULL;
  int result;

  if (!sora_context_enter (ctx, "checkpoint_load", SORA_PHASE_RUN, 0))
    return SORA_FAILED;
  const char *key = checkpoint_key (ctx, &result);
  if (key == NULL)
    return result;
  GBytes *blob = sora_checkpoint_load (ctx->task->runner->state_dir, ctx->node->run, ctx->node->id,
                                       key, &why);
  if (blob == NULL)
    {
      if (why != NULL)
        {
          g_autofree char *message
              = g_strdup_printf ("the checkpoint is not used, starting from zero: %s", why);
          ctx->log (ctx, SORA_LOG_WARNING, message);
        }
      return SORA_NOT_FOUND;
    }
  sora_context_keep_full (ctx, blob, (GDestroyNotify)g_bytes_unref);
  gsize length;
  *data = g_bytes_get_data (blob, &length);
  *size = length;
  return SORA_OK;
}

/* A nameless file in @dir; -1 and errno. */
static int
open_nameless (const char *dir)
{
  int fd = open (dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
    return fd;
  g_autofree char *path = g_build_filename (dir, ".sora-scratch-XXXXXX", NULL);
  fd = g_mkstemp_full (path, O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0)
    unlink (path);
  return fd;
}

int
sora_host_scratch (SoraContext *ctx, uint64_t bytes, int *fd)
{
  if (!sora_context_enter (ctx, "scratch", SORA_PHASE_RUN, 0))
    return SORA_FAILED;
  SoraRunner *runner = ctx->task->runner;
  const char *dir = runner->state_dir != NULL ? runner->state_dir : g_get_tmp_dir ();
  *fd = open_nameless (dir);
  int error = *fd >= 0 ? 0 : errno;
  /* Room that is taken now cannot be missing in the middle of the work. */
  if (error == 0 && bytes > G_MAXINT64)
    error = EFBIG;
  if (error == 0 && bytes > 0)
    error = posix_fallocate (*fd, 0, (off_t)bytes);
  if (error == 0)
    return SORA_OK;
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
  char text[32];
  return sora_context_fail (ctx,
                            sora_error_is_full (error) ? SORA_ERROR_NO_SPACE : SORA_ERROR_FAILED,
                            "no scratch file of %s in '%s': %s", sora_bytes_to_text (bytes, text),
                            dir, g_strerror (error));
}

int
sora_host_preview_wanted (SoraContext *ctx)
{
  if (!sora_context_enter (ctx, "preview_wanted", SORA_PHASE_RUN, SORA_CALL_ANY_THREAD))
    return 0;
  return g_atomic_int_get (&ctx->task->runner->preview_wanted);
}

void
sora_host_preview (SoraContext *ctx, SoraTensor *picture)
{
  SoraTensorView view = { .struct_size = sizeof view };

  if (!sora_context_enter (ctx, "preview", SORA_PHASE_RUN, SORA_CALL_ANY_THREAD))
    return;
  sora_tensor_get_view (picture, &view);
  if (view.dtype != SORA_U8 || view.ndim != 3 || view.shape[2] != 3)
    {
      g_autofree char *shape = sora_shape_to_string (view.ndim, view.shape);
      sora_context_break (ctx, "the plugin gave a preview of %s %s, expected u8 [H,W,3]",
                          sora_dtype_name (view.dtype), shape);
      return;
    }
  sora_runner_send_preview (ctx->task->runner, picture);
}

int
sora_host_file_create (SoraContext *ctx, const char *port, const char *name, const char *media_type,
                       int *fd)
{
  g_autoptr (GError) error = NULL;

  *fd = -1;
  if (!sora_context_enter (ctx, "file_create", SORA_PHASE_RUN, 0))
    return SORA_FAILED;
  int index = sora_node_find_output (ctx->node, port);
  SoraNodeOutput *output = index >= 0 ? g_ptr_array_index (ctx->node->outputs, (guint)index) : NULL;
  if (output == NULL || output->port->dims != NULL
      || strcmp (output->port->semantic, SORA_SEMANTIC_FILE) != 0)
    return sora_context_break (ctx,
                               "the plugin created a file on '%s', which is no %s output of it",
                               port, SORA_SEMANTIC_FILE);
  sora_task_is_personal (ctx->task);
  SoraStage *stage = ctx->task->runner->stage;
  if (stage != NULL)
    return sora_stage_file (stage, ctx, output->port->name, name != NULL ? name : "",
                            media_type != NULL ? media_type : "", fd);
  *fd = sora_output_create (ctx->task->runner->output, ctx->node->id, output->port->name, name,
                            media_type, &error);
  if (*fd < 0)
    return sora_context_fail_error (ctx, error);
  return SORA_OK;
}

int
sora_host_info (SoraContext *ctx, const char *key, const char **value)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *warning = NULL;

  *value = NULL;
  if (!sora_context_enter (ctx, "info", SORA_PHASE_CREATE | SORA_PHASE_RUN, 0))
    return SORA_FAILED;
  /* An instance outlives its job: what it learns in create must be true of the next one, too. */
  if (ctx->phase == SORA_PHASE_CREATE && strcmp (key, "version") != 0)
    return SORA_NOT_FOUND;
  if (ctx->phase == SORA_PHASE_RUN && strcmp (key, "version") != 0)
    sora_task_is_personal (ctx->task);
  *value = sora_runner_get_info (ctx->task->runner, key, &warning, &error);
  if (warning != NULL)
    ctx->log (ctx, SORA_LOG_WARNING, warning);
  if (*value != NULL)
    return SORA_OK;
  if (error == NULL)
    return SORA_NOT_FOUND;
  if (g_error_matches (error, SORA_ERROR, SORA_ERROR_CANCELLED))
    return SORA_CANCELLED;
  return sora_context_doom (ctx, error);
}
