/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The folder of what is kept.  An entry is a checkpoint file under a name of its own, so it is written
 * and checked as those are.  Names are keyed digests: the key is a file beside them, so that a name
 * tells neither what is in it nor that two machines have the same.
 */
#include "config.h"
#include "sora-cache-private.h"
#include "sora-checkpoint.h"
#include "sora-error.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define ENDING ".checkpoint"
#define SECRET "secret"
#define SECRET_SIZE 32

char *
sora_cache_default_dir (void)
{
  return g_build_filename (g_get_user_cache_dir (), "sorad", "stages", NULL);
}

static gboolean
make_secret (const char *path, GError **error)
{
  char secret[SECRET_SIZE];

  if (getrandom (secret, sizeof secret, 0) != sizeof secret)
    {
      sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "random numbers for '%s'", path);
      return FALSE;
    }
  return g_file_set_contents_full (path, secret, sizeof secret, G_FILE_SET_CONTENTS_CONSISTENT, 0600,
                                   error);
}

/* The name of an entry, or NULL. */
static char *
entry_name (const char *dir, const char *key, gboolean make, GError **error)
{
  g_autofree char *path = g_build_filename (dir, SECRET, NULL), *secret = NULL;
  gsize size = 0;

  /* With another one the entries that there are have other names: they stay until they are the oldest. */
  if (!g_file_get_contents (path, &secret, &size, NULL) || size != SECRET_SIZE)
    {
      g_clear_pointer (&secret, g_free);
      if (!make || !make_secret (path, error) || !g_file_get_contents (path, &secret, &size, error))
        return NULL;
    }
  return g_compute_hmac_for_string (G_CHECKSUM_SHA256, (const guchar *)secret, size, key, -1);
}

GBytes *
sora_cache_load (const char *dir, const char *key)
{
  g_autofree char *name = entry_name (dir, key, FALSE, NULL), *why = NULL;

  if (name == NULL)
    return NULL;
  GBytes *entry = sora_checkpoint_load (dir, 0, name, key, &why);
  if (why != NULL)
    {
      g_debug ("an entry of '%s' is made anew: %s", dir, why);
      sora_checkpoint_remove (dir, 0, name);
    }
  if (entry != NULL)
    {
      /* Its time is when it was used last. */
      g_autofree char *file = g_strdup_printf ("%s/0-%s" ENDING, dir, name);
      (void)utimensat (AT_FDCWD, file, NULL, 0);
    }
  return entry;
}

typedef struct
{
  char *path;
  guint64 bytes;
  gint64 used; /* ns */
} Entry;

static void
entry_free (gpointer data)
{
  Entry *entry = data;
  g_free (entry->path);
  g_free (entry);
}

/* What was left by a process that was killed counts, too: it has the name of an entry in it. */
static GPtrArray *
list_entries (const char *dir)
{
  GPtrArray *entries = g_ptr_array_new_with_free_func (entry_free);
  g_autoptr (GDir) folder = g_dir_open (dir, 0, NULL);
  const char *name;

  while (folder != NULL && (name = g_dir_read_name (folder)) != NULL)
    {
      g_autofree char *path = g_build_filename (dir, name, NULL);
      struct stat st;
      if (strstr (name, ENDING) == NULL || lstat (path, &st) != 0 || !S_ISREG (st.st_mode))
        continue;
      Entry *entry = g_new0 (Entry, 1);
      entry->path = g_steal_pointer (&path);
      entry->bytes = (guint64)st.st_size;
      entry->used = st.st_mtim.tv_sec * G_GINT64_CONSTANT (1000000000) + st.st_mtim.tv_nsec;
      g_ptr_array_add (entries, entry);
    }
  return entries;
}

static int
compare_used (gconstpointer a, gconstpointer b)
{
  const Entry *x = *(const Entry *const *)a, *y = *(const Entry *const *)b;
  return x->used < y->used ? -1 : x->used > y->used ? 1 : strcmp (x->path, y->path);
}

guint
sora_cache_measure (const char *dir, guint64 *bytes)
{
  g_autoptr (GPtrArray) entries = list_entries (dir);

  *bytes = 0;
  for (guint i = 0; i < entries->len; i++)
    *bytes += ((Entry *)g_ptr_array_index (entries, i))->bytes;
  return entries->len;
}

gboolean
sora_cache_clear (const char *dir, GError **error)
{
  g_autoptr (GPtrArray) entries = list_entries (dir);
  Entry *secret = g_new0 (Entry, 1);

  secret->path = g_build_filename (dir, SECRET, NULL);
  g_ptr_array_add (entries, secret);
  for (guint i = 0; i < entries->len; i++)
    {
      const Entry *entry = g_ptr_array_index (entries, i);
      if (g_unlink (entry->path) == 0 || errno == ENOENT)
        continue;
      sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "removing '%s'", entry->path);
      return FALSE;
    }
  return TRUE;
}

gboolean
sora_cache_save (const char *dir, const char *key, GBytes *entry, guint64 limit, GError **error)
{
  if (g_mkdir_with_parents (dir, 0700) != 0)
    {
      sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "making the folder '%s'", dir);
      return FALSE;
    }
  g_autofree char *name = entry_name (dir, key, TRUE, error);
  if (name == NULL)
    return FALSE;
  gsize size;
  gconstpointer data = g_bytes_get_data (entry, &size);
  if (!sora_checkpoint_save (dir, 0, name, key, data, size, error))
    return FALSE;

  guint64 bytes;
  sora_cache_measure (dir, &bytes);
  g_autoptr (GPtrArray) entries = list_entries (dir);
  g_ptr_array_sort (entries, compare_used);
  for (guint i = 0; i < entries->len && bytes > limit; i++)
    {
      const Entry *oldest = g_ptr_array_index (entries, i);
      if (g_unlink (oldest->path) == 0)
        bytes -= oldest->bytes;
    }
  return TRUE;
}
