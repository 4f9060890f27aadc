/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The user's models folder: where registrations stand, the digests that were recorded, and taking
 * both away. What the user's own files are is never deleted without --delete-files.
 */
#include "config.h"
#include "soractl-console.h"
#include "soractl-models.h"
#include "sora-error.h"
#include <errno.h>
#include <ftw.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#define RECORDS ".registered"
#define CONF "model.conf"

char *
soractl_models_path (const char *name)
{
  return g_build_filename (g_get_user_data_dir (), "sorad", "models", name, NULL);
}

static char *
record_path (const char *name)
{
  g_autofree char *folder = soractl_models_path (RECORDS);
  return g_build_filename (folder, name, NULL);
}

char *
soractl_models_recorded (const char *name)
{
  g_autofree char *path = record_path (name);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  if (!g_key_file_load_from_file (file, path, G_KEY_FILE_NONE, NULL))
    return NULL;
  return g_key_file_get_string (file, "Model", "Digest", NULL);
}

gboolean
soractl_models_record (const char *name, const char *digest, GError **error)
{
  g_autofree char *path = record_path (name), *folder = g_path_get_dirname (path);
  g_autofree char *text = g_strdup_printf ("[Model]\nDigest=%s\n", digest);
  g_autoptr (GError) local = NULL;
  if (g_mkdir_with_parents (folder, 0755) == 0 && g_file_set_contents (path, text, -1, &local))
    return TRUE;
  g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "cannot record the digest in '%s': %s", path,
               local != NULL ? local->message : g_strerror (errno));
  return FALSE;
}

void
soractl_models_forget (const char *name)
{
  g_autofree char *path = record_path (name);
  (void)g_unlink (path);
}

/* ---- remove */

typedef enum
{
  ENTRY_NONE,
  ENTRY_LINK,
  ENTRY_CONF,  /* a folder with a model.conf alone */
  ENTRY_FILES, /* a folder with files of its own */
  ENTRY_OTHER,
} Entry;

static gboolean
holds_conf_alone (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;
  guint n = 0;
  gboolean conf = FALSE;
  for (; dir != NULL && (name = g_dir_read_name (dir)) != NULL; n++)
    conf = conf || g_str_equal (name, CONF);
  return conf && n == 1;
}

static Entry
look_at (const char *path)
{
  struct stat st;
  if (lstat (path, &st) != 0)
    return ENTRY_NONE;
  if (S_ISLNK (st.st_mode))
    return ENTRY_LINK;
  if (!S_ISDIR (st.st_mode))
    return ENTRY_OTHER;
  return holds_conf_alone (path) ? ENTRY_CONF : ENTRY_FILES;
}

static int
delete_one (const char *path, const struct stat *st, int type, struct FTW *place)
{
  (void)st, (void)type, (void)place;
  return remove (path);
}

static gboolean
take_away (const char *path, Entry entry, GError **error)
{
  int failed;
  if (entry == ENTRY_LINK)
    failed = g_unlink (path);
  else /* of a folder's content, links are removed and not followed */
    failed = nftw (path, delete_one, 16, FTW_DEPTH | FTW_PHYS);
  if (failed == 0)
    return TRUE;
  g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "cannot remove '%s': %s", path,
               g_strerror (errno));
  return FALSE;
}

/* Why it cannot be removed: it is not ours, or it is not there. */
static void
explain (SoractlModels *models, const char *name, Entry entry, const char *path, GError **error)
{
  if (entry == ENTRY_FILES || entry == ENTRY_OTHER)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "'%s' holds the model's own files: --delete-files deletes them", path);
      return;
    }
  g_autoptr (SoraModel) model
      = sora_model_find ((const char *const *)models->environment->model_dirs, name, error);
  if (model == NULL)
    return;
  g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
               "model '%s' was not added by you: it is '%s'; remove that folder yourself", name,
               sora_model_path (model));
}

static gboolean
remove_one (SoractlModels *models, const char *name, GError **error)
{
  gboolean plain = *name != '\0' && *name != '.' && strchr (name, '/') == NULL;
  g_autofree char *path = plain ? soractl_models_path (name) : NULL;
  Entry entry = plain ? look_at (path) : ENTRY_NONE;
  gboolean ours = entry == ENTRY_LINK || entry == ENTRY_CONF
                  || (entry == ENTRY_FILES && models->delete_files);
  if (!ours)
    {
      explain (models, name, entry, path, error);
      return FALSE;
    }
  g_autofree char *target = entry == ENTRY_LINK ? g_file_read_link (path, NULL) : NULL;
  if (!take_away (path, entry, error))
    return FALSE;
  soractl_models_forget (name);
  if (!models->global->quiet && !models->global->json)
    {
      if (entry == ENTRY_FILES)
        printf ("%s: deleted with its files\n", name);
      else
        printf ("%s: removed; its files stay%s%s\n", name, target != NULL ? " in " : "",
                target != NULL ? target : "");
    }
  return TRUE;
}

int
soractl_models_remove (SoractlModels *models, char **names)
{
  if (names[0] == NULL)
    return soractl_usage_error ("models", "remove: name a model");
  if (models->global->system)
    return soractl_models_remove_system (models, names);
  for (; *names != NULL; names++)
    {
      g_autoptr (GError) error = NULL;
      if (!remove_one (models, *names, &error))
        return soractl_report (error);
    }
  return SORACTL_OK;
}
