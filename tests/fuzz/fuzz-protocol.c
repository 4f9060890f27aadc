/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target: the byte protocol between sorad and sora-worker.  The first byte says who reads and
 * in which pieces the stream comes.  A message that is taken is in normal form, and encodes again
 * to a frame of its size; what a worker answers is then looked at as the daemon does: blobs, and
 * values that are to go on to the bus, which has to be able to carry what was found fit for it.
 */
#include "config.h"
#include "fuzz.h"
#include "dbus/sora-channel.h"
#include "dbus/sora-protocol.h"
#include "dbus/sorad-value.h"

#include <gio/gio.h>

static void
carry (GVariant *value)
{
  g_autoptr (GError) error = NULL;
  gsize size;
  g_autoptr (GDBusMessage) message = g_dbus_message_new_signal ("/a", "a.a", "a");
  g_dbus_message_set_serial (message, 1);
  g_dbus_message_set_body (message, g_variant_new_tuple (&value, 1));
  g_autofree guchar *blob = g_dbus_message_to_blob (message, &size, G_DBUS_CAPABILITY_FLAGS_NONE,
                                                    &error);
  MUST (blob != NULL);
  g_autoptr (GDBusMessage) back
      = g_dbus_message_new_from_blob (blob, size, G_DBUS_CAPABILITY_FLAGS_NONE, &error);
  MUST (back != NULL);
}

static void
take_answer (const SoraMessage *message)
{
  if (!sorad_is_bus_value (message->payload))
    return;
  carry (message->payload);
  if (message->type != SORA_MESSAGE_RESULT)
    return;
  g_autoptr (GVariant) told = g_variant_get_child_value (message->payload, 0);
  g_autoptr (GVariant) details = sorad_result_details (told);
  MUST (sorad_is_bus_value (details));
}

static gboolean
take_blob (SoraBlob **blob, SoraMessage *message)
{
  g_autoptr (GError) error = NULL;
  gconstpointer bytes;
  gsize size;
  gboolean ok = FALSE;
  if (message->type == SORA_MESSAGE_BLOB_BEGIN)
    {
      sora_blob_free (*blob);
      *blob = sora_blob_begin (message, 1 << 20, &error);
      MUST_TELL (*blob != NULL, error);
      return *blob != NULL;
    }
  if (*blob == NULL)
    return FALSE;
  if (message->type == SORA_MESSAGE_BLOB_CHUNK)
    ok = sora_blob_chunk (*blob, message, &bytes, &size, &error);
  else
    ok = sora_blob_end (*blob, message, &error);
  MUST_TELL (ok, error);
  MUST ((*blob)->received <= (*blob)->size && (*blob)->size <= 1 << 20);
  MUST (!ok || message->type != SORA_MESSAGE_BLOB_END || (*blob)->received == (*blob)->size);
  if (message->type == SORA_MESSAGE_BLOB_END)
    g_clear_pointer (blob, sora_blob_free);
  return ok;
}

static gboolean
take (SoraBlob **blob, SoraMessage *message)
{
  switch ((SoraMessageType)message->type)
    {
    case SORA_MESSAGE_BLOB_BEGIN:
    case SORA_MESSAGE_BLOB_CHUNK:
    case SORA_MESSAGE_BLOB_END:
      return take_blob (blob, message);
    case SORA_MESSAGE_CHECKED:
    case SORA_MESSAGE_DESCRIPTION:
    case SORA_MESSAGE_RESULT:
      take_answer (message);
      return TRUE;
    default:
      return TRUE;
    }
}

/* FALSE: there is no more for now; @broken: nor ever. */
static gboolean
next (SoraParser *parser, SoraBlob **blob, gboolean *broken)
{
  g_autoptr (SoraMessage) message = NULL;
  g_autoptr (GError) error = NULL;
  gboolean ok = sora_parser_next (parser, &message, &error);
  MUST_TELL (ok, error);
  MUST (ok || message == NULL);
  *broken = !ok;
  if (!message)
    return FALSE;
  MUST (sora_message_type_name (message->type) != NULL);
  MUST (g_variant_is_normal_form (message->payload));
  g_autoptr (GBytes) frame
      = sora_message_encode (message->type, message->job, message->payload, NULL);
  MUST (frame != NULL);
  MUST (g_bytes_get_size (frame)
        == SORA_FRAME_HEADER_SIZE + g_variant_get_size (message->payload));
  *broken = !take (blob, message);
  return !*broken;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  if (size == 0)
    return 0;
  size_t piece = data[0] >> 1 ? data[0] >> 1 : size;
  g_autoptr (SoraBlob) blob = NULL;
  g_autoptr (SoraParser) parser
      = sora_parser_new (data[0] & 1 ? SORA_SIDE_DAEMON : SORA_SIDE_WORKER);
  gboolean broken = FALSE;
  for (size_t at = 1; !broken && at < size; at += piece)
    {
      sora_parser_feed (parser, data + at, MIN (piece, size - at));
      while (next (parser, &blob, &broken))
        ;
    }
  return 0;
}
