/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Models of single files.  Which file is what is told by the headers, never by the names; where
 * that leaves a doubt (two transformers, none, a file of another kind) the model is refused with
 * what was found and what is missing.
 */
#include "config.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "sora-keyfile.h"
#include "sora-model-parts.h"
#include "sora-wan-detect.h"

#define CODE SORA_ERROR_INVALID_MODEL
#define WEIGHTS ".safetensors"
#define SPIECE "spiece.model"
#define TOKENIZER_FILE "tokenizer/spiece.model"
#define MAX_NAMES 1000u

/* One weights file of the folder or of model.conf. */
typedef struct
{
  char *name; /* below the folder, or absolute */
  SoraSafetensors *header;
  gboolean known; /* then @file is set */
  SoraWanFile file;
} Candidate;

struct SoraModelParts
{
  GHashTable *made;                      /* "vae/config.json" -> GBytes */
  const char *weights[SORA_WAN_N_KINDS]; /* the shards' names */
  char *tokenizer;                       /* a file; NULL: the tensor in the text encoder's file */
};

static const char *const pickle_advice
    = "pickles run code when they are read, so they are refused: get the file as safetensors, or "
      "convert it where you trust it (safetensors.torch.save_file)";

static void
candidate_free (gpointer data)
{
  Candidate *candidate = data;
  sora_safetensors_unref (candidate->header);
  g_free (candidate->name);
  g_free (candidate);
}

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

/* ---- candidates */

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

static Candidate *
open_candidate (SoraModel *model, const char *name, GError **error)
{
  struct stat st;
  g_autofree char *display = sora_model_display (model, name);
  int fd = sora_model_open_file (model, name, &st, error);
  SoraSafetensors *header = fd >= 0 ? sora_safetensors_open_fd (fd, display, error) : NULL;
  if (fd >= 0)
    close (fd);
  if (header == NULL)
    return NULL;
  sora_safetensors_close_fd (header);
  Candidate *candidate = g_new0 (Candidate, 1);
  candidate->name = g_strdup (name);
  candidate->header = header;
  candidate->known = sora_wan_detect (sora_safetensors_table (header), &candidate->file);
  return candidate;
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
        Candidate *candidate = open_candidate (model, g_ptr_array_index (names, i), NULL);
        found = candidate != NULL && candidate->known;
        g_clear_pointer (&candidate, candidate_free);
      }
  return found;
}

static Candidate *
first_of_kind (const GPtrArray *candidates, SoraWanKind kind)
{
  for (guint i = 0; i < candidates->len; i++)
    {
      Candidate *candidate = g_ptr_array_index (candidates, i);
      if (candidate->known && candidate->file.kind == kind)
        return candidate;
    }
  return NULL;
}

static gboolean
has_inner_tokenizer (const Candidate *text)
{
  SoraTensorView view;
  return sora_safetensors_info (text->header, SORA_WAN_SPIECE, &view, NULL);
}

static void add_problem (GString *problems, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
add_problem (GString *problems, const char *format, ...)
{
  va_list args;
  if (problems->len > 0)
    g_string_append (problems, "; ");
  va_start (args, format);
  g_string_append_vprintf (problems, format, args);
  va_end (args);
}

static char *
names_of_kind (const GPtrArray *candidates, SoraWanKind kind)
{
  GString *names = g_string_new (NULL);
  for (guint i = 0; i < candidates->len; i++)
    {
      Candidate *candidate = g_ptr_array_index (candidates, i);
      if (candidate->known && candidate->file.kind == kind)
        g_string_append_printf (names, "%s'%s'", names->len > 0 ? ", " : "", candidate->name);
    }
  return g_string_free (names, FALSE);
}

/* What keeps the candidates from being one model, told all at once. */
static char *
find_problems (const GPtrArray *candidates, const GPtrArray *pickles, const char *tokenizer)
{
  GString *problems = g_string_new (NULL), *missing = g_string_new (NULL);
  for (guint i = 0; i < candidates->len; i++)
    {
      Candidate *candidate = g_ptr_array_index (candidates, i);
      if (!candidate->known)
        add_problem (problems, "'%s' is no file of a Wan model that is known", candidate->name);
    }
  for (int kind = 0; kind < SORA_WAN_N_KINDS; kind++)
    {
      Candidate *first = first_of_kind (candidates, (SoraWanKind)kind);
      g_autofree char *names = names_of_kind (candidates, (SoraWanKind)kind);
      const char *words = sora_wan_kind_words ((SoraWanKind)kind);
      if (first == NULL)
        g_string_append_printf (missing, "%s%s", missing->len > 0 ? ", " : "", words);
      else if (strstr (names, "', '") != NULL)
        add_problem (problems, "each of %s is %s, expected one", names, words);
    }
  Candidate *text = first_of_kind (candidates, SORA_WAN_TEXT_ENCODER);
  if (tokenizer == NULL && (text == NULL || !has_inner_tokenizer (text)))
    g_string_append_printf (missing,
                            "%sa tokenizer (a file '" SPIECE "', or a tensor '" SORA_WAN_SPIECE
                            "' in the text encoder's file)",
                            missing->len > 0 ? ", " : "");
  if (tokenizer != NULL && text != NULL && has_inner_tokenizer (text))
    add_problem (problems,
                 "there are two tokenizers: '%s', and the tensor '" SORA_WAN_SPIECE
                 "' in '%s'; remove the file",
                 tokenizer, text->name);
  for (int kind = 0; kind < SORA_WAN_N_KINDS && missing->len > 0; kind++)
    if (first_of_kind (candidates, (SoraWanKind)kind) != NULL)
      {
        g_autofree char *names = names_of_kind (candidates, (SoraWanKind)kind);
        add_problem (problems, "%s is %s", names, sora_wan_kind_words ((SoraWanKind)kind));
      }
  if (missing->len > 0)
    add_problem (problems, "missing: %s", missing->str);
  for (guint i = 0; i < pickles->len && missing->len > 0; i++)
    add_problem (problems, "'%s' is a pickle: %s", (char *)g_ptr_array_index (pickles, i),
                 pickle_advice);
  g_string_free (missing, TRUE);
  return g_string_free (problems, problems->len == 0);
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
      if (strcmp (name, SPIECE) == 0)
        *tokenizer = g_strdup (name);
      else if (sora_model_is_pickle_name (name))
        g_ptr_array_add (pickles, (gpointer)name);
      else if (g_str_has_suffix (name, WEIGHTS))
        {
          Candidate *candidate = open_candidate (model, name, error);
          if (candidate == NULL)
            return FALSE;
          g_ptr_array_add (candidates, candidate);
        }
    }
  g_autofree char *problems = find_problems (candidates, pickles, *tokenizer);
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
  Candidate *candidate = open_candidate (model, name, error);
  if (candidate == NULL)
    return sora_error_prefix (error, "'%s', [%s]: ", display, group), FALSE;
  g_ptr_array_add (candidates, candidate);
  if (candidate->known && strcmp (sora_wan_kind_component (candidate->file.kind), group) == 0)
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
      for (int kind = 0; kind < SORA_WAN_N_KINDS && !good; kind++)
        good = strcmp (*group, sora_wan_kind_component ((SoraWanKind)kind)) == 0;
      if (!good)
        {
          sora_error_set (error, CODE,
                          "'%s' has a group [%s], expected [Model], [transformer], [text_encoder], "
                          "[vae] and [tokenizer]",
                          display, *group);
          return FALSE;
        }
      if (strcmp (*group, "Model") != 0
          && !take_group (model, conf, *group, display, candidates, tokenizer, error))
        return FALSE;
    }
  g_autoptr (GPtrArray) none = g_ptr_array_new ();
  g_autofree char *problems = find_problems (candidates, none, *tokenizer);
  if (problems != NULL)
    sora_error_set (error, CODE, "'%s' names no whole model: %s", display, problems);
  return problems == NULL;
}

static Candidate *
open_named (SoraModel *model, const char *path, GError **error)
{
  if (sora_model_is_pickle_name (path))
    {
      sora_error_set (error, CODE, "'%s' is a pickle: %s", path, pickle_advice);
      return NULL;
    }
  if (!g_utf8_validate (path, -1, NULL))
    {
      sora_error_set (error, CODE,
                      "the path '%s' is not valid UTF-8, as " SORA_MODEL_CONF " must be: rename it",
                      path);
      return NULL;
    }
  return open_candidate (model, path, error);
}

char *
sora_model_make_conf (const char *const *paths, GError **error)
{
  g_autoptr (SoraModel) model = sora_model_new (-1, g_strdup ("/"));
  g_autoptr (GPtrArray) candidates = g_ptr_array_new_with_free_func (candidate_free);
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
      Candidate *candidate = open_named (model, path, error);
      if (candidate == NULL)
        return NULL;
      g_ptr_array_add (candidates, candidate);
    }
  g_autofree char *problems = find_problems (candidates, none, tokenizer);
  if (problems != NULL)
    {
      sora_error_set (error, CODE, "these files are no whole model: %s", problems);
      return NULL;
    }
  for (int kind = 0; kind < SORA_WAN_N_KINDS; kind++)
    g_key_file_set_string (conf, sora_wan_kind_component ((SoraWanKind)kind), "File",
                           first_of_kind (candidates, (SoraWanKind)kind)->name);
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
  for (int kind = 0; kind < SORA_WAN_N_KINDS; kind++)
    {
      Candidate *candidate = first_of_kind (candidates, (SoraWanKind)kind);
      g_autofree char *display = sora_model_display (model, candidate->name);
      g_autofree char *name
          = g_build_filename (sora_wan_kind_component ((SoraWanKind)kind), "config.json", NULL);
      files[kind] = candidate->file;
      tables[kind] = sora_safetensors_table (candidate->header);
      char *config = sora_wan_config (&files[kind], tables[kind], display, error);
      if (config == NULL)
        return FALSE;
      add_made (model->parts, name, config);
    }
  add_made (model->parts, "scheduler/scheduler_config.json", sora_wan_scheduler_config ());
  char *index = sora_wan_model_index (files, tables);
  add_made (model->parts, SORA_MODEL_INDEX, index);
  return sora_model_parse_index (model, index, strlen (index), SORA_MODEL_INDEX, error);
}

static gboolean
fill_component (SoraModel *model, SoraModelComponent *component, Candidate *candidate,
                GError **error)
{
  SoraModelShard *shard = g_new0 (SoraModelShard, 1);
  g_autofree char *display = sora_model_display (model, candidate->name);
  shard->name = g_strdup (candidate->name);
  shard->header = g_steal_pointer (&candidate->header);
  g_ptr_array_add (component->shards, shard);
  model->parts->weights[candidate->file.kind] = shard->name;
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
      if (name == NULL)
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
  g_autoptr (GPtrArray) candidates = g_ptr_array_new_with_free_func (candidate_free);
  g_autofree char *tokenizer = NULL;
  gboolean conf = faccessat (model->dirfd, SORA_MODEL_CONF, F_OK, 0) == 0;
  model->parts = parts_new ();
  if (!(conf ? gather_conf : gather_folder) (model, candidates, &tokenizer, error))
    return FALSE;
  model->parts->tokenizer = g_steal_pointer (&tokenizer);
  if (!make_files (model, candidates, error))
    return FALSE;
  for (int kind = 0; kind < SORA_WAN_N_KINDS; kind++)
    {
      const char *name = sora_wan_kind_component ((SoraWanKind)kind);
      SoraModelComponent *component = sora_model_find_component (model, name, error);
      if (component == NULL
          || !fill_component (model, component, first_of_kind (candidates, (SoraWanKind)kind),
                              error))
        return FALSE;
    }
  return TRUE;
}

/* ---- reading */

static GBytes *
read_inner_tokenizer (SoraModel *model, GError **error)
{
  const char *name = model->parts->weights[SORA_WAN_TEXT_ENCODER];
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
static const char *const labels[SORA_WAN_N_KINDS] = {
  [SORA_WAN_TRANSFORMER] = "transformer.safetensors",
  [SORA_WAN_TEXT_ENCODER] = "text_encoder.safetensors",
  [SORA_WAN_VAE] = "vae.safetensors",
};

GPtrArray *
sora_model_parts_files (SoraModel *model)
{
  static const SoraWanKind order[]
      = { SORA_WAN_TEXT_ENCODER, SORA_WAN_TRANSFORMER, SORA_WAN_VAE }; /* by label */
  GPtrArray *files = g_ptr_array_new_with_free_func (g_free);
  for (gsize i = 0; i < G_N_ELEMENTS (order); i++)
    {
      if (order[i] == SORA_WAN_TRANSFORMER && model->parts->tokenizer != NULL)
        g_ptr_array_add (files, g_strdup (model->parts->tokenizer));
      g_ptr_array_add (files, g_strdup (model->parts->weights[order[i]]));
    }
  return files;
}

const char *
sora_model_parts_label (SoraModel *model, const char *file)
{
  for (int kind = 0; kind < SORA_WAN_N_KINDS; kind++)
    if (strcmp (model->parts->weights[kind], file) == 0)
      return labels[kind];
  return TOKENIZER_FILE;
}
