/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Frames over a socket, with descriptors.
 */
#include "config.h"
#include "sora-peer.h"
#include "sora-error.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOK_MS 20 /* how often a wait looks whether the job was stopped */
#define CONTROL_MS 2000
#define MAGIC 0x50524f53u

typedef struct
{
  guint32 magic, type, length, fds;
} Header;

static const struct
{
  guint type;
  const char *signature;
  guint32 most; /* bytes */
} types[] = {
  { SORA_PEER_DESCRIBE, "(s)", 4096 },
  { SORA_PEER_INFER, "(susa{sv}asa{ss}a(siaxxa{sv})ttsu)", 300u << 20 },
  { SORA_PEER_RUN, "()", 64 },
  { SORA_PEER_TENSOR, "(iiax)", 4096 },
  { SORA_PEER_REPLY, "(is)", 1u << 20 },
  { SORA_PEER_WATCHED, "()", 64 },
  { SORA_PEER_HELLO, "(s)", 256 },
  { SORA_PEER_DESCRIBED, "(a{sv})", 1u << 20 },
  { SORA_PEER_INFERRED, "(a(siaxxa{sv})(tttttdu)as)", 1u << 20 },
  { SORA_PEER_FAILED, "(is)", 64u << 10 },
  { SORA_PEER_PULL, "(s)", 4096 },
  { SORA_PEER_PUSH, "(siax)", 8192 },
  { SORA_PEER_FILE, "(sss)", 8192 },
  { SORA_PEER_INFO, "(s)", 4096 },
  { SORA_PEER_PROGRESS, "(duu)", 64 },
  { SORA_PEER_LOG, "(is)", 16u << 10 },
  { SORA_PEER_PREVIEW, "(ax)", 256 },
  { SORA_PEER_DONE, "()", 64 },
};

static gsize
find_type (guint type)
{
  for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
    if (types[i].type == type)
      return i;
  return G_N_ELEMENTS (types);
}

SoraPeer *
sora_peer_new (int stream, int control, gboolean from_stage)
{
  SoraPeer *peer = g_new0 (SoraPeer, 1);
  peer->stream = stream;
  peer->control = control;
  peer->from_stage = from_stage;
  g_mutex_init (&peer->sending);
  return peer;
}

void
sora_peer_free (SoraPeer *peer)
{
  if (peer == NULL)
    return;
  if (peer->control >= 0)
    {
      /* It is ended now, and gone when this returns: what it could write to is read next. */
      shutdown (peer->control, SHUT_WR);
      g_free (sora_peer_end_text (peer));
      close (peer->control);
    }
  close (peer->stream);
  g_free (peer->level);
  g_mutex_clear (&peer->sending);
  g_free (peer);
}

void
sora_peer_message_clear (SoraPeerMessage *message)
{
  g_clear_pointer (&message->payload, g_variant_unref);
  if (message->fd >= 0)
    close (message->fd);
  message->fd = -1;
}

static gboolean
ended (GError **error)
{
  sora_error_set (error, SORA_ERROR_WORKER_DIED, "the stream ended");
  return FALSE;
}

static gboolean
send_bytes (int stream, const void *data, gsize size, int fd, GError **error)
{
  union
  {
    char space[CMSG_SPACE (sizeof (int))];
    struct cmsghdr align;
  } control = { 0 };
  while (size > 0)
    {
      struct iovec piece = { (void *)data, size };
      struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
      if (fd >= 0)
        {
          message.msg_control = control.space;
          message.msg_controllen = sizeof control.space;
          struct cmsghdr *header = CMSG_FIRSTHDR (&message);
          header->cmsg_level = SOL_SOCKET;
          header->cmsg_type = SCM_RIGHTS;
          header->cmsg_len = CMSG_LEN (sizeof fd);
          memcpy (CMSG_DATA (header), &fd, sizeof fd);
        }
      ssize_t n = sendmsg (stream, &message, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return ended (error);
      fd = -1; /* it went with the first byte */
      data = (const char *)data + n;
      size -= (gsize)n;
    }
  return TRUE;
}

gboolean
sora_peer_send (SoraPeer *peer, guint type, GVariant *floating, int fd, GError **error)
{
  g_autoptr (GVariant) payload
      = g_variant_ref_sink (floating != NULL ? floating : g_variant_new ("()"));
  gsize length = g_variant_get_size (payload);
  gsize index = find_type (type);
  g_return_val_if_fail (index < G_N_ELEMENTS (types), FALSE);
  if (length > types[index].most)
    {
      sora_error_set (error, SORA_ERROR_PROTOCOL,
                      "a message of %" G_GSIZE_FORMAT
                      " bytes is too large: at most %u go to or from a stage's process",
                      length, types[index].most);
      return FALSE;
    }
  Header header = { MAGIC, type, (guint32)length, fd >= 0 };
  g_mutex_lock (&peer->sending);
  gboolean ok = send_bytes (peer->stream, &header, sizeof header, fd, error)
                && send_bytes (peer->stream, g_variant_get_data (payload), length, -1, error);
  g_mutex_unlock (&peer->sending);
  return ok;
}

typedef struct
{
  SoraPeer *peer;
  gint64 deadline; /* 0: none */
  gboolean (*stopped) (gpointer data);
  gpointer data;
  gboolean *silent;
} Wait;

static gboolean
wait_readable (const Wait *wait, GError **error)
{
  for (;;)
    {
      struct pollfd poll_fd = { .fd = wait->peer->stream, .events = POLLIN };
      gboolean timed = wait->deadline != 0 || wait->stopped != NULL;
      int n = poll (&poll_fd, 1, timed ? LOOK_MS : -1);
      if (n > 0)
        return TRUE;
      if (wait->stopped != NULL && wait->stopped (wait->data))
        {
          sora_error_set (error, SORA_ERROR_CANCELLED, "the job was stopped");
          return FALSE;
        }
      if (wait->deadline != 0 && g_get_monotonic_time () > wait->deadline)
        {
          *wait->silent = TRUE;
          sora_error_set (error, SORA_ERROR_WORKER_DIED, "no answer came");
          return FALSE;
        }
    }
}

/* Exactly @size bytes; a descriptor that comes with them goes into *@fd if that has none. */
static gboolean
receive_bytes (const Wait *wait, void *data, gsize size, int *fd, GError **error)
{
  union
  {
    char space[CMSG_SPACE (sizeof (int))];
    struct cmsghdr align;
  } control;
  while (size > 0)
    {
      if (!wait_readable (wait, error))
        return FALSE;
      struct iovec piece = { data, size };
      struct msghdr message = { .msg_iov = &piece,
                                .msg_iovlen = 1,
                                .msg_control = control.space,
                                .msg_controllen = sizeof control.space };
      ssize_t n = recvmsg (wait->peer->stream, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
      if (n < 0 && (errno == EINTR || errno == EAGAIN))
        continue;
      if (n <= 0)
        return ended (error);
      for (struct cmsghdr *header = CMSG_FIRSTHDR (&message); header != NULL;
           header = CMSG_NXTHDR (&message, header))
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS
            && header->cmsg_len == CMSG_LEN (sizeof (int)))
          {
            int one;
            memcpy (&one, CMSG_DATA (header), sizeof one);
            if (fd != NULL && *fd < 0)
              *fd = one;
            else
              close (one);
          }
      data = (char *)data + n;
      size -= (gsize)n;
    }
  return TRUE;
}

static gboolean
refuse (GError **error, const char *what, guint64 number)
{
  sora_error_set (error, SORA_ERROR_PROTOCOL, "%s (%" G_GUINT64_FORMAT ")", what, number);
  return FALSE;
}

static gboolean
receive (const Wait *wait, SoraPeerMessage *message, GError **error)
{
  Header header;
  if (!receive_bytes (wait, &header, sizeof header, &message->fd, error))
    return FALSE;
  gsize index = find_type (header.type);
  if (header.magic != MAGIC)
    return refuse (error, "what it sent is no message", header.magic);
  if (index == G_N_ELEMENTS (types) || (header.type >= SORA_PEER_HELLO) != wait->peer->from_stage)
    return refuse (error, "it sent a message of a type that may not come", header.type);
  if (header.length > types[index].most)
    return refuse (error, "it sent a message that claims to be too long", header.length);
  if (header.fds > 1 || (header.fds == 1) != (message->fd >= 0))
    return refuse (error, "it sent a message with other descriptors than it says", header.fds);
  g_autofree guint8 *data = g_try_malloc (MAX (header.length, 1u));
  if (data == NULL)
    return refuse (error, "there is no memory for its message", header.length);
  if (!receive_bytes (wait, data, header.length, NULL, error))
    return FALSE;
  g_autoptr (GBytes) bytes = g_bytes_new_take (g_steal_pointer (&data), header.length);
  message->type = header.type;
  message->payload = g_variant_ref_sink (
      g_variant_new_from_bytes (G_VARIANT_TYPE (types[index].signature), bytes, FALSE));
  if (!g_variant_is_normal_form (message->payload))
    return refuse (error, "it sent a message that is not in normal form", header.type);
  return TRUE;
}

gboolean
sora_peer_receive (SoraPeer *peer, guint seconds, gboolean (*stopped) (gpointer data),
                   gpointer data, SoraPeerMessage *message, gboolean *silent, GError **error)
{
  gboolean unused = FALSE;
  Wait wait = {
    .peer = peer, .stopped = stopped, .data = data, .silent = silent != NULL ? silent : &unused
  };
  if (seconds > 0)
    wait.deadline = g_get_monotonic_time () + (gint64)seconds * G_USEC_PER_SEC;
  message->fd = -1;
  message->payload = NULL;
  if (receive (&wait, message, error))
    return TRUE;
  sora_peer_message_clear (message);
  return FALSE;
}

char *
sora_peer_end_text (SoraPeer *peer)
{
  char text[1024] = "";
  gsize filled = 0;
  gint64 deadline = g_get_monotonic_time () + CONTROL_MS * 1000;
  while (filled < sizeof text - 1 && g_get_monotonic_time () < deadline)
    {
      struct pollfd poll_fd = { .fd = peer->control, .events = POLLIN };
      if (poll (&poll_fd, 1, LOOK_MS) <= 0)
        continue;
      ssize_t n = read (peer->control, text + filled, sizeof text - 1 - filled);
      if (n <= 0)
        break;
      filled += (gsize)n;
    }
  text[strcspn (text, "\n")] = '\0'; /* what comes behind the reason is the end of its process */
  return g_utf8_make_valid (filled > 0 ? text : "ended, and nobody knows of what", -1);
}
