/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Modules that were opened.  An upgrade puts another file in a module's place while a process has
 * the old one: a digest of the file is then none of the code that runs.
 */
#include "config.h"
#include "sora-module.h"
#include "sora-file.h"
#include <sys/stat.h>

static GMutex lock;
static GHashTable *opened; /* char* absolute path -> SoraFileIdentity*; for ever, as modules are */

static gboolean
look (const char *path, SoraFileIdentity *identity)
{
  struct stat st;
  if (stat (path, &st) != 0)
    return FALSE;
  *identity = sora_file_identity (&st);
  return TRUE;
}

void
sora_module_note (const char *path)
{
  char *absolute = g_canonicalize_filename (path, NULL);
  SoraFileIdentity identity = { 0 };

  (void)look (absolute, &identity);
  g_mutex_lock (&lock);
  if (opened == NULL)
    opened = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  if (g_hash_table_contains (opened, absolute))
    g_free (absolute);
  else
    g_hash_table_insert (opened, absolute, g_memdup2 (&identity, sizeof identity));
  g_mutex_unlock (&lock);
}

char *
sora_module_describe_replaced (const char *path)
{
  g_autofree char *absolute = g_canonicalize_filename (path, NULL);
  SoraFileIdentity now = { 0 };
  char *text = NULL;

  (void)look (absolute, &now);
  g_mutex_lock (&lock);
  const SoraFileIdentity *then = opened != NULL ? g_hash_table_lookup (opened, absolute) : NULL;
  if (then != NULL && !sora_file_identity_equal (then, &now))
    text = g_strdup_printf ("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT
                            " %" G_GINT64_FORMAT " %" G_GINT64_FORMAT,
                            then->dev, then->ino, then->size, then->mtime, then->ctime);
  g_mutex_unlock (&lock);
  return text;
}
