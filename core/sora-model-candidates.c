/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Weights files that may make a model together: what each is, told by its header, and everything
 * that is too much or missing, told in one line.
 *
 * Wan 2.2 A14B has two transformers of the same shapes.  Nothing in the files tells which is for
 * high noise: their names do, as all who publish them give them (wan2.2_t2v_high_noise_14B_fp16).
 */
#include "config.h"
#include <string.h>
#include <unistd.h>
#include "sora-model-candidates.h"

const char *const sora_pickle_advice
    = "pickles run code when they are read, so they are refused: get the file as safetensors, or "
      "convert it where you trust it (safetensors.torch.save_file)";

void
sora_candidate_free (gpointer data)
{
  SoraCandidate *candidate = data;
  if (candidate == NULL)
    return;
  sora_safetensors_unref (candidate->header);
  g_free (candidate->name);
  g_free (candidate);
}

SoraCandidate *
sora_candidate_open (SoraModel *model, const char *name, GError **error)
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
  SoraCandidate *candidate = g_new0 (SoraCandidate, 1);
  candidate->name = g_strdup (name);
  candidate->header = header;
  candidate->known = sora_wan_detect (sora_safetensors_table (header), &candidate->file);
  return candidate;
}

SoraPart
sora_candidate_part (const SoraCandidate *candidate)
{
  if (candidate->second && candidate->file.kind == SORA_WAN_TRANSFORMER)
    return SORA_PART_TRANSFORMER_2;
  return (SoraPart)candidate->file.kind;
}

const char *
sora_part_component (SoraPart part)
{
  return part == SORA_PART_TRANSFORMER_2 ? "transformer_2"
                                         : sora_wan_kind_component ((SoraWanKind)part);
}

SoraCandidate *
sora_candidates_find (const GPtrArray *candidates, SoraPart part)
{
  for (guint i = 0; i < candidates->len; i++)
    {
      SoraCandidate *candidate = g_ptr_array_index (candidates, i);
      if (candidate->known && sora_candidate_part (candidate) == part)
        return candidate;
    }
  return NULL;
}

/* ---- two experts */

typedef enum
{
  TOLD_NOTHING,
  TOLD_HIGH,
  TOLD_LOW,
} Told;

/* Whole words: "flow" is not low.  @noise: only where noise is said to be high or low. */
static Told
told_by_word (const char *text, gboolean noise)
{
  g_autofree char *lower = g_ascii_strdown (text, -1);
  for (char *c = lower; *c != '\0'; c++)
    if (!g_ascii_isalnum (*c))
      *c = ' ';
  g_auto (GStrv) words = g_strsplit (lower, " ", -1);
  Told told = TOLD_NOTHING;
  for (char **word = words; *word != NULL; word++)
    {
      gboolean joined = g_str_has_suffix (*word, "noise");
      gboolean good = !noise || joined || (word[1] != NULL && strcmp (word[1], "noise") == 0);
      Told here = strcmp (*word, joined ? "highnoise" : "high") == 0  ? TOLD_HIGH
                  : strcmp (*word, joined ? "lownoise" : "low") == 0 ? TOLD_LOW
                                                                      : TOLD_NOTHING;
      if (here == TOLD_NOTHING || !good)
        continue;
      if (told != TOLD_NOTHING && told != here) /* both words: it tells nothing */
        return TOLD_NOTHING;
      told = here;
    }
  return told;
}

static Told
told_by_name (const SoraCandidate *candidate, gboolean noise)
{
  g_autofree char *base = g_path_get_basename (candidate->name);
  g_autofree char *folder = g_path_get_dirname (candidate->name);
  g_autofree char *parent = g_path_get_basename (folder);
  Told told = told_by_word (base, noise);
  return told != TOLD_NOTHING ? told : told_by_word (parent, noise);
}

static GPtrArray *
transformers_of (const GPtrArray *candidates)
{
  GPtrArray *found = g_ptr_array_new ();
  for (guint i = 0; i < candidates->len; i++)
    {
      SoraCandidate *candidate = g_ptr_array_index (candidates, i);
      if (candidate->known && candidate->file.kind == SORA_WAN_TRANSFORMER)
        g_ptr_array_add (found, candidate);
    }
  return found;
}

void
sora_candidates_tell_experts (const GPtrArray *candidates)
{
  g_autoptr (GPtrArray) found = transformers_of (candidates);
  if (found->len != 2)
    return;
  SoraCandidate *a = g_ptr_array_index (found, 0), *b = g_ptr_array_index (found, 1);
  Told of_a = told_by_name (a, FALSE), of_b = told_by_name (b, FALSE);
  a->second = of_a == TOLD_LOW && of_b == TOLD_HIGH;
  b->second = of_b == TOLD_LOW && of_a == TOLD_HIGH;
}

/* ---- problems */

static gboolean
has_inner_tokenizer (const SoraCandidate *text)
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
names_of_part (const GPtrArray *candidates, SoraPart part, guint *n)
{
  GString *names = g_string_new (NULL);
  *n = 0;
  for (guint i = 0; i < candidates->len; i++)
    {
      SoraCandidate *candidate = g_ptr_array_index (candidates, i);
      if (!candidate->known || sora_candidate_part (candidate) != part)
        continue;
      g_string_append_printf (names, "%s'%s'", names->len > 0 ? ", " : "", candidate->name);
      (*n)++;
    }
  return g_string_free (names, FALSE);
}

static void
add_missing (GString *missing, const char *what)
{
  g_string_append_printf (missing, "%s%s", missing->len > 0 ? ", " : "", what);
}

/* One of each kind; of transformers two, if it is known which is which. */
static void
count_kinds (const GPtrArray *candidates, GString *problems, GString *missing)
{
  for (int kind = 0; kind < SORA_WAN_N_KINDS; kind++)
    {
      guint n;
      g_autofree char *names = names_of_part (candidates, (SoraPart)kind, &n);
      const char *words = sora_wan_kind_words ((SoraWanKind)kind);
      if (n == 0)
        add_missing (missing, words);
      else if (n == 2 && kind == SORA_WAN_TRANSFORMER)
        add_problem (problems,
                     "each of %s is %s, expected one, or the two experts of Wan 2.2 A14B with the "
                     "words 'high' and 'low' in their names",
                     names, words);
      else if (n > 1)
        add_problem (problems, "each of %s is %s, expected one", names, words);
    }
}

/* One expert alone would make clips, and none that anybody wants. */
static void
check_lone_expert (const GPtrArray *candidates, GString *missing)
{
  g_autoptr (GPtrArray) found = transformers_of (candidates);
  SoraCandidate *only = found->len == 1 ? g_ptr_array_index (found, 0) : NULL;
  Told told = only != NULL ? told_by_name (only, TRUE) : TOLD_NOTHING;
  if (told == TOLD_NOTHING)
    return;
  g_autofree char *text = g_strdup_printf (
      "the expert for %s noise beside '%s' (a " SORA_MODEL_CONF " takes one alone)",
      told == TOLD_HIGH ? "low" : "high", only->name);
  add_missing (missing, text);
}

char *
sora_candidates_problems (const GPtrArray *candidates, const GPtrArray *pickles,
                          const char *tokenizer, gboolean explicit_parts)
{
  GString *problems = g_string_new (NULL), *missing = g_string_new (NULL);
  for (guint i = 0; i < candidates->len; i++)
    {
      SoraCandidate *candidate = g_ptr_array_index (candidates, i);
      if (!candidate->known)
        add_problem (problems, "'%s' is no file of a Wan model that is known", candidate->name);
    }
  count_kinds (candidates, problems, missing);
  if (!explicit_parts)
    check_lone_expert (candidates, missing);
  SoraCandidate *text = sora_candidates_find (candidates, SORA_PART_TEXT_ENCODER);
  if (tokenizer == NULL && (text == NULL || !has_inner_tokenizer (text)))
    add_missing (missing, "a tokenizer (a file '" SORA_SPIECE_FILE "', or a tensor '" SORA_WAN_SPIECE
                          "' in the text encoder's file)");
  if (tokenizer != NULL && text != NULL && has_inner_tokenizer (text))
    add_problem (problems,
                 "there are two tokenizers: '%s', and the tensor '" SORA_WAN_SPIECE
                 "' in '%s'; remove the file",
                 tokenizer, text->name);
  for (int kind = 0; kind < SORA_WAN_N_KINDS && missing->len > 0; kind++)
    {
      guint n;
      g_autofree char *names = names_of_part (candidates, (SoraPart)kind, &n);
      if (n > 0)
        add_problem (problems, "%s is %s", names, sora_wan_kind_words ((SoraWanKind)kind));
    }
  if (missing->len > 0)
    add_problem (problems, "missing: %s", missing->str);
  for (guint i = 0; i < pickles->len && missing->len > 0; i++)
    add_problem (problems, "'%s' is a pickle: %s", (char *)g_ptr_array_index (pickles, i),
                 sora_pickle_advice);
  g_string_free (missing, TRUE);
  return g_string_free (problems, problems->len == 0);
}
