/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A model that is one safetensors file, as some are published: no index says what it is, its
 * tensors do.  It has one component, and no files beside its weights.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "sora-error.h"
#include "sora-keyfile.h"
#include "sora-model-private.h"
#include "sora-wan-detect.h"

#define CODE SORA_ERROR_INVALID_MODEL
#define WEIGHTS ".safetensors"

/* One of the tensors is enough to tell: of a file that lacks others the stage says which. */
static const struct
{
  const char *component, *class_name;
  const char *const *tensors;
} kinds[] = {
  { "taehv", "TAEHV",
    (const char *const[]){ "decoder.1.weight", "decoder.3.conv.0.weight", "decoder.22.weight",
                           NULL } },
};

static gboolean
has_one_of (SoraModelComponent *component, const char *const *tensors)
{
  for (; *tensors != NULL; tensors++)
    if (g_hash_table_contains (component->by_name, *tensors))
      return TRUE;
  return FALSE;
}

/* A part of a model that somebody takes for the whole. */
static void
refuse_part (SoraModel *model, const char *file, SoraWanKind kind, GError **error)
{
  g_autoptr (GString) others = g_string_new (NULL);
  for (int other = 0; other < SORA_WAN_N_KINDS; other++)
    if (other != (int)kind)
      g_string_append_printf (others, "%s, ", sora_wan_kind_words ((SoraWanKind)other));
  sora_error_set (error, CODE,
                  "'%s/%s' is %s alone, and a model has %sand a tokenizer besides: 'soractl models "
                  "add FILE...' with the files of all of them makes one",
                  model->folder, file, sora_wan_kind_words (kind), others->str);
}

static gboolean
read_single (SoraModel *model, const char *file, GError **error)
{
  SoraModelComponent *component = sora_model_add_component (model, "weights", "unknown");
  if (!sora_model_read_whole (model, component, file, error))
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (has_one_of (component, kinds[i].tensors))
      {
        g_free (component->name);
        g_free (component->class_name);
        component->name = g_strdup (kinds[i].component);
        component->class_name = g_strdup (kinds[i].class_name);
        model->family = g_strdup (kinds[i].class_name);
        model->single = g_strdup (file);
        sora_model_name_components (model);
        return TRUE;
      }
  SoraModelShard *shard = g_ptr_array_index (component->shards, 0);
  SoraWanFile part;
  if (sora_wan_detect (sora_safetensors_table (shard->header), &part))
    refuse_part (model, file, part.kind, error);
  else
    sora_error_set (error, CODE,
                    "'%s/%s' is no model by itself: its tensors are of no known kind, expected "
                    "those of a tiny decoder (TAEHV), or a folder in the Diffusers layout",
                    model->folder, file);
  return FALSE;
}

SoraModel *
sora_model_open_single (const char *path, GError **error)
{
  g_autofree char *absolute = g_canonicalize_filename (path, NULL);
  g_autofree char *folder = g_path_get_dirname (absolute);
  g_autofree char *file = g_path_get_basename (absolute);
  int dirfd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dirfd < 0)
    {
      sora_error_set_errno (error, CODE, errno, "cannot open the folder of '%s'", path);
      return NULL;
    }
  g_autoptr (SoraModel) model = sora_model_new (dirfd, g_steal_pointer (&absolute));
  g_free (model->folder);
  model->folder = g_steal_pointer (&folder);
  g_free (model->id);
  model->id = g_strndup (file, strlen (file) - strlen (WEIGHTS));
  return read_single (model, file, error) ? g_steal_pointer (&model) : NULL;
}

static GPtrArray *
list_weights (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  const char *name;
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (name[0] != '.' && g_str_has_suffix (name, WEIGHTS))
      g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, sora_compare_names);
  return names;
}

SoraModel *
sora_model_take_single (SoraModel *model, GError **error)
{
  g_autoptr (SoraModel) owned = model;
  g_autoptr (GPtrArray) names = list_weights (owned->path);
  if (names->len == 1)
    return read_single (owned, g_ptr_array_index (names, 0), error) ? g_steal_pointer (&owned)
                                                                    : NULL;
  if (names->len == 0)
    sora_error_set (error, SORA_ERROR_NOT_FOUND, "'%s' holds no " WEIGHTS " file any more",
                    owned->path);
  else
    sora_error_set (error, CODE,
                    "'%s' has no model_index.json, and %u " WEIGHTS
                    " files, '%s' and '%s' among them: name one of them",
                    owned->path, names->len, (char *)g_ptr_array_index (names, 0),
                    (char *)g_ptr_array_index (names, 1));
  return NULL;
}

gboolean
sora_model_holds_weights (const char *folder)
{
  g_autoptr (GPtrArray) names = list_weights (folder);
  return names->len > 0;
}
