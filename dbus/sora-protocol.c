/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Frames and the table of messages.  Everything that comes in is held to be hostile: a length is
 * compared with the type's own limit before anything is kept for it, and a payload is used only in
 * its normal form.
 */
#include "config.h"
#include "sora-protocol.h"

#include <string.h>

enum
{
  UP = 1 << 0,   /* worker to daemon */
  DOWN = 1 << 1, /* daemon to worker */
  BOTH = UP | DOWN
};

typedef struct
{
  const char *name;
  const char *signature;
  guint32 max_payload;
  guint8 ways;
} MessageInfo;

#define KIB(n) ((n)*1024u)
static const MessageInfo messages[] = {
  [SORA_MESSAGE_HELLO] = { "HELLO", "(usa{sv})", KIB (64), BOTH },
  [SORA_MESSAGE_HEARTBEAT] = { "HEARTBEAT", "(t)", 64, UP },
  [SORA_MESSAGE_RUN] = { "RUN", "(a{sv}a{sv})", SORA_FRAME_MAX_PAYLOAD, DOWN },
  [SORA_MESSAGE_CHECK] = { "CHECK", "(a{sv}a{sv})", SORA_FRAME_MAX_PAYLOAD, DOWN },
  [SORA_MESSAGE_DESCRIBE] = { "DESCRIBE", "(ss)", KIB (4), DOWN },
  [SORA_MESSAGE_CANCEL] = { "CANCEL", "()", 64, DOWN },
  [SORA_MESSAGE_WANT_PREVIEW] = { "WANT_PREVIEW", "(b)", 64, DOWN },
  [SORA_MESSAGE_PROGRESS] = { "PROGRESS", "(dusuud)", KIB (4), UP },
  [SORA_MESSAGE_LOG] = { "LOG", "(iss)", KIB (64), UP },
  [SORA_MESSAGE_STAGE_DONE] = { "STAGE_DONE", "(usdd)", KIB (4), UP },
  [SORA_MESSAGE_RESULT] = { "RESULT", "(a{sv})", KIB (1024), UP },
  [SORA_MESSAGE_ERROR] = { "ERROR", "(ssa{sv})", KIB (64), UP },
  [SORA_MESSAGE_CHECKED] = { "CHECKED", "(aa{sv}a{sv})", KIB (4096), UP },
  [SORA_MESSAGE_DESCRIPTION] = { "DESCRIPTION", "(a{sv})", KIB (4096), UP },
  [SORA_MESSAGE_BLOB_BEGIN] = { "BLOB_BEGIN", "(ussta{sv})", KIB (64), BOTH },
  [SORA_MESSAGE_BLOB_CHUNK] = { "BLOB_CHUNK", "(uay)", SORA_BLOB_MAX_CHUNK + 64, BOTH },
  [SORA_MESSAGE_BLOB_END] = { "BLOB_END", "(uay)", 256, BOTH },
  [SORA_MESSAGE_BLOB_ACK] = { "BLOB_ACK", "(utb)", 64, BOTH },
  [SORA_MESSAGE_THIRD_PARTY] = { "THIRD_PARTY", "(a{ss})", KIB (64), UP },
};

struct SoraParser
{
  SoraSide side;
  GByteArray *buffer;
  gsize start;  /* of the first byte not consumed yet */
  guint32 skip; /* bytes that remain of an optional frame of unknown type */
};

static const MessageInfo *
message_info (guint16 type)
{
  return type < G_N_ELEMENTS (messages) && messages[type].name ? &messages[type] : NULL;
}

void
sora_message_free (SoraMessage *message)
{
  if (!message)
    return;
  g_clear_pointer (&message->payload, g_variant_unref);
  g_free (message);
}

const char *
sora_message_type_name (guint16 type)
{
  const MessageInfo *info = message_info (type);
  return info ? info->name : NULL;
}

static GVariant *
to_little_endian (GVariant *value)
{
  if (G_BYTE_ORDER == G_LITTLE_ENDIAN)
    return g_variant_ref (value);
  return g_variant_byteswap (value);
}

GBytes *
sora_message_encode (SoraMessageType type, guint64 job, GVariant *payload, GError **error)
{
  g_autoptr (GVariant) owned = g_variant_ref_sink (payload);
  const MessageInfo *info = message_info (type);
  g_return_val_if_fail (info != NULL, NULL);
  g_return_val_if_fail (g_variant_is_of_type (owned, G_VARIANT_TYPE (info->signature)), NULL);

  g_autoptr (GVariant) normal = g_variant_get_normal_form (owned);
  g_autoptr (GVariant) wire = to_little_endian (normal);
  gsize size = g_variant_get_size (wire);
  if (size > info->max_payload)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
                   "protocol: a %s of %" G_GSIZE_FORMAT
                   " bytes is too large, at most %u can be sent",
                   info->name, size, info->max_payload);
      return NULL;
    }
  guint8 *frame = g_malloc (SORA_FRAME_HEADER_SIZE + size);
  guint32 length = GUINT32_TO_LE ((guint32)size);
  guint16 type_le = GUINT16_TO_LE ((guint16)type);
  guint16 flags_le = 0;
  guint64 job_le = GUINT64_TO_LE (job);
  memcpy (frame, &length, 4);
  memcpy (frame + 4, &type_le, 2);
  memcpy (frame + 6, &flags_le, 2);
  memcpy (frame + 8, &job_le, 8);
  g_variant_store (wire, frame + SORA_FRAME_HEADER_SIZE);
  return g_bytes_new_take (frame, SORA_FRAME_HEADER_SIZE + size);
}

SoraParser *
sora_parser_new (SoraSide side)
{
  SoraParser *parser = g_new0 (SoraParser, 1);
  parser->side = side;
  parser->buffer = g_byte_array_new ();
  return parser;
}

void
sora_parser_free (SoraParser *parser)
{
  if (!parser)
    return;
  g_byte_array_unref (parser->buffer);
  g_free (parser);
}

static gsize
available (const SoraParser *parser)
{
  return parser->buffer->len - parser->start;
}

static void
consume (SoraParser *parser, gsize size)
{
  parser->start += size;
  if (parser->start == parser->buffer->len)
    {
      g_byte_array_set_size (parser->buffer, 0);
      parser->start = 0;
    }
}

static void
skip_pending (SoraParser *parser)
{
  gsize size = MIN ((gsize)parser->skip, available (parser));
  parser->skip -= (guint32)size;
  consume (parser, size);
}

void
sora_parser_feed (SoraParser *parser, const void *data, gsize size)
{
  if (parser->start > 0)
    {
      g_byte_array_remove_range (parser->buffer, 0, (guint)parser->start);
      parser->start = 0;
    }
  g_byte_array_append (parser->buffer, data, (guint)size);
  skip_pending (parser);
}

gboolean
sora_parser_is_idle (SoraParser *parser)
{
  return parser->skip == 0 && available (parser) == 0;
}

static gboolean
check_header (const SoraParser *parser, const MessageInfo *info, guint32 length, guint16 type,
              guint16 flags, GError **error)
{
  if (length > SORA_FRAME_MAX_PAYLOAD)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
                   "protocol: a frame claims %u bytes, at most %u are allowed", length,
                   SORA_FRAME_MAX_PAYLOAD);
      return FALSE;
    }
  if (!info && !(flags & SORA_FRAME_OPTIONAL))
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
                   "protocol: message type %u is not known and not optional", type);
      return FALSE;
    }
  if (info && length > info->max_payload)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
                   "protocol: a %s claims %u bytes, at most %u are allowed", info->name, length,
                   info->max_payload);
      return FALSE;
    }
  if (info && !(info->ways & (parser->side == SORA_SIDE_DAEMON ? UP : DOWN)))
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL, "protocol: a %s cannot come from a %s",
                   info->name, parser->side == SORA_SIDE_DAEMON ? "worker" : "daemon");
      return FALSE;
    }
  return TRUE;
}

/* The payload is copied into memory of its own: GVariant wants it aligned, and it outlives the
 * buffer. */
static GVariant *
decode_payload (const MessageInfo *info, const guint8 *data, gsize size, GError **error)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);
  g_autoptr (GVariant) value = g_variant_ref_sink (
      g_variant_new_from_bytes (G_VARIANT_TYPE (info->signature), bytes, FALSE));
  if (!g_variant_is_normal_form (value))
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
                   "protocol: the payload of a %s (%" G_GSIZE_FORMAT " bytes) is not a normal %s",
                   info->name, size, info->signature);
      return NULL;
    }
  return to_little_endian (value);
}

gboolean
sora_parser_next (SoraParser *parser, SoraMessage **message, GError **error)
{
  *message = NULL;
  for (;;)
    {
      if (parser->skip > 0 || available (parser) < SORA_FRAME_HEADER_SIZE)
        return TRUE;

      const guint8 *header = parser->buffer->data + parser->start;
      guint32 length;
      guint16 type, flags;
      guint64 job;
      memcpy (&length, header, 4);
      memcpy (&type, header + 4, 2);
      memcpy (&flags, header + 6, 2);
      memcpy (&job, header + 8, 8);
      length = GUINT32_FROM_LE (length);
      type = GUINT16_FROM_LE (type);
      flags = GUINT16_FROM_LE (flags);

      const MessageInfo *info = message_info (type);
      if (!check_header (parser, info, length, type, flags, error))
        return FALSE;
      if (!info)
        {
          consume (parser, SORA_FRAME_HEADER_SIZE);
          parser->skip = length;
          skip_pending (parser);
          continue;
        }
      if (available (parser) < SORA_FRAME_HEADER_SIZE + (gsize)length)
        return TRUE;

      GVariant *payload = decode_payload (info, header + SORA_FRAME_HEADER_SIZE, length, error);
      if (!payload)
        return FALSE;
      consume (parser, SORA_FRAME_HEADER_SIZE + (gsize)length);
      *message = g_new0 (SoraMessage, 1);
      (*message)->type = type;
      (*message)->flags = flags;
      (*message)->job = GUINT64_FROM_LE (job);
      (*message)->payload = payload;
      return TRUE;
    }
}
