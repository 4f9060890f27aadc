/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl models add: registers a model where it lies. Everything that can be wrong with it is
 * found before anything stands in the models folder under its name.
 */
#include "config.h"
#include "soractl-console.h"
#include "soractl-models.h"
#include "sora-error.h"
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define CONF "model.conf"
#define MAX_NAME 255

/* A registration that is being made: a hidden folder, which goes away unless it is given its name.
 */
typedef struct
{
  char *folder;
} Staging;

static void
staging_clear (Staging *staging)
{
  if (staging->folder == NULL)
    return;
  g_autofree char *conf = g_build_filename (staging->folder, CONF, NULL);
  (void)g_unlink (conf);
  (void)g_rmdir (staging->folder);
  g_clear_pointer (&staging->folder, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Staging, staging_clear)

G_GNUC_PRINTF (3, 4)
static gboolean
refuse (GError **error, SoraError code, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error_literal (error, SORA_ERROR, (int)code, text);
  return FALSE;
}

/* What it shall be called: as its folder, or as the transformer's file without its ending. */
static char *
choose_name (SoractlModels *models, const char *folder, const char *conf)
{
  if (models->name != NULL)
    return g_strdup (models->name);
  if (conf == NULL)
    return g_path_get_basename (folder);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_key_file_load_from_data (file, conf, (gsize)-1, G_KEY_FILE_NONE, NULL);
  g_autofree char *path = g_key_file_get_string (file, "transformer", "File", NULL);
  char *name = g_path_get_basename (path != NULL ? path : "");
  if (g_str_has_suffix (name, ".safetensors"))
    name[strlen (name) - strlen (".safetensors")] = '\0';
  return name;
}

static gboolean
check_name (SoractlModels *models, const char *name, GError **error)
{
  if (*name == '\0' || *name == '.' || strchr (name, '/') != NULL || strlen (name) > MAX_NAME
      || !g_utf8_validate (name, -1, NULL))
    return refuse (error, SORA_ERROR_INVALID_REQUEST,
                   "'%s' is no name for a model: expected a plain file name in UTF-8 that does not "
                   "begin with a dot; --name gives another",
                   name);
  g_autofree char *path = soractl_models_path (name);
  const char *taken = NULL;
  g_autoptr (SoraModel) known
      = sora_model_find ((const char *const *)models->environment->model_dirs, name, NULL);
  if (known != NULL)
    taken = sora_model_path (known);
  else if (g_file_test (path, G_FILE_TEST_EXISTS) || g_file_test (path, G_FILE_TEST_IS_SYMLINK))
    taken = path;
  return taken == NULL
         || refuse (error, SORA_ERROR_INVALID_REQUEST,
                    "there is a model '%s' already, '%s': give another --name, or remove that one",
                    name, taken);
}

static gboolean
make_user_folder (GError **error)
{
  g_autofree char *folder = soractl_models_path (NULL);
  if (g_mkdir_with_parents (folder, 0755) == 0)
    return TRUE;
  return refuse (error, SORA_ERROR_FAILED, "cannot make the models folder '%s': %s", folder,
                 g_strerror (errno));
}

static gboolean
stage (Staging *staging, const char *conf, GError **error)
{
  g_autofree char *pattern = soractl_models_path (".adding-XXXXXX");
  if (g_mkdtemp_full (pattern, 0755) == NULL)
    return refuse (error, SORA_ERROR_FAILED, "cannot make the folder '%s': %s", pattern,
                   g_strerror (errno));
  staging->folder = g_steal_pointer (&pattern);
  g_autofree char *path = g_build_filename (staging->folder, CONF, NULL);
  g_autoptr (GError) local = NULL;
  return g_file_set_contents (path, conf, -1, &local)
         || refuse (error, SORA_ERROR_FAILED, "%s", local->message);
}

/* The last step: now it has its name. */
static gboolean
commit (Staging *staging, const char *target, const char *name, GError **error)
{
  g_autofree char *path = soractl_models_path (name);
  int failed = staging->folder != NULL ? rename (staging->folder, path) : symlink (target, path);
  if (failed != 0)
    return refuse (error, SORA_ERROR_FAILED, "cannot create '%s': %s", path, g_strerror (errno));
  g_clear_pointer (&staging->folder, g_free);
  return TRUE;
}

static gboolean
add (SoractlModels *models, char **paths, GError **error)
{
  g_auto (Staging) staging = { 0 };
  gboolean folder = g_file_test (paths[0], G_FILE_TEST_IS_DIR);
  g_autofree char *target = g_canonicalize_filename (paths[0], NULL);
  g_autofree char *conf = folder ? NULL : sora_model_make_conf ((const char *const *)paths, error);
  if (!folder && conf == NULL)
    return FALSE;
  g_autofree char *name = choose_name (models, target, conf);
  if (!check_name (models, name, error) || !make_user_folder (error)
      || (!folder && !stage (&staging, conf, error)))
    return FALSE;
  g_autoptr (SoraModel) model = sora_model_open (folder ? target : staging.folder, error);
  if (model == NULL)
    return FALSE;
  g_autoptr (GPtrArray) verdicts = soractl_models_judge (models->environment, model);
  if (!soractl_models_is_usable (model, verdicts, error))
    {
      /* The folder of the files that are being added is no name that anybody knows. */
      if (!folder && error != NULL && *error != NULL)
        {
          g_auto (GStrv) parts = g_strsplit ((*error)->message, staging.folder, -1);
          g_free ((*error)->message);
          (*error)->message = g_strjoinv (target, parts);
        }
      return FALSE;
    }
  g_autofree char *digest = soractl_models_digest (models->global, model, FALSE, error);
  if (digest == NULL || !soractl_models_record (name, digest, error))
    return FALSE;
  if (!commit (&staging, target, name, error))
    {
      soractl_models_forget (name);
      return FALSE;
    }
  g_autofree char *registered = soractl_models_path (name);
  soractl_models_print (models->global, model, name, folder ? target : registered, digest,
                        verdicts);
  return TRUE;
}

int
soractl_models_add (SoractlModels *models, char **paths)
{
  g_autoptr (GError) error = NULL;
  if (paths[0] == NULL)
    return soractl_usage_error ("models", "add: name a model's folder, or its single files");
  for (char **path = paths; paths[1] != NULL && *path != NULL; path++)
    if (g_file_test (*path, G_FILE_TEST_IS_DIR))
      return soractl_usage_error (
          "models", "add: '%s' is a folder: name one folder, or the files of one model", *path);
  if (models->global->system)
    return soractl_models_add_system (models, paths);
  return add (models, paths, &error) ? SORACTL_OK : soractl_report (error);
}
