/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The byte protocol between sorad and sora-worker: messages and the bounded parser.
 * docs/protocol.md is its contract.
 *
 * A stream of frames, little-endian: u32 length of the payload (at most 16 MiB), u16 type, u16
 * flags, u64 job; then the payload, a GVariant of the type's own signature in normal form,
 * little-endian.  No descriptors travel: a worker behind ssh or srun speaks the same.
 */
#pragma once
#include <glib.h>
#include "core/sora-error.h"

G_BEGIN_DECLS

#define SORA_PROTOCOL_VERSION 1u
#define SORA_FRAME_HEADER_SIZE 16u
#define SORA_FRAME_MAX_PAYLOAD (16u * 1024 * 1024)
#define SORA_BLOB_CHUNK_SIZE (256u * 1024)  /* what we send */
#define SORA_BLOB_MAX_CHUNK (1024u * 1024)  /* what we take */
#define SORA_BLOB_WINDOW (4u * 1024 * 1024) /* bytes of a blob that may stand unacknowledged */

/* "up" is from worker to daemon.  The signatures of the payloads stand in docs/protocol.md. */
typedef enum
{
  SORA_MESSAGE_HELLO = 1,        /* both: versions and capabilities */
  SORA_MESSAGE_HEARTBEAT = 2,    /* up */
  SORA_MESSAGE_RUN = 3,          /* down: a request, to be run */
  SORA_MESSAGE_CHECK = 4,        /* down: a request, to be planned */
  SORA_MESSAGE_DESCRIBE = 5,     /* down: a plugin, a pipeline, or all */
  SORA_MESSAGE_CANCEL = 6,       /* down */
  SORA_MESSAGE_WANT_PREVIEW = 7, /* down */
  SORA_MESSAGE_PROGRESS = 8,     /* up */
  SORA_MESSAGE_LOG = 9,          /* up: what stages say */
  SORA_MESSAGE_STAGE_DONE = 10,  /* up: with its seconds */
  SORA_MESSAGE_RESULT = 11,      /* up: the job is done, all artifacts were acknowledged */
  SORA_MESSAGE_ERROR = 12,       /* up: the job, check or description failed */
  SORA_MESSAGE_CHECKED = 13,     /* up */
  SORA_MESSAGE_DESCRIPTION = 14, /* up */
  SORA_MESSAGE_BLOB_BEGIN = 15,  /* both */
  SORA_MESSAGE_BLOB_CHUNK = 16,  /* both */
  SORA_MESSAGE_BLOB_END = 17,    /* both: with the digest */
  SORA_MESSAGE_BLOB_ACK = 18,    /* both: bytes taken, or all in their place */
  SORA_MESSAGE_THIRD_PARTY = 19, /* up: stages that are not sorad's own, and their levels */
} SoraMessageType;

typedef enum
{
  SORA_FRAME_OPTIONAL = 1 << 0, /* a receiver that does not know the type skips it */
} SoraFrameFlags;

/* Who reads: a type that never goes this way is refused. */
typedef enum
{
  SORA_SIDE_DAEMON,
  SORA_SIDE_WORKER
} SoraSide;

typedef struct
{
  guint16 type;
  guint16 flags;
  guint64 job;
  GVariant *payload; /* of the type's signature, in normal form */
} SoraMessage;

void sora_message_free (SoraMessage *message);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraMessage, sora_message_free)

const char *sora_message_type_name (guint16 type); /* "BLOB_CHUNK"; NULL: unknown */

/**
 * sora_message_encode:
 * @payload: sunk if floating; of the type's signature
 *
 * Returns: (transfer full): a whole frame.  Errors: SORA_ERROR_PROTOCOL if it is too large for its
 * type
 */
GBytes *sora_message_encode (SoraMessageType type, guint64 job, GVariant *payload, GError **error);

typedef struct SoraParser SoraParser;

SoraParser *sora_parser_new (SoraSide side);
void sora_parser_free (SoraParser *parser);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraParser, sora_parser_free)

/* Adds what was read.  Memory grows with what has come, never by a length that a peer claims. */
void sora_parser_feed (SoraParser *parser, const void *data, gsize size);

/**
 * sora_parser_next:
 * @message: (out): the next whole message, or NULL: more bytes are needed
 *
 * Returns: FALSE with SORA_ERROR_PROTOCOL when the stream broke a rule; it cannot be read any
 * further then
 */
gboolean sora_parser_next (SoraParser *parser, SoraMessage **message, GError **error);

/* TRUE between two frames: a stream that ends elsewhere was cut. */
gboolean sora_parser_is_idle (SoraParser *parser);

G_END_DECLS
