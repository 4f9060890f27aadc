/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The rules of the plugin ABI at the border: phase, thread and floating-point control bits of each
 * host call, and the text that a stage fails with.
 */
#include "config.h"
#include "sora-context.h"
#include <string.h>

/* An error text is for people: what is longer is cut. */
#define MAX_FAIL_TEXT 4096

void
sora_context_init (SoraContext *ctx, SoraPhase phase, SoraNode *node)
{
  *ctx = (SoraContext){ .phase = phase, .node = node, .fail_code = -1 };
  ctx->thread = g_thread_self ();
  ctx->fpu = sora_fpu_get ();
  ctx->keep = g_array_new (FALSE, FALSE, sizeof (SoraKept));
  g_mutex_init (&ctx->lock);
}

void
sora_context_clear (SoraContext *ctx)
{
  g_mutex_clear (&ctx->lock);
  for (guint i = 0; i < ctx->keep->len; i++)
    {
      SoraKept *kept = &g_array_index (ctx->keep, SoraKept, i);
      kept->free (kept->data);
    }
  g_clear_pointer (&ctx->keep, g_array_unref);
  g_clear_pointer (&ctx->fail_text, g_free);
}

void
sora_context_keep_full (SoraContext *ctx, gpointer data, GDestroyNotify free)
{
  SoraKept kept = { data, free };
  g_mutex_lock (&ctx->lock);
  g_array_append_val (ctx->keep, kept);
  g_mutex_unlock (&ctx->lock);
}

gpointer
sora_context_keep (SoraContext *ctx, gpointer memory)
{
  sora_context_keep_full (ctx, memory, g_free);
  return memory;
}

static void
set_fail_text (SoraContext *ctx, int code, gboolean broken, const char *text)
{
  g_mutex_lock (&ctx->lock);
  /* The first reason stays, but a broken rule is the better one: what follows from it is noise. */
  if (ctx->fail_text == NULL || (broken && !ctx->broken))
    {
      g_autofree char *valid = g_utf8_make_valid (text, -1);
      g_free (ctx->fail_text);
      if (strlen (valid) > MAX_FAIL_TEXT)
        *g_utf8_find_prev_char (valid, valid + MAX_FAIL_TEXT) = '\0';
      ctx->fail_text = g_steal_pointer (&valid);
      ctx->fail_code = code;
    }
  ctx->broken |= broken;
  g_mutex_unlock (&ctx->lock);
}

int
sora_context_fail (SoraContext *ctx, int code, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  set_fail_text (ctx, code, FALSE, text);
  return SORA_FAILED;
}

int
sora_context_fail_error (SoraContext *ctx, GError *error)
{
  set_fail_text (ctx, error->domain == SORA_ERROR ? error->code : -1, FALSE, error->message);
  return SORA_FAILED;
}

int
sora_context_break (SoraContext *ctx, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  set_fail_text (ctx, SORA_ERROR_INVALID_PLUGIN, TRUE, text);
  return SORA_FAILED;
}

int
sora_context_doom (SoraContext *ctx, GError *error)
{
  set_fail_text (ctx, error->domain == SORA_ERROR ? error->code : SORA_ERROR_FAILED, TRUE,
                 error->message);
  return SORA_FAILED;
}

static const char *
phase_name (SoraPhase phase)
{
  switch (phase)
    {
    case SORA_PHASE_INFER:
      return "infer";
    case SORA_PHASE_CREATE:
      return "create";
    case SORA_PHASE_RUN:
      return "run";
    }
  return "no phase";
}

/* Compares the control bits with those at the beginning of the call; @moment: "before it called
 * pull()". */
static gboolean
check_fpu (SoraContext *ctx, const char *what, const char *name)
{
  SoraFpu now = sora_fpu_get ();

  if (sora_fpu_equal (now, ctx->fpu))
    return TRUE;
  sora_fpu_set (ctx->fpu);
  sora_context_break (
      ctx,
      "the plugin changed the floating-point control bits, seen %s %s() (MXCSR 0x%x "
      "to 0x%x, x87 0x%x to 0x%x): change them inside compute only, and restore them",
      what, name, ctx->fpu.sse, now.sse, ctx->fpu.x87, now.x87);
  return FALSE;
}

gboolean
sora_context_enter (SoraContext *ctx, const char *call, guint phases, guint flags)
{
  GThread *self = g_thread_self ();

  if ((ctx->phase & phases) == 0)
    {
      sora_context_break (ctx, "the plugin called %s() in %s, where it must not", call,
                          phase_name (ctx->phase));
      return FALSE;
    }
  if (self == ctx->thread)
    check_fpu (ctx, "at its call of", call);
  else if (g_atomic_pointer_get (&ctx->in_compute) == self)
    {
      if (flags & SORA_CALL_WAITS)
        sora_context_break (ctx, "the plugin called %s() inside compute, where it must not wait",
                            call);
    }
  else if ((flags & SORA_CALL_ANY_THREAD) == 0)
    sora_context_break (ctx, "the plugin called %s() on another thread than the stage's own", call);

  g_mutex_lock (&ctx->lock);
  gboolean broken = ctx->broken;
  g_mutex_unlock (&ctx->lock);
  return !broken;
}

void
sora_context_check_return (SoraContext *ctx, const char *function)
{
  check_fpu (ctx, "at the return of", function);
}

gboolean
sora_context_result (SoraContext *ctx, const char *function, int result, int default_code,
                     GError **error)
{
  gboolean failed;

  g_mutex_lock (&ctx->lock);
  failed = ctx->broken || result != SORA_OK;
  if (failed)
    {
      int code = ctx->fail_code >= 0 ? ctx->fail_code : default_code;
      if (ctx->fail_text != NULL && (ctx->broken || result == SORA_FAILED))
        g_set_error_literal (error, SORA_ERROR, code, ctx->fail_text);
      else if (result == SORA_FAILED)
        sora_error_set (error, code, "%s() failed and gave no reason", function);
      else if (result == SORA_CANCELLED)
        sora_error_set (error, SORA_ERROR_INVALID_PLUGIN,
                        "%s() returned SORA_CANCELLED though the job was not stopped", function);
      else if (ctx->fail_text != NULL)
        g_set_error_literal (error, SORA_ERROR, code, ctx->fail_text);
      else
        sora_error_set (error, SORA_ERROR_INVALID_PLUGIN,
                        "%s() returned %d, expected SORA_OK, SORA_FAILED or SORA_CANCELLED",
                        function, result);
    }
  g_mutex_unlock (&ctx->lock);
  return !failed;
}
