/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the parts of a process share: its life (main loop), the events that cross to the main loop,
 * and the two threads.  What belongs to one thread alone is not in here, but on that thread's
 * stack.
 */
#pragma once
#include <gio/gio.h>

#include "sorad-cgroup.h"
#include "sorad-process.h"

struct SoradProcess
{
  gatomicrefcount refs;
  const SoradConfig *config; /* all to `data`: never change */
  SoradStore *store;
  SoraChannel *channel;
  GAsyncQueue *outbox; /* to the sender */
  SoradProcessCallbacks callbacks;
  gpointer data;

  gboolean closed; /* by the owner; main loop only, all from here to `end_timer` */
  GSubprocess *subprocess;
  gboolean exited, stream_ended, died_told;
  gboolean shut; /* the stream, by us, since the process had ended and somebody still held it */
  gboolean broke_protocol;
  const char *sandbox; /* as its HELLO told */
  char *shown;         /* fingerprint of the models that it was shown */
  char *exit_text;
  char *kill_reason;
  GError *stream_error;
  char *work_dir;
  SoradCgroup *group;   /* of it and all that it starts; NULL: none */
  guint64 kills_before; /* of the kernel, for want of memory, when it, or its last job, began */
  guint watchdog, end_timer;

  gint stop_inputs; /* atomic */
  gint reader_busy; /* atomic: it works with the disk, and cannot hear heartbeats */

  GMutex lock; /* all below */
  GCond drained;
  guint pending;       /* events on their way to the main loop */
  gboolean gone;       /* nobody takes events any more */
  guint64 job;         /* whose result may come; 0: nobody's */
  SoradResult *result; /* of `job`; taken by the reader thread while it works on it */
};

SoradProcess *sorad_process_ref (SoradProcess *process);
void sorad_process_unref (SoradProcess *process);

/* -- Life; main loop */

/* The stream is over: @error says why, or is NULL for a plain end.  Takes it. */
void sorad_process_stream_ended (SoradProcess *process, GError *error);

/* -- Events: from the threads to the main loop, a bounded number at a time */

typedef enum
{
  SORAD_EVENT_MESSAGE,
  SORAD_EVENT_PREVIEW,
  SORAD_EVENT_RESULT,
  SORAD_EVENT_END
} SoradEventKind;

typedef struct
{
  SoradProcess *process;
  SoradEventKind kind;
  SoraMessage *message;
  guint64 job, bytes;
  int memfd;
  guint width, height;
  GVariant *details, *files;
  GError *error;
} SoradEvent;

SoradEvent *sorad_event_new (SoradProcess *process, SoradEventKind kind);
void sorad_event_free (SoradEvent *event);
/* Waits while the main loop is behind, and so does the worker, through the socket.  Takes @event.
 */
void sorad_event_post (SoradEvent *event);

/* -- The threads; each has a reference */
gpointer sorad_process_reader (gpointer process);
gpointer sorad_process_sender (gpointer process);

void sorad_outgoing_free (gpointer outgoing);
/* Ends the sender, after all that is in the outbox. */
void sorad_process_send_last (SoradProcess *process);
/* No result of @job is taken any more. */
void sorad_process_forget_result (SoradProcess *process, guint64 job);
