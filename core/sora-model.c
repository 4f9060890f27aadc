/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A model folder: model_index.json, and a look at each component's headers.  Every file is opened
 * below the folder's descriptor, so that no name in it leads out of it, and is remembered by what
 * it was.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "sora-keyfile.h"
#include "sora-model-parts.h"

#define CODE SORA_ERROR_INVALID_MODEL

json_t *
sora_model_parse_json (const char *text, gsize length, const char *display_name, GError **error)
{
  json_error_t fault;
  json_t *root = json_loadb (text, length, JSON_REJECT_DUPLICATES, &fault);
  if (root != NULL && json_is_object (root))
    return root;
  if (root == NULL)
    sora_error_set (error, CODE, "'%s' is not valid JSON: %s (line %d)", display_name, fault.text,
                    fault.line);
  else
    sora_error_set (error, CODE, "'%s' is not a JSON object", display_name);
  json_decref (root);
  return NULL;
}

SoraModelComponent *
sora_model_add_component (SoraModel *model, const char *name, const char *class_name)
{
  SoraModelComponent *component = g_new0 (SoraModelComponent, 1);
  component->name = g_strdup (name);
  component->class_name = g_strdup (class_name);
  component->shards = g_ptr_array_new ();
  component->tensors = g_array_new (FALSE, FALSE, sizeof (SoraModelTensor));
  component->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  g_ptr_array_add (model->components, component);
  return component;
}

void
sora_model_name_components (SoraModel *model)
{
  for (guint i = 0; i < model->components->len; i++)
    g_ptr_array_add (model->component_names,
                     ((SoraModelComponent *)g_ptr_array_index (model->components, i))->name);
  g_ptr_array_add (model->component_names, NULL);
}

/* Diffusers writes a component as [library, class], and one that was left out as [null, null];
 * other members are options of the pipeline. */
static gboolean
add_component (SoraModel *model, const char *name, json_t *value, const char *display_name,
               GError **error)
{
  const char *class_name = json_string_value (json_array_get (value, 1));
  if (json_array_size (value) == 2 && json_is_null (json_array_get (value, 0)))
    return TRUE;
  if (json_array_size (value) != 2 || json_string_value (json_array_get (value, 0)) == NULL
      || class_name == NULL)
    return TRUE; /* an option that happens to be a list */
  if (!sora_name_is_valid (name))
    {
      sora_error_set (
          error, CODE,
          "'%s': component '%.80s' is not a name: expected letters, digits, '-' and '_'",
          display_name, name);
      return FALSE;
    }
  sora_model_add_component (model, name, class_name);
  return TRUE;
}

static gboolean
take_index (SoraModel *model, json_t *root, const char *display_name, GError **error)
{
  const char *name;
  json_t *value;
  model->family = g_strdup (json_string_value (json_object_get (root, "_class_name")));
  if (model->family == NULL || *model->family == '\0')
    {
      sora_error_set (error, CODE, "'%s' has no _class_name", display_name);
      return FALSE;
    }
  json_object_foreach (root, name, value)
  {
    if (json_is_array (value) && *name != '_'
        && !add_component (model, name, value, display_name, error))
      return FALSE;
  }
  if (model->components->len == 0)
    {
      sora_error_set (error, CODE, "'%s' names no components", display_name);
      return FALSE;
    }
  sora_model_name_components (model);
  return TRUE;
}

gboolean
sora_model_parse_index (SoraModel *model, const char *text, gsize length, const char *display_name,
                        GError **error)
{
  json_t *root = sora_model_parse_json (text, length, display_name, error);
  if (root == NULL)
    return FALSE;
  gboolean ok = take_index (model, root, display_name, error);
  json_decref (root);
  return ok;
}

SoraModel *
sora_model_new (int dirfd, char *path)
{
  SoraModel *model = g_new0 (SoraModel, 1);
  model->refs = 1;
  model->dirfd = dirfd;
  model->path = path;
  model->folder = g_strdup (path);
  model->id = g_path_get_basename (path);
  model->components = g_ptr_array_new_with_free_func ((GDestroyNotify)sora_model_component_free);
  model->component_names = g_ptr_array_new ();
  model->opened = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_mutex_init (&model->lock);
  g_mutex_init (&model->digest_lock);
  return model;
}

SoraModel *
sora_model_open (const char *path, GError **error)
{
  int dirfd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dirfd < 0)
    {
      int errnum = errno;
      if (errnum == ENOTDIR && g_str_has_suffix (path, ".safetensors"))
        return sora_model_open_single (path, error);
      if (errnum == ENOTDIR && sora_model_is_pickle_name (path))
        sora_error_set (error, CODE,
                        "'%s' is a pickle, which runs code when it is read, expected a folder in "
                        "the Diffusers layout with safetensors, or the .safetensors file that is "
                        "published beside it",
                        path);
      else
        sora_error_set_errno (error, CODE, errnum, "cannot open the model folder '%s'", path);
      return NULL;
    }
  /* Without resolving links: a link to a model is found, and called, by its own name. */
  g_autoptr (SoraModel) model = sora_model_new (dirfd, g_canonicalize_filename (path, NULL));
  /* A folder with an index is a Diffusers folder, whatever else is in it. */
  if (faccessat (dirfd, SORA_MODEL_INDEX, F_OK, AT_SYMLINK_NOFOLLOW) != 0
      && sora_model_parts_is (model))
    return sora_model_parts_read (model, error) ? g_steal_pointer (&model) : NULL;
  g_autofree char *display = g_build_filename (model->path, SORA_MODEL_INDEX, NULL);
  g_autoptr (GError) missing = NULL;
  g_autoptr (GBytes) bytes = sora_model_read_file (model, SORA_MODEL_INDEX, &missing);
  if (bytes == NULL)
    {
      if (g_error_matches (missing, SORA_ERROR, SORA_ERROR_NOT_FOUND)
          && sora_model_holds_weights (model->path))
        return sora_model_take_single (g_steal_pointer (&model), error);
      g_propagate_error (error, g_steal_pointer (&missing));
      sora_error_prefix (error, "'%s' is no model in the Diffusers layout: ", path);
      return NULL;
    }
  gsize length;
  const char *text = g_bytes_get_data (bytes, &length);
  if (!sora_model_parse_index (model, text, length, display, error))
    return NULL;
  for (guint i = 0; i < model->components->len; i++)
    if (!sora_model_read_component (model, g_ptr_array_index (model->components, i), error))
      return NULL;
  return g_steal_pointer (&model);
}

SoraModel *
sora_model_ref (SoraModel *model)
{
  g_atomic_int_inc (&model->refs);
  return model;
}

void
sora_model_unref (SoraModel *model)
{
  if (model == NULL || !g_atomic_int_dec_and_test (&model->refs))
    return;
  if (model->dirfd >= 0)
    close (model->dirfd);
  g_ptr_array_unref (model->component_names);
  g_ptr_array_unref (model->components);
  g_hash_table_unref (model->opened);
  sora_model_parts_free (model->parts);
  g_mutex_clear (&model->lock);
  g_mutex_clear (&model->digest_lock);
  g_free (model->path);
  g_free (model->folder);
  g_free (model->single);
  g_free (model->id);
  g_free (model->family);
  g_free (model->digest);
  g_free (model);
}

char *
sora_model_display (SoraModel *model, const char *name)
{
  return g_path_is_absolute (name) ? g_strdup (name) : g_build_filename (model->folder, name, NULL);
}

int
sora_model_open_file (SoraModel *model, const char *name, struct stat *st, GError **error)
{
  /* Only model.conf names files elsewhere; what plugins name never gets here for such a model. */
  gboolean elsewhere = model->parts != NULL && g_path_is_absolute (name);
  int fd = elsewhere ? sora_file_open (name, CODE, st, error)
                     : sora_file_open_beneath (model->dirfd, model->folder, name, CODE, st, error);
  if (fd < 0)
    return -1;
  SoraFileIdentity now = sora_file_identity (st);
  g_mutex_lock (&model->lock);
  const SoraFileIdentity *before = g_hash_table_lookup (model->opened, name);
  gboolean same = before == NULL || sora_file_identity_equal (before, &now);
  if (before == NULL)
    g_hash_table_insert (model->opened, g_strdup (name), g_memdup2 (&now, sizeof now));
  g_mutex_unlock (&model->lock);
  if (same)
    return fd;
  close (fd);
  g_autofree char *display = sora_model_display (model, name);
  sora_error_set (error, CODE, "'%s' was changed since the model was opened: start again", display);
  return -1;
}

gboolean
sora_model_unchanged (SoraModel *model, GError **error)
{
  g_mutex_lock (&model->lock);
  g_autoptr (GList) names
      = g_hash_table_get_keys (model->opened); /* never removed, so the names stay */
  g_mutex_unlock (&model->lock);
  for (GList *name = names; name != NULL; name = name->next)
    {
      struct stat st;
      int fd = sora_model_open_file (model, name->data, &st, error);
      if (fd < 0)
        return FALSE;
      close (fd);
    }
  return TRUE;
}

static gboolean
same_folder (SoraModel *a, SoraModel *b)
{
  struct stat sa, sb;
  return fstat (a->dirfd, &sa) == 0 && fstat (b->dirfd, &sb) == 0 && sa.st_dev == sb.st_dev
         && sa.st_ino == sb.st_ino;
}

static gboolean
same_shards (SoraModel *a, SoraModel *b)
{
  if (a->components->len != b->components->len)
    return FALSE;
  for (guint i = 0; i < a->components->len; i++)
    {
      SoraModelComponent *ca = g_ptr_array_index (a->components, i),
                         *cb = g_ptr_array_index (b->components, i);
      if (strcmp (ca->name, cb->name) != 0 || ca->shards->len != cb->shards->len)
        return FALSE;
      for (guint j = 0; j < ca->shards->len; j++)
        if (strcmp (((SoraModelShard *)g_ptr_array_index (ca->shards, j))->name,
                    ((SoraModelShard *)g_ptr_array_index (cb->shards, j))->name)
            != 0)
          return FALSE;
    }
  return TRUE;
}

gboolean
sora_model_is_same (SoraModel *a, SoraModel *b)
{
  gboolean same = TRUE;

  if (a == b)
    return TRUE;
  if (!same_folder (a, b) || !same_shards (a, b))
    return FALSE;
  /* Names are never removed and identities never replaced, so that one lock at a time is enough. */
  g_mutex_lock (&a->lock);
  g_autoptr (GList) names = g_hash_table_get_keys (a->opened);
  g_mutex_unlock (&a->lock);
  for (GList *name = names; same && name != NULL; name = name->next)
    {
      g_mutex_lock (&a->lock);
      const SoraFileIdentity *ia = g_hash_table_lookup (a->opened, name->data);
      g_mutex_unlock (&a->lock);
      g_mutex_lock (&b->lock);
      const SoraFileIdentity *ib = g_hash_table_lookup (b->opened, name->data);
      g_mutex_unlock (&b->lock);
      same = ib == NULL || sora_file_identity_equal (ia, ib);
    }
  return same;
}

GBytes *
sora_model_read_file (SoraModel *model, const char *name, GError **error)
{
  struct stat st;
  if (model->single != NULL) /* what else lies beside it is not the model's */
    {
      sora_error_set (error, SORA_ERROR_NOT_FOUND, "model '%s' is one file, and has no '%s'",
                      model->id, name);
      return NULL;
    }
  if (model->parts != NULL)
    return sora_model_parts_read_file (model, name, error);
  int fd = sora_model_open_file (model, name, &st, error);
  if (fd < 0)
    return NULL;
  g_autofree char *display = g_build_filename (model->folder, name, NULL);
  GBytes *bytes = sora_file_read_all (fd, display, SORA_MODEL_MAX_FILE, CODE, error);
  close (fd);
  return bytes;
}

const char *
sora_model_id (SoraModel *model)
{
  return model->id;
}

const char *
sora_model_path (SoraModel *model)
{
  return model->path;
}

gboolean
sora_model_is_single (SoraModel *model)
{
  return model->single != NULL;
}

const char *
sora_model_family (SoraModel *model)
{
  return model->family;
}

const char *const *
sora_model_components (SoraModel *model)
{
  return (const char *const *)model->component_names->pdata;
}

static SoraModelComponent *
lookup_component (SoraModel *model, const char *name)
{
  for (guint i = 0; i < model->components->len; i++)
    if (strcmp (((SoraModelComponent *)g_ptr_array_index (model->components, i))->name, name) == 0)
      return g_ptr_array_index (model->components, i);
  return NULL;
}

SoraModelComponent *
sora_model_find_component (SoraModel *model, const char *name, GError **error)
{
  SoraModelComponent *component = lookup_component (model, name);
  if (component != NULL)
    return component;
  g_autofree char *known = g_strjoinv (", ", (char **)model->component_names->pdata);
  sora_error_set (error, CODE, "model '%s' has no component '%s'; it has: %s", model->id, name,
                  known);
  return NULL;
}

const char *
sora_model_component_class (SoraModel *model, const char *component)
{
  SoraModelComponent *found = lookup_component (model, component);
  return found != NULL ? found->class_name : NULL;
}

gboolean
sora_model_has_component (SoraModel *model, const char *component)
{
  return lookup_component (model, component) != NULL;
}

gboolean
sora_model_size (SoraModel *model, const char *component, uint64_t *bytes, uint64_t *parameters,
                 GError **error)
{
  if (component != NULL && sora_model_find_component (model, component, error) == NULL)
    return FALSE;
  *bytes = *parameters = 0;
  for (guint i = 0; i < model->components->len; i++)
    {
      SoraModelComponent *each = g_ptr_array_index (model->components, i);
      if (component != NULL && strcmp (each->name, component) != 0)
        continue;
      *bytes += each->bytes;
      *parameters += each->parameters;
    }
  return TRUE;
}
