/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Asks the file system of the state folder what it has.  What root alone may use is not free.
 */
#include "config.h"
#include "sorad-disk.h"

#include <errno.h>
#include <sys/statvfs.h>

#include "core/sora-error.h"
#include "core/sora-bytes.h"

/* FALSE: it does not say; then the work itself finds out. */
static gboolean
ask (SoradStore *store, guint64 *size, guint64 *available)
{
  struct statvfs disk;
  if (fstatvfs (sorad_store_root (store), &disk) != 0)
    {
      g_warning ("the file system of the state folder does not tell its room: %s",
                 g_strerror (errno));
      return FALSE;
    }
  *size = (guint64)disk.f_blocks * disk.f_frsize;
  *available = (guint64)disk.f_bavail * disk.f_frsize;
  return TRUE;
}

gboolean
sorad_disk_check (const SoradConfig *config, SoradStore *store, GError **error)
{
  guint64 size, available;
  if (!ask (store, &size, &available) || available >= config->free_bytes)
    return TRUE;
  char has[32], keeps[32];
  g_set_error (error, SORA_ERROR, SORA_ERROR_NO_SPACE,
               "the file system of the state folder has %s free, and %s are to stay free "
               "(FreeBytes): delete results, or make room",
               sora_bytes_to_text (available, has),
               sora_bytes_to_text (config->free_bytes, keeps));
  return FALSE;
}

void
sorad_disk_add_options (const SoradConfig *config, SoradStore *store, guint32 uid,
                        GVariantDict *options)
{
  guint64 size, available;
  guint64 stored = sorad_store_bytes (store, uid, SORAD_JOB_ACTIVE);
  guint64 limit = config->max_stored_bytes, reserve = config->free_bytes;
  g_variant_dict_insert (options, "stored-max", "t", limit);
  g_variant_dict_insert (options, "stored-left", "t", limit > stored ? limit - stored : 0);
  if (!ask (store, &size, &available))
    return;
  g_variant_dict_insert (options, "disk-reserve", "t", reserve);
  g_variant_dict_insert (options, "disk-max", "t", size > reserve ? size - reserve : 0);
  g_variant_dict_insert (options, "disk-left", "t",
                         available > reserve ? available - reserve : 0);
}
