/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target: the byte protocol between sorad and sora-worker.  The first byte says who reads and
 * in which pieces the stream comes.  A message that is taken is in normal form, and encodes again
 * to a frame of its size.
 */
#include "config.h"
#include "fuzz.h"
#include "dbus/sora-protocol.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  if (size == 0)
    return 0;
  size_t piece = data[0] >> 1 ? data[0] >> 1 : size;
  g_autoptr (SoraParser) parser
      = sora_parser_new (data[0] & 1 ? SORA_SIDE_DAEMON : SORA_SIDE_WORKER);
  for (size_t at = 1; at < size; at += piece)
    {
      sora_parser_feed (parser, data + at, MIN (piece, size - at));
      for (;;)
        {
          g_autoptr (SoraMessage) message = NULL;
          g_autoptr (GError) error = NULL;
          gboolean ok = sora_parser_next (parser, &message, &error);
          MUST_TELL (ok, error);
          MUST (ok || message == NULL);
          if (!message)
            {
              if (!ok)
                return 0;
              break;
            }
          MUST (sora_message_type_name (message->type) != NULL);
          MUST (g_variant_is_normal_form (message->payload));
          g_autoptr (GBytes) frame
              = sora_message_encode (message->type, message->job, message->payload, NULL);
          MUST (frame != NULL);
          MUST (g_bytes_get_size (frame)
                == SORA_FRAME_HEADER_SIZE + g_variant_get_size (message->payload));
        }
    }
  return 0;
}
