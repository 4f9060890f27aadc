/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The folder of what is kept.  An entry is a checkpoint file under a name of its own, so it is
 * written and checked as those are.  Names are keyed digests: the key is a file beside them, so
 * that a name tells neither what is in it nor that two machines have the same.
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

/* What was left by a process that was killed counts, too: it has the name of an entry in it. */
static const char *const entry_marks[] = { ENDING, NULL };

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
  return g_file_set_contents_full (path, secret, sizeof secret, G_FILE_SET_CONTENTS_CONSISTENT,
                                   0600, error);
}

/* The name of an entry, or NULL. */
static char *
entry_name (const char *dir, const char *key, gboolean make, GError **error)
{
  g_autofree char *path = g_build_filename (dir, SECRET, NULL), *secret = NULL;
  gsize size = 0;

  /* With another one the entries that there are have other names: they stay until they are the
   * oldest. */
  if (!g_file_get_contents (path, &secret, &size, NULL) || size != SECRET_SIZE)
    {
      g_clear_pointer (&secret, g_free);
      if (!make || !make_secret (path, error) || !g_file_get_contents (path, &secret, &size, error))
        return NULL;
    }
  return g_compute_hmac_for_string (G_CHECKSUM_SHA256, (const guchar *)secret, size, key, -1);
}

GBytes *
sora_cache_load (const char *dir, const char *key, char **why)
{
  g_autofree char *name = entry_name (dir, key, FALSE, NULL);

  *why = NULL;
  if (name == NULL)
    return NULL;
  GBytes *entry = sora_checkpoint_load (dir, 0, name, key, why);
  if (*why != NULL)
    sora_checkpoint_remove (dir, 0, name);
  if (entry != NULL)
    {
      /* Its time is when it was used last. */
      g_autofree char *file = g_strdup_printf ("%s/0-%s" ENDING, dir, name);
      (void)utimensat (AT_FDCWD, file, NULL, 0);
    }
  return entry;
}

static void
entry_free (gpointer data)
{
  SoraCacheFile *entry = data;
  g_free (entry->path);
  g_free (entry);
}

GPtrArray *
sora_cache_files (const char *dir, const char *const *marks)
{
  GPtrArray *entries = g_ptr_array_new_with_free_func (entry_free);
  g_autoptr (GDir) folder = g_dir_open (dir, 0, NULL);
  const char *name;

  while (folder != NULL && (name = g_dir_read_name (folder)) != NULL)
    {
      g_autofree char *path = g_build_filename (dir, name, NULL);
      gboolean wanted = FALSE;
      struct stat st;
      for (guint i = 0; marks[i] != NULL; i++)
        wanted |= strstr (name, marks[i]) != NULL;
      if (!wanted || lstat (path, &st) != 0 || !S_ISREG (st.st_mode))
        continue;
      SoraCacheFile *entry = g_new0 (SoraCacheFile, 1);
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
  const SoraCacheFile *x = *(const SoraCacheFile *const *)a, *y = *(const SoraCacheFile *const *)b;
  return x->used < y->used ? -1 : x->used > y->used ? 1 : strcmp (x->path, y->path);
}

void
sora_cache_evict (const char *dir, const char *const *marks, guint64 limit)
{
  g_autoptr (GPtrArray) files = sora_cache_files (dir, marks);
  guint64 bytes = 0;

  for (guint i = 0; i < files->len; i++)
    bytes += ((SoraCacheFile *)g_ptr_array_index (files, i))->bytes;
  g_ptr_array_sort (files, compare_used);
  for (guint i = 0; i < files->len && bytes > limit; i++)
    {
      const SoraCacheFile *oldest = g_ptr_array_index (files, i);
      if (g_unlink (oldest->path) == 0)
        bytes -= oldest->bytes;
    }
}

gboolean
sora_cache_remove (const char *dir, const char *const *marks, GError **error)
{
  g_autoptr (GPtrArray) files = sora_cache_files (dir, marks);

  for (guint i = 0; i < files->len; i++)
    {
      const SoraCacheFile *file = g_ptr_array_index (files, i);
      if (g_unlink (file->path) == 0 || errno == ENOENT)
        continue;
      sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "removing '%s'", file->path);
      return FALSE;
    }
  return TRUE;
}

gboolean
sora_cache_read_limit (const char *variable, guint64 usual, guint64 *limit, GError **error)
{
  const char *text = g_getenv (variable), *units = "KMGT";
  char *end;

  *limit = usual;
  if (text == NULL || *text == '\0')
    return TRUE;
  *limit = g_ascii_strtoull (text, &end, 10);
  const char *unit = *end != '\0' ? strchr (units, g_ascii_toupper (*end)) : NULL;
  gboolean ok = g_ascii_isdigit (text[0]) && (*end == '\0' || (unit != NULL && end[1] == '\0'));
  for (const char *u = units; ok && unit != NULL && u <= unit; u++)
    ok = g_uint64_checked_mul (limit, *limit, 1024);
  if (!ok)
    sora_error_set (error, SORA_ERROR_INVALID_REQUEST,
                    "%s is '%s', expected bytes, or a number with K, M, G or T: 20G", variable,
                    text);
  return ok;
}

guint
sora_cache_measure (const char *dir, guint64 *bytes)
{
  g_autoptr (GPtrArray) entries = sora_cache_files (dir, entry_marks);

  *bytes = 0;
  for (guint i = 0; i < entries->len; i++)
    *bytes += ((SoraCacheFile *)g_ptr_array_index (entries, i))->bytes;
  return entries->len;
}

gboolean
sora_cache_clear (const char *dir, GError **error)
{
  /* The secret is a name of its own, and the only one that has that word in it. */
  static const char *const all[] = { ENDING, SECRET, NULL };
  return sora_cache_remove (dir, all, error);
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

  sora_cache_evict (dir, entry_marks, limit);
  return TRUE;
}
