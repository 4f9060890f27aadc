/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One question, one process, one answer or deadline.
 */
#include "config.h"
#include "sorad-asking.h"

#include <unistd.h>

#include "dbus/sora-bus-error.h"

#define QUESTION 1 /* the number of its only "job" */

typedef struct
{
  SoradProcess *process;
  SoradAnswered answered;
  gpointer data;
  guint timeout_seconds, timer, finish_source;
  char *stage; /* which is being asked; NULL or "": none */
  GVariant *answer;
  GError *error;
} Asking;

static GSList *askings;

static void
asking_free (Asking *asking)
{
  askings = g_slist_remove (askings, asking);
  g_clear_handle_id (&asking->timer, g_source_remove);
  g_clear_handle_id (&asking->finish_source, g_source_remove);
  sorad_process_close (asking->process);
  g_clear_pointer (&asking->answer, g_variant_unref);
  g_clear_error (&asking->error);
  g_free (asking->stage);
  g_free (asking);
}

static gboolean
on_finish (gpointer data)
{
  Asking *asking = data;
  asking->finish_source = 0;
  asking->answered (asking->answer, asking->error, asking->data);
  asking_free (asking);
  return G_SOURCE_REMOVE;
}

static void
finish_soon (Asking *asking)
{
  if (!asking->finish_source)
    asking->finish_source = g_idle_add_full (G_PRIORITY_DEFAULT, on_finish, asking, NULL);
}

static void
on_message (gpointer data, SoraMessage *message)
{
  Asking *asking = data;
  if (message->job != QUESTION || asking->finish_source)
    return;
  if (message->type == SORA_MESSAGE_CHECKED || message->type == SORA_MESSAGE_DESCRIPTION)
    asking->answer = g_variant_ref (message->payload);
  else if (message->type == SORA_MESSAGE_ERROR)
    asking->error = sora_bus_error_from_message (message->payload);
  else if (message->type == SORA_MESSAGE_PROGRESS)
    {
      g_free (asking->stage);
      g_variant_get_child (message->payload, 2, "s", &asking->stage);
      return;
    }
  else
    return;
  finish_soon (asking);
}

static void
on_preview (gpointer data, guint64 job, int memfd, guint width, guint height)
{
  close (memfd); /* nobody asked */
}

static void
on_result (gpointer data, guint64 job, GVariant *details, GVariant *files, guint64 bytes)
{
  /* Cannot be: no result is expected, so the process takes none. */
}

static void
on_died (gpointer data, const GError *error)
{
  Asking *asking = data;
  if (asking->finish_source)
    return;
  asking->error = g_error_copy (error);
  if (asking->stage && *asking->stage && error->code == SORA_ERROR_WORKER_DIED)
    g_prefix_error (&asking->error, "stage '%s': ", asking->stage);
  finish_soon (asking);
}

static gboolean
on_timeout (gpointer data)
{
  Asking *asking = data;
  asking->timer = 0;
  g_autofree char *reason = g_strdup_printf ("no answer within %u s, the worker process was killed",
                                             asking->timeout_seconds);
  if (!asking->finish_source)
    sorad_process_kill (asking->process, reason);
  return G_SOURCE_REMOVE;
}

void
sorad_ask (const SoradConfig *config, SoradStore *store, SoraMessageType question,
           GVariant *payload, GPtrArray *inputs, guint timeout_seconds, SoradAnswered answered,
           gpointer data)
{
  static const SoradProcessCallbacks callbacks = {
    .message = on_message,
    .preview = on_preview,
    .result = on_result,
    .died = on_died,
  };
  g_autoptr (GVariant) owned = g_variant_ref_sink (payload);
  Asking *asking = g_new0 (Asking, 1);
  asking->answered = answered;
  asking->data = data;
  asking->timeout_seconds = timeout_seconds;
  askings = g_slist_prepend (askings, asking);
  asking->process = sorad_process_spawn (config, store, FALSE, NULL, &callbacks, asking, &asking->error);
  if (!asking->process)
    {
      finish_soon (asking);
      return;
    }
  if (inputs)
    sorad_process_send_inputs (asking->process, QUESTION, inputs);
  sorad_process_send (asking->process, question, QUESTION, owned);
  asking->timer = g_timeout_add_seconds (timeout_seconds, on_timeout, asking);
}

void
sorad_ask_drop_all (void)
{
  g_autoptr (GError) error = g_error_new (SORA_ERROR, SORA_ERROR_CANCELLED, "sorad ends");
  while (askings)
    {
      Asking *asking = askings->data;
      asking->answered (NULL, error, asking->data);
      asking_free (asking);
    }
}
