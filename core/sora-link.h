/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Links: what carries tensors from one output to one input.  An interface, so that a socket with
 * shared memory can stand where the queue of today stands; nothing here blocks, and every call is
 * made under the runner's lock: waiting is the runner's business, which alone sees who waits for
 * whom.
 */
#pragma once
#include "sora-tensor.h"

G_BEGIN_DECLS

typedef struct SoraLink SoraLink;

typedef struct
{
  /* Takes the reference.  Only after sora_link_has_room(). */
  void (*push) (SoraLink *link, SoraTensor *tensor);
  /* A reference and its bytes, or NULL if nothing is there now. */
  SoraTensor *(*pull) (SoraLink *link, guint64 *bytes);
  void (*free) (SoraLink *link);
} SoraLinkClass;

struct SoraLink
{
  const SoraLinkClass *klass;
  char *from, *to;   /* "decode:frames", "mark:frames", for messages */
  gpointer consumer; /* the SoraTask that pulls; NULL: outputs are collected */
  gboolean closed;   /* the producer has ended */
  gboolean dropped;  /* the consumer has ended: what is pushed goes nowhere */
  guint tensors;     /* waiting now */
  guint64 bytes;
  guint max_tensors; /* limits; one tensor is taken whatever its size */
  guint64 max_bytes;
  guint peak_tensors; /* the highest that was seen */
  guint64 peak_bytes;
  guint enlarged; /* how often it was made larger to get a diamond going */
};

/* A queue in this process. */
SoraLink *sora_link_new_queue (const char *from, const char *to, guint max_tensors,
                               guint64 max_bytes);
void sora_link_free (SoraLink *link);
gboolean sora_link_has_room (const SoraLink *link, guint64 bytes);
void sora_link_push (SoraLink *link, SoraTensor *tensor, guint64 bytes);
SoraTensor *sora_link_pull (SoraLink *link, guint64 *bytes);
/* The consumer has ended: discards what waits, and gives its bytes. */
guint64 sora_link_drop (SoraLink *link);
/* Room for one more tensor of @bytes than there is. */
void sora_link_enlarge (SoraLink *link, guint64 bytes);

G_END_DECLS
