/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Models of single files.  Which file is what is told by the headers, never by the names; where
 * that leaves a doubt (two VAEs, none, a file of another kind) the model is refused with what was
 * found and what is missing.  Only which of two transformers is the expert for high noise no header
 * tells: that is told by the names, or by the group in model.conf.
 */
#include "config.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "sora-keyfile.h"
#include "sora-model-candidates.h"
#include "sora-model-parts.h"

#define CODE SORA_ERROR_INVALID_MODEL
#define WEIGHTS ".safetensors"
#define TOKENIZER_FILE "tokenizer/spiece.model"
#define MAX_NAMES 1000u

struct SoraModelParts
{
  GHashTable *made;                      /* "vae/config.json" -> GBytes */
  const char *weights[SORA_N_PARTS];     /* the shards' names; NULL where there is no second expert */
  char *tokenizer;                       /* a file; NULL: the tensor in the text encoder's file */
};

static SoraModelParts *
parts_new (void)
{
  SoraModelParts *parts = g_new0 (SoraModelParts, 1);
  parts->made
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
  return parts;
}

void
sora_model_parts_free (SoraModelParts *parts)
{
  if (parts == NULL)
    return;
  g_hash_table_unref (parts->made);
  g_free (parts->tokenizer);
  g_free (parts);
}

/* The names in the folder itself, sorted, without hidden ones; NULL if it cannot be listed. */
static GPtrArray *
list_folder (int dirfd)
{
  int fd = openat (dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd >= 0 ? fdopendir (fd) : NULL;
  struct dirent *entry;
  if (dir == NULL)
    {
      if (fd >= 0)
        close (fd);
      return NULL;
    }
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  while ((entry = readdir (dir)) != NULL && names->len < MAX_NAMES)
    if (entry->d_name[0] != '.')
      g_ptr_array_add (names, g_strdup (entry->d_name));
  closedir (dir);
  g_ptr_array_sort (names, sora_compare_names);
  return names;
}

static GBytes *
read_stored (SoraModel *model, const char *name, GError **error)
{
  struct stat st;
  g_autofree char *display = sora_model_display (model, name);
  int fd = sora_model_open_file (model, name, &st, error);
  if (fd < 0)
    return NULL;
  GBytes *bytes = sora_file_read_all (fd, display, SORA_MODEL_MAX_FILE, CODE, error);
  close (fd);
  return bytes;
}

gboolean
sora_model_parts_is (SoraModel *model)
{
  if (faccessat (model->dirfd, SORA_MODEL_CONF, F_OK, 0) == 0)
    return TRUE;
  g_autoptr (GPtrArray) names = list_folder (model->dirfd);
  gboolean found = FALSE;
  for (guint i = 0; names != NULL && i < names->len && !found; i++)
    if (g_str_has_suffix (g_ptr_array_index (names, i), WEIGHTS))
      {
        SoraCandidate *candidate = sora_candidate_open (model, g_ptr_array_index (names, i), NULL);
        found = candidate != NULL && candidate->known;
        g_clear_pointer (&candidate, sora_candidate_free);
      }
  return found;
}

/* ---- the folder, or its model.conf */

/* Everything in the folder that could be part of the model. */
static gboolean
gather_folder (SoraModel *model, GPtrArray *candidates, char **tokenizer, GError **error)
{
  g_autoptr (GPtrArray) names = list_folder (model->dirfd), pickles = g_ptr_array_new ();
  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      if (strcmp (name, SORA_SPIECE_FILE) == 0)
        *tokenizer = g_strdup (name);
      else if (sora_model_is_pickle_name (name))
        g_ptr_array_add (pickles, (gpointer)name);
      else if (g_str_has_suffix (name, WEIGHTS))
        {
          SoraCandidate *candidate = sora_candidate_open (model, name, error);
          if (candidate == NULL)
            return FALSE;
          g_ptr_array_add (candidates, candidate);
        }
    }
  sora_candidates_tell_experts (candidates);
  g_autofree char *problems = sora_candidates_problems (candidates, pickles, *tokenizer, FALSE);
  if (problems == NULL)
    return TRUE;
  sora_error_set (error, CODE,
                  "'%s' holds no model of single files: %s. ('soractl models add FILE...' makes a "
                  "model of files that lie elsewhere, or of some of many)",
                  model->path, problems);
  return FALSE;
}

static gboolean
take_group (SoraModel *model, GKeyFile *conf, const char *group, const char *display,
            GPtrArray *candidates, char **tokenizer, GError **error)
{
  static const char *const known[] = { "File", NULL };
  g_autofree char *unknown = sora_keyfile_unknown_key (conf, group, known);
  g_autofree char *file
      = unknown == NULL ? sora_keyfile_require (conf, group, "File", display, CODE, error) : NULL;
  if (unknown != NULL)
    sora_error_set (error, CODE, "'%s': [%s] has a key '%s', expected File=", display, group,
                    unknown);
  if (file == NULL)
    return FALSE;
  /* What lies below the folder is opened below it, so that the folder may be moved. */
  g_autofree char *name = sora_file_name_is_beneath (file)
                              ? g_strdup (file)
                              : g_canonicalize_filename (file, model->path);
  if (strcmp (group, "tokenizer") == 0)
    {
      *tokenizer = g_steal_pointer (&name);
      return TRUE;
    }
  SoraCandidate *candidate = sora_candidate_open (model, name, error);
  if (candidate == NULL)
    return sora_error_prefix (error, "'%s', [%s]: ", display, group), FALSE;
  g_ptr_array_add (candidates, candidate);
  candidate->second = strcmp (group, sora_part_component (SORA_PART_TRANSFORMER_2)) == 0;
  if (candidate->known && strcmp (sora_part_component (sora_candidate_part (candidate)), group) == 0)
    return TRUE;
  sora_error_set (error, CODE, "'%s': [%s] File=%s is %s", display, group, file,
                  candidate->known ? sora_wan_kind_words (candidate->file.kind)
                                   : "no file of a Wan model that is known");
  return FALSE;
}

static gboolean
check_format (GKeyFile *conf, const char *display, GError **error)
{
  static const char *const known[] = { "Format", NULL };
  g_autofree char *unknown = sora_keyfile_unknown_key (conf, "Model", known);
  g_autofree char *format = sora_keyfile_require (conf, "Model", "Format", display, CODE, error);
  if (format == NULL)
    return FALSE;
  if (strcmp (format, "1") == 0 && unknown == NULL)
    return TRUE;
  if (unknown != NULL)
    sora_error_set (error, CODE, "'%s': [Model] has a key '%s', expected Format=", display,
                    unknown);
  else
    sora_error_set (error, CODE, "'%s': Format=%s, expected 1", display, format);
  return FALSE;
}

static gboolean
gather_conf (SoraModel *model, GPtrArray *candidates, char **tokenizer, GError **error)
{
  g_autofree char *display = sora_model_display (model, SORA_MODEL_CONF);
  g_autoptr (GBytes) bytes = read_stored (model, SORA_MODEL_CONF, error);
  gsize length;
  if (bytes == NULL)
    return FALSE;
  const char *text = g_bytes_get_data (bytes, &length);
  g_autoptr (GKeyFile) conf = sora_keyfile_parse (text, length, display, CODE, error);
  if (conf == NULL || !check_format (conf, display, error))
    return FALSE;
  g_auto (GStrv) groups = g_key_file_get_groups (conf, NULL);
  for (char **group = groups; *group != NULL; group++)
    {
      gboolean good = strcmp (*group, "Model") == 0 || strcmp (*group, "tokenizer") == 0;
      for (int part = 0; part < SORA_N_PARTS && !good; part++)
        good = strcmp (*group, sora_part_component ((SoraPart)part)) == 0;
      if (!good)
        {
          sora_error_set (error, CODE,
                          "'%s' has a group [%s], expected [Model], [transformer], [transformer_2], "
                          "[text_encoder], [vae] and [tokenizer]",
                          display, *group);
          return FALSE;
        }
      if (strcmp (*group, "Model") != 0
          && !take_group (model, conf, *group, display, candidates, tokenizer, error))
        return FALSE;
    }
  g_autoptr (GPtrArray) none = g_ptr_array_new ();
  g_autofree char *problems = sora_candidates_problems (candidates, none, *tokenizer, TRUE);
  if (problems != NULL)
    sora_error_set (error, CODE, "'%s' names no whole model: %s", display, problems);
  return problems == NULL;
}

static SoraCandidate *
open_named (SoraModel *model, const char *path, GError **error)
{
  if (sora_model_is_pickle_name (path))
    {
      sora_error_set (error, CODE, "'%s' is a pickle: %s", path, sora_pickle_advice);
      return NULL;
    }
  if (!g_utf8_validate (path, -1, NULL))
    {
      sora_error_set (error, CODE,
                      "the path '%s' is not valid UTF-8, as " SORA_MODEL_CONF " must be: rename it",
                      path);
      return NULL;
    }
  return sora_candidate_open (model, path, error);
}

char *
sora_model_make_conf (const char *const *paths, GError **error)
{
  g_autoptr (SoraModel) model = sora_model_new (-1, g_strdup ("/"));
  g_autoptr (GPtrArray) candidates = g_ptr_array_new_with_free_func (sora_candidate_free);
  g_autoptr (GPtrArray) none = g_ptr_array_new ();
  g_autoptr (GKeyFile) conf = g_key_file_new ();
  g_autofree char *tokenizer = NULL;
  model->parts = parts_new ();
  g_key_file_set_string (conf, "Model", "Format", "1");
  for (; *paths != NULL; paths++)
    {
      g_autofree char *path = g_canonicalize_filename (*paths, NULL);
      gboolean spiece = g_str_has_suffix (path, ".model");
      if (spiece && tokenizer != NULL)
        {
          sora_error_set (error, CODE, "'%s' and '%s' are two tokenizers, expected one", tokenizer,
                          path);
          return NULL;
        }
      if (spiece)
        {
          tokenizer = g_steal_pointer (&path);
          continue;
        }
      SoraCandidate *candidate = open_named (model, path, error);
      if (candidate == NULL)
        return NULL;
      g_ptr_array_add (candidates, candidate);
    }
  sora_candidates_tell_experts (candidates);
  g_autofree char *problems = sora_candidates_problems (candidates, none, tokenizer, FALSE);
  if (problems != NULL)
    {
      sora_error_set (error, CODE, "these files are no whole model: %s", problems);
      return NULL;
    }
  for (int part = 0; part < SORA_N_PARTS; part++)
    {
      SoraCandidate *candidate = sora_candidates_find (candidates, (SoraPart)part);
      if (candidate != NULL)
        g_key_file_set_string (conf, sora_part_component ((SoraPart)part), "File", candidate->name);
    }
  if (tokenizer != NULL)
    g_key_file_set_string (conf, "tokenizer", "File", tokenizer);
  return g_key_file_to_data (conf, NULL, NULL);
}

/* ---- what a Diffusers folder would have */

/* Takes @text. */
static void
add_made (SoraModelParts *parts, const char *name, char *text)
{
  g_hash_table_insert (parts->made, g_strdup (name), g_bytes_new_take (text, strlen (text)));
}

static gboolean
make_files (SoraModel *model, const GPtrArray *candidates, GError **error)
{
  SoraWanFile files[SORA_WAN_N_KINDS];
  const SoraSafetensorsTable *tables[SORA_WAN_N_KINDS];
  gboolean experts = FALSE;
  for (int part = 0; part < SORA_N_PARTS; part++)
    {
      SoraCandidate *candidate = sora_candidates_find (candidates, (SoraPart)part);
      if (candidate == NULL) /* the second expert of a model that has one */
        continue;
      g_autofree char *display = sora_model_display (model, candidate->name);
      g_autofree char *name
          = g_build_filename (sora_part_component ((SoraPart)part), "config.json", NULL);
      const SoraSafetensorsTable *table = sora_safetensors_table (candidate->header);
      char *config = sora_wan_config (&candidate->file, table, display, error);
      if (config == NULL)
        return FALSE;
      add_made (model->parts, name, config);
      experts = experts || candidate->second;
      if (candidate->second)
        continue;
      files[candidate->file.kind] = candidate->file;
      tables[candidate->file.kind] = table;
    }
  add_made (model->parts, "scheduler/scheduler_config.json", sora_wan_scheduler_config (files));
  char *index = sora_wan_model_index (files, tables, experts);
  add_made (model->parts, SORA_MODEL_INDEX, index);
  return sora_model_parse_index (model, index, strlen (index), SORA_MODEL_INDEX, error);
}

static gboolean
fill_component (SoraModel *model, SoraModelComponent *component, SoraCandidate *candidate,
                GError **error)
{
  SoraModelShard *shard = g_new0 (SoraModelShard, 1);
  g_autofree char *display = sora_model_display (model, candidate->name);
  shard->name = g_strdup (candidate->name);
  shard->header = g_steal_pointer (&candidate->header);
  g_ptr_array_add (component->shards, shard);
  model->parts->weights[sora_candidate_part (candidate)] = shard->name;
  component->names = g_string_chunk_new (4096);
  for (const char *const *stored = sora_safetensors_names (shard->header); *stored != NULL;
       stored++)
    {
      g_autofree char *name = sora_wan_file_name (&candidate->file, *stored);
      if (name == NULL && strcmp (*stored, SORA_WAN_SPIECE) == 0)
        continue;
      if (name != NULL && !g_hash_table_contains (component->by_name, name))
        {
          sora_model_component_add (component, g_string_chunk_insert (component->names, name),
                                    *stored);
          continue;
        }
      if (name == NULL && sora_wan_name_is_sparse (*stored))
        sora_error_set (error, CODE, "'%s' is %s, but its tensor '%s' is one of " SORA_WAN_SPARSE,
                        display, sora_wan_kind_words (candidate->file.kind), *stored);
      else if (name == NULL)
        sora_error_set (
            error, CODE,
            "'%s' is %s, but its tensor '%s' is of none that is known: is it of another "
            "kind, or an addition to one?",
            display, sora_wan_kind_words (candidate->file.kind), *stored);
      else
        sora_error_set (error, CODE, "'%s' holds '%s' twice, the second time as '%s'", display,
                        name, *stored);
      return FALSE;
    }
  return TRUE;
}

gboolean
sora_model_parts_read (SoraModel *model, GError **error)
{
  g_autoptr (GPtrArray) candidates = g_ptr_array_new_with_free_func (sora_candidate_free);
  g_autofree char *tokenizer = NULL;
  gboolean conf = faccessat (model->dirfd, SORA_MODEL_CONF, F_OK, 0) == 0;
  model->parts = parts_new ();
  if (!(conf ? gather_conf : gather_folder) (model, candidates, &tokenizer, error))
    return FALSE;
  model->parts->tokenizer = g_steal_pointer (&tokenizer);
  if (!make_files (model, candidates, error))
    return FALSE;
  for (int part = 0; part < SORA_N_PARTS; part++)
    {
      SoraCandidate *candidate = sora_candidates_find (candidates, (SoraPart)part);
      if (candidate == NULL)
        continue;
      SoraModelComponent *component
          = sora_model_find_component (model, sora_part_component ((SoraPart)part), error);
      if (component == NULL || !fill_component (model, component, candidate, error))
        return FALSE;
    }
  return TRUE;
}

/* ---- reading */

static GBytes *
read_inner_tokenizer (SoraModel *model, GError **error)
{
  const char *name = model->parts->weights[SORA_PART_TEXT_ENCODER];
  g_autofree char *display = sora_model_display (model, name);
  struct stat st;
  SoraTensorView view = { .struct_size = sizeof view };
  int fd = sora_model_open_file (model, name, &st, error);
  g_autoptr (SoraSafetensors) file = fd >= 0 ? sora_safetensors_open_fd (fd, display, error) : NULL;
  if (fd >= 0)
    close (fd);
  if (file == NULL || !sora_safetensors_info (file, SORA_WAN_SPIECE, &view, error))
    return NULL;
  if (view.dtype != SORA_U8 || view.ndim != 1 || view.nbytes > SORA_MODEL_MAX_FILE)
    {
      g_autofree char *shape = sora_shape_to_string (view.ndim, view.shape);
      sora_error_set (error, CODE,
                      "'%s': tensor '" SORA_WAN_SPIECE "' is %s%s, expected the bytes of a "
                      "tokenizer: u8, one axis, at most %u",
                      display, sora_dtype_name ((SoraDtype)view.dtype), shape, SORA_MODEL_MAX_FILE);
      return NULL;
    }
  g_autoptr (SoraTensor) tensor = sora_safetensors_load (file, SORA_WAN_SPIECE, error);
  if (tensor == NULL)
    return NULL;
  sora_tensor_get_view (tensor, &view);
  char *copy = g_malloc0 (view.nbytes + 1); /* a NUL that does not count */
  if (view.nbytes > 0)
    memcpy (copy, view.data, view.nbytes);
  return g_bytes_new_take (copy, view.nbytes);
}

GBytes *
sora_model_parts_read_file (SoraModel *model, const char *name, GError **error)
{
  GBytes *made = g_hash_table_lookup (model->parts->made, name);
  if (made != NULL)
    return g_bytes_ref (made);
  if (strcmp (name, TOKENIZER_FILE) == 0)
    return model->parts->tokenizer != NULL ? read_stored (model, model->parts->tokenizer, error)
                                           : read_inner_tokenizer (model, error);
  sora_error_set (error, SORA_ERROR_NOT_FOUND,
                  "model '%s' is made of single files, and has no '%s'", model->id, name);
  return NULL;
}

/* ---- the digest */

/* By component and not by where the files lie or what they are called: those may change, and the
 * model is still the same one. */
static const char *const labels[SORA_N_PARTS] = {
  [SORA_PART_TRANSFORMER] = "transformer.safetensors",
  [SORA_PART_TEXT_ENCODER] = "text_encoder.safetensors",
  [SORA_PART_VAE] = "vae.safetensors",
  [SORA_PART_TRANSFORMER_2] = "transformer_2.safetensors",
};

GPtrArray *
sora_model_parts_files (SoraModel *model)
{
  static const SoraPart order[] = { SORA_PART_TEXT_ENCODER, SORA_PART_TRANSFORMER,
                                    SORA_PART_TRANSFORMER_2, SORA_PART_VAE }; /* by label */
  GPtrArray *files = g_ptr_array_new_with_free_func (g_free);
  for (gsize i = 0; i < G_N_ELEMENTS (order); i++)
    {
      if (order[i] == SORA_PART_TRANSFORMER && model->parts->tokenizer != NULL)
        g_ptr_array_add (files, g_strdup (model->parts->tokenizer));
      if (model->parts->weights[order[i]] != NULL)
        g_ptr_array_add (files, g_strdup (model->parts->weights[order[i]]));
    }
  return files;
}

const char *
sora_model_parts_label (SoraModel *model, const char *file)
{
  for (int part = 0; part < SORA_N_PARTS; part++)
    if (model->parts->weights[part] != NULL && strcmp (model->parts->weights[part], file) == 0)
      return labels[part];
  return TOKENIZER_FILE;
}
