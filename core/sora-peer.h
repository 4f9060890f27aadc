/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The stream between a runner and the process of a third-party stage: frames of a type, a GVariant
 * and at most one descriptor.  The reader knows each type's signature and bound, takes values in
 * normal form alone, and waits no longer than it is told.
 */
#pragma once
#include "sora-tensor.h"

G_BEGIN_DECLS

typedef enum
{
  /* to the stage */
  SORA_PEER_DESCRIBE = 1, /* plugin */
  SORA_PEER_INFER,        /* see sora-remote.c */
  SORA_PEER_RUN,
  SORA_PEER_TENSOR,  /* result, dtype, shape; memory file */
  SORA_PEER_REPLY,   /* result, text; descriptor of a file */
  SORA_PEER_WATCHED, /* somebody looks at previews */
  /* from it */
  SORA_PEER_HELLO = 32, /* sandbox level */
  SORA_PEER_DESCRIBED,
  SORA_PEER_INFERRED,
  SORA_PEER_FAILED,   /* code, text */
  SORA_PEER_PULL,     /* port */
  SORA_PEER_PUSH,     /* port, dtype, shape; memory file */
  SORA_PEER_FILE,     /* port, name, media type */
  SORA_PEER_INFO,     /* key */
  SORA_PEER_PROGRESS, /* fraction, step, steps */
  SORA_PEER_LOG,      /* level, text */
  SORA_PEER_PREVIEW,  /* shape; memory file */
  SORA_PEER_DONE,
} SoraPeerType;

typedef struct
{
  guint type;
  GVariant *payload;
  int fd; /* -1: none came */
} SoraPeerMessage;

typedef struct SoraPeer
{
  int stream, control;
  gboolean from_stage; /* what is received comes from the stage */
  char *level;         /* that its HELLO told */
  GMutex sending;
} SoraPeer;

SoraPeer *sora_peer_new (int stream, int control, gboolean from_stage);
/* Ends the process, if this is the runner's side. */
void sora_peer_free (SoraPeer *peer);
void sora_peer_message_clear (SoraPeerMessage *message);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (SoraPeerMessage, sora_peer_message_clear)

/* Takes a floating @payload (NULL: "()"); @fd stays the caller's. */
gboolean sora_peer_send (SoraPeer *peer, guint type, GVariant *payload, int fd, GError **error);
/* @seconds: 0 is for ever.  SORA_ERROR_PROTOCOL for what may not come, _WORKER_DIED for an end or a
 * silence (@silent is set), _CANCELLED when @stopped says so. */
gboolean sora_peer_receive (SoraPeer *peer, guint seconds, gboolean (*stopped) (gpointer data),
                            gpointer data, SoraPeerMessage *message, gboolean *silent,
                            GError **error);
/* What the process ended of, once the stream has ended: "was killed by signal 11 (...)". */
char *sora_peer_end_text (SoraPeer *peer);

/* A sealed memory file with the tensor's bytes; -1 on error. */
int sora_peer_share (SoraTensor *tensor, GError **error);
/* Maps what came, read-only, after it was looked at: seals, size, values that are numbers. */
SoraTensor *sora_peer_map (int fd, int dtype, GVariant *shape, guint64 most, GError **error);

G_END_DECLS
