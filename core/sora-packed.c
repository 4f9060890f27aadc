/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Packed weights of instances.  They are made in memory of their own and not in a mapping of the file:
 * the kernel slows whoever dirties the pages of a file faster than the disk takes them, and that would be
 * the first step of the first job.  So a thread writes them, while the job goes on with the memory.
 */
#include "config.h"
#include "sora-packed.h"
#include "sora-error.h"
#include "sora-ledger.h"
#include <errno.h>
#include <sys/mman.h>

#define HUGE_PAGE ((gsize)2 << 20)

/* All that is being written. */
static struct
{
  GMutex lock;
  GPtrArray *writing; /* of SoraPacked */
} all;

static SoraPacked *
add (SoraInstance *instance, const SoraPackedMap *map)
{
  SoraPacked *packed = g_new0 (SoraPacked, 1);

  packed->instance = instance;
  packed->map = *map;
  g_mutex_lock (&instance->lock);
  g_ptr_array_add (instance->packed, packed);
  g_mutex_unlock (&instance->lock);
  return packed;
}

SoraPacked *
sora_packed_open (SoraInstance *instance, const char *dir, SoraPackedUse use, const char *key,
                  gboolean (*stopped) (gpointer data), gpointer data, GError **error)
{
  g_autoptr (GError) local = NULL;
  SoraPackedMap map;

  if (sora_packed_map (dir, use, key, stopped, data, &map, &local))
    {
      SoraPacked *packed = add (instance, &map);
      packed->sealed = TRUE;
      return packed;
    }
  if (!g_error_matches (local, SORA_ERROR, SORA_ERROR_NOT_FOUND))
    g_propagate_error (error, g_steal_pointer (&local));
  return NULL;
}

SoraPacked *
sora_packed_new (SoraInstance *instance, guint64 size, GError **error)
{
  char wanted[32];
  SoraPackedMap map = { 0 };

  if (size > 0 && size <= G_MAXSSIZE - 2 * HUGE_PAGE)
    {
      /* Huge pages begin at multiples of their size: what is before the first one is never touched. */
      map.map_size = (gsize)size + HUGE_PAGE;
      map.map = mmap (NULL, map.map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
  if (map.map == NULL || map.map == MAP_FAILED)
    {
      sora_error_set (error, SORA_ERROR_NO_MEMORY, "no memory for %s of packed weights",
                      sora_bytes_to_text (size, wanted));
      return NULL;
    }
  map.data = (const guint8 *)(((guintptr)map.map + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
  map.size = size;
  /* The last page, which is not full, is left small. */
  if (size >= HUGE_PAGE)
    (void)madvise ((void *)map.data, (gsize)size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
  return add (instance, &map);
}

static gpointer
write_thread (gpointer data)
{
  SoraPacked *packed = data;
  g_autoptr (GError) error = NULL;

  if (!sora_packed_writer_run (packed->writer, packed->map.data, &packed->give_up, &error)
      && !g_error_matches (error, SORA_ERROR, SORA_ERROR_CANCELLED))
    g_message ("packed weights are not kept: %s", error->message);
  return NULL;
}

void
sora_packed_seal (SoraPacked *packed, SoraPackedWriter *writer)
{
  packed->sealed = TRUE;
  (void)mprotect (packed->map.map, packed->map.map_size, PROT_READ);
  if (writer == NULL)
    return;
  packed->writer = writer;
  g_mutex_lock (&all.lock);
  if (all.writing == NULL)
    all.writing = g_ptr_array_new ();
  g_ptr_array_add (all.writing, packed);
  g_mutex_unlock (&all.lock);
  packed->thread = g_thread_new ("sora-packed", write_thread, packed);
}

void
sora_packed_give_up (SoraPacked *packed)
{
  g_atomic_int_set (&packed->give_up, TRUE);
}

void
sora_packed_give_up_all (void)
{
  g_mutex_lock (&all.lock);
  for (guint i = 0; all.writing != NULL && i < all.writing->len; i++)
    sora_packed_give_up (g_ptr_array_index (all.writing, i));
  g_mutex_unlock (&all.lock);
}

void
sora_packed_drop (SoraPacked *packed)
{
  if (packed->thread != NULL)
    {
      g_clear_pointer (&packed->thread, g_thread_join);
      g_mutex_lock (&all.lock);
      g_ptr_array_remove_fast (all.writing, packed);
      if (all.writing->len == 0)
        g_clear_pointer (&all.writing, g_ptr_array_unref);
      g_mutex_unlock (&all.lock);
    }
  g_clear_pointer (&packed->writer, sora_packed_writer_free);
  sora_packed_unmap (&packed->map);
}

void
sora_packed_close (SoraPacked *packed)
{
  SoraInstance *instance = packed->instance;

  sora_packed_drop (packed);
  g_mutex_lock (&instance->lock);
  g_ptr_array_remove_fast (instance->packed, packed);
  g_mutex_unlock (&instance->lock);
  g_free (packed->key);
  g_free (packed->slot);
  g_free (packed->component);
  g_free (packed->plugin_key);
  g_free (packed);
}
