/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The one crossing from a process's threads to the main loop.
 */
#include "config.h"
#include "sorad-process-private.h"

#include "sora-sandbox.h"

#include <unistd.h>

#define MAX_PENDING 64

SoradEvent *
sorad_event_new (SoradProcess *process, SoradEventKind kind)
{
  SoradEvent *event = g_new0 (SoradEvent, 1);
  event->process = sorad_process_ref (process);
  event->kind = kind;
  event->memfd = -1;
  return event;
}

void
sorad_event_free (SoradEvent *event)
{
  sora_message_free (event->message);
  if (event->memfd >= 0)
    close (event->memfd);
  g_clear_pointer (&event->details, g_variant_unref);
  g_clear_pointer (&event->files, g_variant_unref);
  g_clear_error (&event->error);
  sorad_process_unref (event->process);
  g_free (event);
}

/* What a worker says of its confinement, of the levels that there are. */
static void
take_hello (SoradProcess *process, GVariant *payload)
{
  const char *name = "none";
  SoraSandboxLevel level;
  g_autoptr (GVariant) capabilities = g_variant_get_child_value (payload, 2);
  g_variant_lookup (capabilities, "sandbox", "&s", &name);
  process->sandbox
      = sora_sandbox_level_from_name (name, &level) ? sora_sandbox_level_name (level) : "none";
}

static void
handle (SoradProcess *process, SoradEvent *event)
{
  if (event->kind == SORAD_EVENT_END)
    {
      sorad_process_stream_ended (process, g_steal_pointer (&event->error));
      return;
    }
  if (process->closed)
    return;
  if (event->kind == SORAD_EVENT_MESSAGE)
    {
      if (event->message->type == SORA_MESSAGE_HELLO)
        take_hello (process, event->message->payload);
      process->callbacks.message (process->data, event->message);
    }
  else if (event->kind == SORAD_EVENT_PREVIEW)
    process->callbacks.preview (process->data, event->job, g_steal_fd (&event->memfd), event->width,
                                event->height);
  else
    process->callbacks.result (process->data, event->job, event->details, event->files,
                               event->bytes);
}

static gboolean
on_event (gpointer data)
{
  SoradEvent *event = data;
  SoradProcess *process = event->process;
  g_mutex_lock (&process->lock);
  process->pending--;
  g_cond_signal (&process->drained);
  g_mutex_unlock (&process->lock);
  handle (process, event);
  sorad_event_free (event);
  return G_SOURCE_REMOVE;
}

void
sorad_event_post (SoradEvent *event)
{
  SoradProcess *process = event->process;
  g_mutex_lock (&process->lock);
  while (process->pending >= MAX_PENDING && !process->gone)
    g_cond_wait (&process->drained, &process->lock);
  process->pending++;
  g_mutex_unlock (&process->lock);
  /* Not g_main_context_invoke(): while the loop does not run, at the daemon's start and end, that
   * calls at once, from this thread. */
  GSource *source = g_idle_source_new ();
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, on_event, event, NULL);
  g_source_attach (source, NULL);
  g_source_unref (source);
}
