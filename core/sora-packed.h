/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What stands behind the ABI's SoraPacked: bytes made of a model's weights, mapped from a file that
 * is kept, or in memory to be filled and written to one.
 */
#pragma once
#include "sora-instance.h"
#include "sora-packed-store.h"

G_BEGIN_DECLS

/* Of an instance; on its list until it is closed. */
struct SoraPacked
{
  SoraInstance *instance;
  SoraPackedMap map; /* of the file, or of the memory */
  char *key;         /* of the file it becomes; NULL: it is not kept */
  char *slot, *component, *plugin_key; /* of what is made: as it was asked for */
  gboolean sealed;
  SoraPackedWriter *writer; /* until its thread is joined */
  GThread *thread;
  int give_up; /* atomic */
};

/* Both on @instance's list.  Of open, NULL without an error: none is kept. */
SoraPacked *sora_packed_open (SoraInstance *instance, const char *dir, SoraPackedUse use,
                              const char *key, gboolean (*stopped) (gpointer data), gpointer data,
                              GError **error);
SoraPacked *sora_packed_new (SoraInstance *instance, guint64 size, GError **error);
/* From here on it is read-only.  With @writer (taken) a thread writes it. */
void sora_packed_seal (SoraPacked *packed, SoraPackedWriter *writer);
/* Waits for the end of its writing, and gives the memory back; the handle stays good for
 * sora_packed_close().  No lock may be held. */
void sora_packed_drop (SoraPacked *packed);
/* By the plugin, or the end of the instance: the handle is gone. */
void sora_packed_close (SoraPacked *packed);
/* Nobody waits for what is being written: it is thrown away. */
void sora_packed_give_up (SoraPacked *packed);
/* Likewise of all instances: a job was stopped, or the process ends. */
void sora_packed_give_up_all (void);

G_END_DECLS
