/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Blocking framed input and output over descriptors, the greeting, and the bookkeeping of
 * acknowledgements.
 */
#include "config.h"
#include "sora-channel.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct
{
  guint64 acknowledged;
  guint64 sent;
  gboolean complete;
} Outgoing;

struct SoraChannel
{
  gatomicrefcount refs;
  int read_fd, write_fd;
  int wake[2]; /* a pipe: its end of stream wakes who polls on a descriptor that cannot be shut down
                */
  SoraParser *parser;
  gboolean greeted; /* their HELLO came; receiving thread only */
  GMutex write_lock;
  GMutex lock; /* all below */
  GCond changed;
  gboolean closed;
  gint64 last_heard;
  guint32 next_blob;
  GHashTable *outgoing; /* id -> Outgoing* */
};

SoraChannel *
sora_channel_new (int read_fd, int write_fd, SoraSide side, GError **error)
{
  int wake[2];
  if (pipe2 (wake, O_CLOEXEC) != 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_BUSY, "no pipe can be made: %s",
                   g_strerror (errno));
      close (read_fd);
      if (write_fd != read_fd)
        close (write_fd);
      return NULL;
    }
  SoraChannel *channel = g_new0 (SoraChannel, 1);
  g_atomic_ref_count_init (&channel->refs);
  channel->read_fd = read_fd;
  channel->write_fd = write_fd;
  channel->wake[0] = wake[0];
  channel->wake[1] = wake[1];
  /* Blocking is done in poll(), beside the wake pipe. */
  g_unix_set_fd_nonblocking (read_fd, TRUE, NULL);
  g_unix_set_fd_nonblocking (write_fd, TRUE, NULL);
  channel->parser = sora_parser_new (side);
  channel->last_heard = g_get_monotonic_time ();
  channel->next_blob = 1;
  channel->outgoing = g_hash_table_new (NULL, NULL);
  g_mutex_init (&channel->write_lock);
  g_mutex_init (&channel->lock);
  g_cond_init (&channel->changed);
  return channel;
}

SoraChannel *
sora_channel_ref (SoraChannel *channel)
{
  g_atomic_ref_count_inc (&channel->refs);
  return channel;
}

void
sora_channel_unref (SoraChannel *channel)
{
  if (!channel || !g_atomic_ref_count_dec (&channel->refs))
    return;
  close (channel->read_fd);
  if (channel->write_fd != channel->read_fd)
    close (channel->write_fd);
  close (channel->wake[0]);
  if (channel->wake[1] >= 0)
    close (channel->wake[1]);
  sora_parser_free (channel->parser);
  g_hash_table_unref (channel->outgoing);
  g_mutex_clear (&channel->write_lock);
  g_mutex_clear (&channel->lock);
  g_cond_clear (&channel->changed);
  g_free (channel);
}

void
sora_channel_shutdown (SoraChannel *channel)
{
  g_mutex_lock (&channel->lock);
  channel->closed = TRUE;
  if (channel->wake[1] >= 0)
    {
      close (channel->wake[1]);
      channel->wake[1] = -1;
      shutdown (channel->write_fd, SHUT_RDWR); /* a pipe says ENOTSOCK, and the wake pipe does it */
    }
  g_cond_broadcast (&channel->changed);
  g_mutex_unlock (&channel->lock);
}

gint64
sora_channel_last_heard (SoraChannel *channel)
{
  g_mutex_lock (&channel->lock);
  gint64 when = channel->last_heard;
  g_mutex_unlock (&channel->lock);
  return when;
}

void
sora_channel_touch (SoraChannel *channel)
{
  g_mutex_lock (&channel->lock);
  channel->last_heard = g_get_monotonic_time ();
  g_mutex_unlock (&channel->lock);
}

static gboolean
is_closed (SoraChannel *channel)
{
  g_mutex_lock (&channel->lock);
  gboolean closed = channel->closed;
  g_mutex_unlock (&channel->lock);
  return closed;
}

static gboolean
fail_closed (GError **error)
{
  g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL, "protocol: the connection was closed");
  return FALSE;
}

/* Waits until @fd is ready; FALSE once the channel is shut down. */
static gboolean
wait_ready (SoraChannel *channel, int fd, short events)
{
  struct pollfd fds[2] = { { fd, events, 0 }, { channel->wake[0], POLLIN, 0 } };
  while (poll (fds, 2, -1) < 0)
    if (errno != EINTR && errno != EAGAIN)
      return FALSE;
  return fds[1].revents == 0;
}

static ssize_t
write_some (int fd, const guint8 *data, gsize size)
{
  /* A dead peer is an error to report, not a SIGPIPE; send() says so on sockets, pipes need it
   * ignored. */
  ssize_t n = send (fd, data, size, MSG_NOSIGNAL);
  if (n < 0 && errno == ENOTSOCK)
    n = write (fd, data, size);
  return n;
}

static gboolean
write_all (SoraChannel *channel, const guint8 *data, gsize size, GError **error)
{
  while (size > 0)
    {
      if (is_closed (channel))
        return fail_closed (error);
      ssize_t n = write_some (channel->write_fd, data, size);
      if (n < 0 && errno == EAGAIN)
        {
          if (!wait_ready (channel, channel->write_fd, POLLOUT))
            return fail_closed (error);
          continue;
        }
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          /* A peer that died while it sent has not broken the protocol. */
          gboolean died = errno == EPIPE || errno == ECONNRESET;
          g_set_error (error, SORA_ERROR, died ? SORA_ERROR_WORKER_DIED : SORA_ERROR_PROTOCOL,
                       "protocol: cannot write: %s", g_strerror (errno));
          return FALSE;
        }
      data += n;
      size -= (gsize)n;
    }
  return TRUE;
}

gboolean
sora_channel_send (SoraChannel *channel, SoraMessageType type, guint64 job, GVariant *payload,
                   GError **error)
{
  g_autoptr (GBytes) frame = sora_message_encode (type, job, payload, error);
  if (!frame)
    return FALSE;
  gsize size;
  const guint8 *data = g_bytes_get_data (frame, &size);
  g_mutex_lock (&channel->write_lock);
  gboolean ok = write_all (channel, data, size, error);
  g_mutex_unlock (&channel->write_lock);
  return ok;
}

static gboolean
take_hello (SoraChannel *channel, SoraMessage *message, GError **error)
{
  if (message->type != SORA_MESSAGE_HELLO)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
                   "protocol: began with a %s, expected a HELLO",
                   sora_message_type_name (message->type));
      return FALSE;
    }
  guint32 version;
  const char *software;
  g_variant_get (message->payload, "(u&s@a{sv})", &version, &software, NULL);
  if (version != SORA_PROTOCOL_VERSION)
    {
      g_set_error (
          error, SORA_ERROR, SORA_ERROR_PROTOCOL,
          "protocol: the peer (sorad %s) speaks version %u, this side version %u; install the same "
          "version of sorad on both sides",
          software, version, SORA_PROTOCOL_VERSION);
      return FALSE;
    }
  channel->greeted = TRUE;
  return TRUE;
}

static gboolean
take_ack (SoraChannel *channel, SoraMessage *message, GError **error)
{
  guint32 id;
  guint64 bytes;
  gboolean complete;
  g_variant_get (message->payload, "(utb)", &id, &bytes, &complete);
  gboolean ok = TRUE;
  g_mutex_lock (&channel->lock);
  Outgoing *outgoing = g_hash_table_lookup (channel->outgoing, GUINT_TO_POINTER (id));
  /* One for a blob that was given up meanwhile is late, not wrong. */
  if (outgoing && (bytes > outgoing->sent || bytes < outgoing->acknowledged))
    ok = FALSE;
  else if (outgoing)
    {
      outgoing->acknowledged = bytes;
      outgoing->complete = outgoing->complete || complete;
      g_cond_broadcast (&channel->changed);
    }
  g_mutex_unlock (&channel->lock);
  if (!ok)
    g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
                 "protocol: %" G_GUINT64_FORMAT
                 " bytes of blob %u are acknowledged, which were never sent",
                 bytes, id);
  return ok;
}

gboolean
sora_channel_receive (SoraChannel *channel, SoraMessage **message, GError **error)
{
  guint8 buffer[64 * 1024];
  *message = NULL;
  for (;;)
    {
      g_autoptr (SoraMessage) next = NULL;
      if (!sora_parser_next (channel->parser, &next, error))
        return FALSE;
      if (next && !channel->greeted && !take_hello (channel, next, error))
        return FALSE;
      if (next && next->type == SORA_MESSAGE_BLOB_ACK)
        {
          if (!take_ack (channel, next, error))
            return FALSE;
          continue;
        }
      if (next)
        {
          *message = g_steal_pointer (&next);
          return TRUE;
        }

      ssize_t n = read (channel->read_fd, buffer, sizeof buffer);
      if (n < 0 && errno == EAGAIN)
        {
          if (!wait_ready (channel, channel->read_fd, POLLIN))
            return fail_closed (error);
          continue;
        }
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && errno != ECONNRESET)
        {
          g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL, "protocol: cannot read: %s",
                       g_strerror (errno));
          return FALSE;
        }
      if (n <= 0)
        {
          if (sora_parser_is_idle (channel->parser))
            return TRUE;
          g_set_error (error, SORA_ERROR, SORA_ERROR_WORKER_DIED,
                       "protocol: the stream ended inside a frame");
          return FALSE;
        }
      sora_channel_touch (channel);
      sora_parser_feed (channel->parser, buffer, (gsize)n);
    }
}

/* -- Blobs, outward */

/* Waits until the window has room for @more bytes, or with @complete for the last acknowledgement.
 */
static gboolean
wait_window (SoraChannel *channel, Outgoing *outgoing, guint64 more, gboolean complete,
             const gint *stop, GError **error)
{
  gboolean ok = TRUE;
  g_mutex_lock (&channel->lock);
  while (ok)
    {
      if (complete ? outgoing->complete
                   : outgoing->sent + more - outgoing->acknowledged <= SORA_BLOB_WINDOW)
        break;
      if (channel->closed)
        ok = fail_closed (error);
      else if (stop && g_atomic_int_get (stop))
        {
          g_set_error (error, SORA_ERROR, SORA_ERROR_CANCELLED, "the job was cancelled");
          ok = FALSE;
        }
      else
        g_cond_wait_until (&channel->changed, &channel->lock, g_get_monotonic_time () + 100 * 1000);
    }
  if (ok)
    outgoing->sent += more;
  g_mutex_unlock (&channel->lock);
  return ok;
}

static gboolean
read_exactly (int fd, guint8 *data, gsize size, guint64 offset, GError **error)
{
  while (size > 0)
    {
      ssize_t n = pread (fd, data, size, (off_t)offset);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        {
          g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "cannot read a file to send: %s",
                       n < 0 ? g_strerror (errno) : "it became shorter");
          return FALSE;
        }
      data += n;
      size -= (gsize)n;
      offset += (guint64)n;
    }
  return TRUE;
}

static GVariant *
byte_array (gconstpointer data, gsize size)
{
  return g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, data, size, 1);
}

static gboolean
send_chunks (SoraChannel *channel, guint64 job, guint32 id, Outgoing *outgoing, int fd,
             gconstpointer data, guint64 size, const gint *stop, GError **error)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree guint8 *buffer = g_malloc (SORA_BLOB_CHUNK_SIZE);
  for (guint64 offset = 0; offset < size;)
    {
      gsize n = (gsize)MIN (size - offset, SORA_BLOB_CHUNK_SIZE);
      const guint8 *chunk = data ? (const guint8 *)data + offset : buffer;
      if (stop && g_atomic_int_get (stop))
        {
          g_set_error (error, SORA_ERROR, SORA_ERROR_CANCELLED, "the job was cancelled");
          return FALSE;
        }
      if (!data && !read_exactly (fd, buffer, n, offset, error))
        return FALSE;
      g_checksum_update (checksum, chunk, (gssize)n);
      if (!wait_window (channel, outgoing, n, FALSE, stop, error))
        return FALSE;
      if (!sora_channel_send (channel, SORA_MESSAGE_BLOB_CHUNK, job,
                              g_variant_new ("(u@ay)", id, byte_array (chunk, n)), error))
        return FALSE;
      offset += n;
    }
  guint8 digest[32];
  gsize digest_size = sizeof digest;
  g_checksum_get_digest (checksum, digest, &digest_size);
  return sora_channel_send (channel, SORA_MESSAGE_BLOB_END, job,
                            g_variant_new ("(u@ay)", id, byte_array (digest, digest_size)), error)
         && wait_window (channel, outgoing, 0, TRUE, stop, error);
}

gboolean
sora_channel_send_blob (SoraChannel *channel, guint64 job, const char *kind, const char *name,
                        int fd, gconstpointer data, guint64 size, GVariant *details,
                        const gint *stop, GError **error)
{
  g_autoptr (GVariant) info
      = g_variant_ref_sink (details ? details : g_variant_new ("a{sv}", NULL));
  Outgoing outgoing = { 0 };
  g_mutex_lock (&channel->lock);
  guint32 id = channel->next_blob++;
  g_hash_table_insert (channel->outgoing, GUINT_TO_POINTER (id), &outgoing);
  g_mutex_unlock (&channel->lock);

  gboolean ok
      = sora_channel_send (channel, SORA_MESSAGE_BLOB_BEGIN, job,
                           g_variant_new ("(usst@a{sv})", id, kind, name, size, info), error)
        && send_chunks (channel, job, id, &outgoing, fd, data, size, stop, error);

  g_mutex_lock (&channel->lock);
  g_hash_table_remove (channel->outgoing, GUINT_TO_POINTER (id));
  g_mutex_unlock (&channel->lock);
  return ok;
}

/* -- Blobs, inward */

SoraBlob *
sora_blob_begin (SoraMessage *message, guint64 max_size, GError **error)
{
  g_autoptr (SoraBlob) blob = g_new0 (SoraBlob, 1);
  g_variant_get (message->payload, "(usst@a{sv})", &blob->id, &blob->kind, &blob->name, &blob->size,
                 &blob->details);
  blob->job = message->job;
  blob->checksum = g_checksum_new (G_CHECKSUM_SHA256);
  if (blob->size > max_size)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
                   "protocol: blob '%s' (%s) claims %" G_GUINT64_FORMAT
                   " bytes, at most %" G_GUINT64_FORMAT " are taken",
                   blob->name, blob->kind, blob->size, max_size);
      return NULL;
    }
  return g_steal_pointer (&blob);
}

void
sora_blob_free (SoraBlob *blob)
{
  if (!blob)
    return;
  g_free (blob->kind);
  g_free (blob->name);
  g_free (blob->sha256);
  g_clear_pointer (&blob->details, g_variant_unref);
  g_clear_pointer (&blob->checksum, g_checksum_free);
  g_free (blob);
}

gboolean
sora_blob_chunk (SoraBlob *blob, SoraMessage *message, gconstpointer *data, gsize *size,
                 GError **error)
{
  guint32 id;
  g_autoptr (GVariant) bytes = NULL;
  g_variant_get (message->payload, "(u@ay)", &id, &bytes);
  if (id != blob->id || message->job != blob->job)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
                   "protocol: a chunk of blob %u came inside blob %u", id, blob->id);
      return FALSE;
    }
  *data = g_variant_get_fixed_array (bytes, size, 1); /* lives in the message's payload */
  if (*size == 0 || *size > blob->size - blob->received)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
                   "protocol: a chunk of %" G_GSIZE_FORMAT " bytes does not fit: %" G_GUINT64_FORMAT
                   " of %" G_GUINT64_FORMAT " of blob '%s' had come",
                   *size, blob->received, blob->size, blob->name);
      return FALSE;
    }
  g_checksum_update (blob->checksum, *data, (gssize)*size);
  blob->received += *size;
  return TRUE;
}

gboolean
sora_blob_end (SoraBlob *blob, SoraMessage *message, GError **error)
{
  guint32 id;
  g_autoptr (GVariant) bytes = NULL;
  g_variant_get (message->payload, "(u@ay)", &id, &bytes);
  gsize theirs_size;
  const guint8 *theirs = g_variant_get_fixed_array (bytes, &theirs_size, 1);
  if (id != blob->id || blob->received != blob->size)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
                   "protocol: blob '%s' ended after %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                   " bytes",
                   blob->name, blob->received, blob->size);
      return FALSE;
    }
  guint8 ours[32];
  gsize ours_size = sizeof ours;
  g_free (blob->sha256);
  blob->sha256 = g_strdup (g_checksum_get_string (blob->checksum));
  g_autoptr (GChecksum) copy = g_checksum_copy (blob->checksum);
  g_checksum_get_digest (copy, ours, &ours_size);
  if (theirs_size != ours_size || memcmp (theirs, ours, ours_size) != 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
                   "protocol: blob '%s' came with a digest that its bytes do not have", blob->name);
      return FALSE;
    }
  return TRUE;
}

gboolean
sora_channel_acknowledge (SoraChannel *channel, SoraBlob *blob, gboolean complete, GError **error)
{
  return sora_channel_send (channel, SORA_MESSAGE_BLOB_ACK, blob->job,
                            g_variant_new ("(utb)", blob->id, blob->received, complete), error);
}
