/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Host functions: packed weights that are kept.  Whatever is wrong with the folder costs time and a
 * note, and no job.
 */
#include "config.h"
#include "sora-host-private.h"
#include "sora-model-private.h"
#include "sora-packed.h"
#include "sora-recipe.h"
#include "sora-runner-private.h"
#include <string.h>

#define MAX_KEY 4096

static void G_GNUC_PRINTF (2, 3) note (SoraContext *ctx, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  if (ctx->log != NULL)
    ctx->log (ctx, SORA_LOG_INFO, text);
}

/* The rules of both calls; the model of @slot, or NULL with *result. */
static SoraModel *
enter (SoraContext *ctx, const char *call, const char *slot, const char *component, const char *key,
       int *result)
{
  *result = SORA_FAILED;
  if (!sora_context_enter (ctx, call, SORA_PHASE_RUN, 0))
    return NULL;
  if (strlen (key) > MAX_KEY)
    {
      sora_context_break (ctx, "the plugin called %s() with a key of %zu bytes, at most %d", call,
                          strlen (key), MAX_KEY);
      return NULL;
    }
  SoraModel *model = sora_host_find_model (ctx, call, slot, NULL, result);
  if (model != NULL && !sora_model_has_component (model, component))
    {
      *result = SORA_NOT_FOUND;
      return NULL;
    }
  return model;
}

/* The name of the file, or NULL: nothing is kept, of files that may still change neither. */
static char *
make_key (SoraContext *ctx, SoraModel *model, const char *component, const char *key)
{
  return ctx->task->runner->packed_dir != NULL
             ? sora_recipe_packed_key (ctx->node, model, component, key, NULL)
             : NULL;
}

int
sora_host_packed_open (SoraContext *ctx, const char *slot, const char *component, const char *key,
                       SoraPacked **packed, const void **data, uint64_t *size)
{
  g_autoptr (GError) error = NULL;
  int result;

  *packed = NULL;
  *data = NULL;
  *size = 0;
  SoraModel *model = enter (ctx, "packed_open", slot, component, key, &result);
  if (model == NULL)
    return result;
  g_autofree char *name = make_key (ctx, model, component, key);
  SoraRunner *runner = ctx->task->runner;
  if (name != NULL)
    *packed = sora_packed_open (ctx->instance, runner->packed_dir, runner->packed_use, name,
                                sora_runner_is_stopped, runner, &error);
  if (g_error_matches (error, SORA_ERROR, SORA_ERROR_CANCELLED))
    return SORA_CANCELLED;
  if (error != NULL)
    note (ctx, "packed weights are not used: %s", error->message);
  if (*packed == NULL)
    return SORA_NOT_FOUND;
  *data = (*packed)->map.data;
  *size = (*packed)->map.size;
  return SORA_OK;
}

int
sora_host_packed_new (SoraContext *ctx, const char *slot, const char *component, const char *key,
                      uint64_t size, SoraPacked **packed, void **data)
{
  g_autoptr (GError) error = NULL;
  int result;

  *packed = NULL;
  *data = NULL;
  SoraModel *model = enter (ctx, "packed_new", slot, component, key, &result);
  if (model == NULL)
    return result;
  *packed = sora_packed_new (ctx->instance, size, &error);
  if (*packed == NULL)
    return sora_context_fail_error (ctx, error);
  (*packed)->slot = g_strdup (slot);
  (*packed)->component = g_strdup (component);
  (*packed)->plugin_key = g_strdup (key);
  /* Before the plugin reads the first of the files. */
  if (ctx->task->runner->packed_use != SORA_PACKED_READ)
    (*packed)->key = make_key (ctx, model, component, key);
  *data = (void *)(*packed)->map.data;
  return SORA_OK;
}

/* NULL: it is not written, and a note says why. */
static SoraPackedWriter *
make_writer (SoraContext *ctx, const SoraPacked *packed, SoraModel *model)
{
  g_autoptr (GError) error = NULL;
  SoraRunner *runner = ctx->task->runner;
  g_autofree char *now = make_key (ctx, model, packed->component, packed->plugin_key);

  if (g_strcmp0 (now, packed->key) != 0)
    {
      note (ctx, "packed weights are not kept: a file of '%s' was changed meanwhile",
            packed->component);
      return NULL;
    }
  g_autofree char *label = g_strdup_printf ("%s: %s of %s", ctx->node->klass->id, packed->component,
                                            sora_model_id (model));
  SoraPackedWriter *writer = sora_packed_writer_new (runner->packed_dir, runner->packed_use, now,
                                                     label, packed->map.size, &error);
  if (writer == NULL)
    note (ctx, "packed weights are not kept: %s", error->message);
  return writer;
}

int
sora_host_packed_seal (SoraContext *ctx, SoraPacked *packed)
{
  int result;

  if (!sora_context_enter (ctx, "packed_seal", SORA_PHASE_RUN, 0))
    return SORA_FAILED;
  if (packed->sealed || packed->instance != ctx->instance || packed->map.data == NULL)
    return sora_context_break (
        ctx, "the plugin called packed_seal() for what is sealed, released or another instance's");
  SoraModel *model = sora_host_find_model (ctx, "packed_seal", packed->slot, NULL, &result);
  sora_packed_seal (packed, packed->key != NULL ? make_writer (ctx, packed, model) : NULL);
  return SORA_OK;
}

void
sora_host_packed_close (SoraPacked *packed)
{
  if (packed != NULL)
    sora_packed_close (packed);
}
