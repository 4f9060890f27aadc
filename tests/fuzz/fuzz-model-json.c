/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target: model_index.json, which says what a model is made of, and sora_defaults.json, which says what suits it.
 */
#include "config.h"
#include <string.h>
#include "arena.h"
#include "mutate.h"
#include "sora-keyfile.h"
#include "sora-model-private.h"

static void
try_text (const char *text, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraModel) model = sora_model_new (-1, g_strdup ("/models/fuzz"));
  gboolean ok = sora_model_parse_index (model, text, size, "input", &error);
  MUST_TELL (ok, error);
  if (!ok)
    return;
  MUST (*sora_model_family (model) != '\0' && sora_model_components (model)[0] != NULL);
  for (const char *const *name = sora_model_components (model); *name != NULL; name++)
    MUST (sora_name_is_valid (*name) && sora_model_component_class (model, *name) != NULL);
}

static void
try_defaults (const char *text, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GHashTable) defaults = sora_model_parse_defaults (text, size, "input", &error);
  GHashTableIter iter;
  gpointer name, value;

  MUST_TELL (defaults != NULL, error);
  if (defaults == NULL)
    return;
  g_hash_table_iter_init (&iter, defaults);
  while (g_hash_table_iter_next (&iter, &name, &value))
    MUST (sora_name_is_valid (name) && value != NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  fuzz_arena_begin ();
  try_text ((const char *)data, size);
  try_defaults ((const char *)data, size);
  fuzz_arena_end ();
  return 0;
}

static const char *const words[] = { "_class_name",
                                     "_diffusers_version",
                                     "WanPipeline",
                                     "WanDMDPipeline",
                                     "transformer",
                                     "transformer_2",
                                     "text_encoder",
                                     "tokenizer",
                                     "vae",
                                     "scheduler",
                                     "diffusers",
                                     "transformers",
                                     "boundary_ratio",
                                     "expand_timesteps",
                                     "WanTransformer3DModel",
                                     "AutoencoderKLWan",
                                     "UMT5EncoderModel",
                                     "width",
                                     "guidance-scale",
                                     "a/b",
                                     "..",
                                     NULL };

size_t
LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
  Mutation m = mutation_begin (data, size, max_size, seed);
  if (mutation_random (&m, 8) == 0)
    return LLVMFuzzerMutate (data, size, max_size);
  mutation_json (&m, words);
  return m.size;
}
