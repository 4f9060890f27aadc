/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A channel: one end of the protocol over two blocking descriptors.  One thread receives; any
 * thread sends.  Blobs (inputs, artifacts, previews, checkpoints) go as chunks under a window, so
 * neither side can be made to hold more than SORA_BLOB_WINDOW of one, and a fast sender waits for a
 * slow disk at the other end.
 */
#pragma once
#include "sora-protocol.h"

G_BEGIN_DECLS

typedef struct SoraChannel SoraChannel;

/* Takes the descriptors (which may be one and the same), also when it fails: with SORA_ERROR_BUSY,
 * for want of descriptors. */
SoraChannel *sora_channel_new (int read_fd, int write_fd, SoraSide side, GError **error);
SoraChannel *sora_channel_ref (SoraChannel *channel);
void sora_channel_unref (SoraChannel *channel);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraChannel, sora_channel_unref)

/* Any thread: wakes whoever receives, sends or waits; every later call fails with
 * SORA_ERROR_PROTOCOL. */
void sora_channel_shutdown (SoraChannel *channel);

/* Any thread; blocks while the peer does not read.  @payload is sunk. */
gboolean sora_channel_send (SoraChannel *channel, SoraMessageType type, guint64 job,
                            GVariant *payload, GError **error);

/**
 * sora_channel_receive:
 * @message: (out): the next message, or NULL at the end of the stream
 *
 * Blocks.  Acknowledgements of our own blobs are taken here and not returned.  The first message
 * that it returns is a HELLO of our version; anything else is an error.  Errors:
 * SORA_ERROR_PROTOCOL; SORA_ERROR_WORKER_DIED for a stream that was cut inside a frame.
 */
gboolean sora_channel_receive (SoraChannel *channel, SoraMessage **message, GError **error);

/* Monotonic time of the last byte that came, in microseconds.  Any thread. */
gint64 sora_channel_last_heard (SoraChannel *channel);
/* As if a byte had come: whoever reads was busy itself.  Any thread. */
void sora_channel_touch (SoraChannel *channel);

/**
 * sora_channel_send_blob:
 * @fd: what to send, from offset 0; or -1 for @data
 * @size: its bytes; an @fd that turns out shorter is an error
 * @details: (nullable): a{sv}, sunk
 * @stop: (nullable): looked at between chunks: nonzero gives up with SORA_ERROR_CANCELLED
 *
 * Blocks until the peer has acknowledged the whole as verified and durable.  Another thread must be
 * receiving.  Errors: SORA_ERROR_CANCELLED; SORA_ERROR_FAILED, @fd cannot be read;
 * SORA_ERROR_WORKER_DIED, the peer is gone; SORA_ERROR_PROTOCOL, the channel was shut down.
 */
gboolean sora_channel_send_blob (SoraChannel *channel, guint64 job, const char *kind,
                                 const char *name, int fd, gconstpointer data, guint64 size,
                                 GVariant *details, const gint *stop, GError **error);

/* -- The receiving end of one blob: checks order, size and digest; where the bytes go is the
 * caller's. */
typedef struct
{
  guint32 id;
  guint64 job;
  char *kind;
  char *name;
  guint64 size;
  guint64 received;
  GVariant *details; /* a{sv} */
  GChecksum *checksum;
  char *sha256; /* hex, after the end */
} SoraBlob;

/* A BLOB_BEGIN.  @max_size: what the caller is ready to take; the peer's claim is checked against
 * it. */
SoraBlob *sora_blob_begin (SoraMessage *message, guint64 max_size, GError **error);
void sora_blob_free (SoraBlob *blob);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraBlob, sora_blob_free)
/* A BLOB_CHUNK of @blob: @data points into the message. */
gboolean sora_blob_chunk (SoraBlob *blob, SoraMessage *message, gconstpointer *data, gsize *size,
                          GError **error);
/* A BLOB_END of @blob: all came, and its digest is right. */
gboolean sora_blob_end (SoraBlob *blob, SoraMessage *message, GError **error);
/* To be called after the bytes were taken; @complete once they are where they belong. */
gboolean sora_channel_acknowledge (SoraChannel *channel, SoraBlob *blob, gboolean complete,
                                   GError **error);

G_END_DECLS
