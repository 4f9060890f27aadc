/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Options of a request, and the parameters among them.
 */
#include "config.h"
#include "soractl-job.h"
#include "sora-error.h"
#include "sora-param.h"
#include <string.h>

static void
text_free (SoractlText *text)
{
  g_free (text->name);
  g_free (text->text);
  g_free (text);
}

void
soractl_job_clear (SoractlJob *job)
{
  g_clear_pointer (&job->request, sora_request_free);
  g_clear_pointer (&job->texts, g_ptr_array_unref);
  g_clear_pointer (&job->prompt, g_free);
  g_clear_pointer (&job->output, g_free);
  g_clear_pointer (&job->format, g_free);
  g_clear_pointer (&job->packed_dir, g_free);
}

static SoractlText *
add_text (SoractlJob *job, const char *name, gsize name_length, const char *value)
{
  SoractlText *text = g_new0 (SoractlText, 1);
  text->name = g_strndup (name, name_length);
  text->text = g_strdup (value);
  g_ptr_array_add (job->texts, text);
  return text;
}

/* "KEY=VALUE" pairs of a repeated option into a map; a lone value is the key @lone's. */
static gboolean
add_pairs (GHashTable *map, char **pairs, const char *option, const char *lone, GError **error)
{
  for (char **p = pairs; p != NULL && *p != NULL; p++)
    {
      const char *equals = strchr (*p, '=');
      if (equals == NULL && lone != NULL)
        {
          g_hash_table_replace (map, g_strdup (lone), g_strdup (*p));
        }
      else if (equals == NULL || equals == *p || equals[1] == '\0')
        {
          g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                       "option %s takes NAME=VALUE, not '%s'", option, *p);
          return FALSE;
        }
      else
        {
          g_hash_table_replace (map, g_strndup (*p, (gsize)(equals - *p)), g_strdup (equals + 1));
        }
    }
  return TRUE;
}

/* What GOption left: words, and options that are the pipeline's parameters. */
static int
take_rest (SoractlJob *job, int argc, char **argv, GPtrArray *words)
{
  gboolean only_words = FALSE;
  for (int i = 1; i < argc; i++)
    {
      const char *arg = argv[i];
      if (only_words || arg[0] != '-' || arg[1] == '\0')
        {
          g_ptr_array_add (words, argv[i]);
        }
      else if (g_str_equal (arg, "--"))
        {
          only_words = TRUE;
        }
      else if (!g_str_has_prefix (arg, "--"))
        {
          return soractl_usage_error (argv[0], "unknown option '%s'", arg);
        }
      else if (g_str_equal (arg, "--session") || g_str_equal (arg, "--system"))
        {
          return soractl_usage_error (argv[0], "option %s goes before the verb", arg);
        }
      else
        {
          const char *name = arg + 2, *equals = strchr (name, '=');
          if (equals != NULL)
            {
              add_text (job, name, (gsize)(equals - name), equals + 1);
            }
          else if (g_str_has_prefix (name, "no-"))
            {
              add_text (job, name + 3, strlen (name + 3), NULL)->negated = TRUE;
            }
          else
            {
              /* Whether a value follows depends on the parameter's type: told apart when the
               * pipeline is known, by soractl_job_resolve. */
              gboolean has_value = i + 1 < argc && !g_str_has_prefix (argv[i + 1], "--");
              add_text (job, name, strlen (name), has_value ? argv[i + 1] : NULL)->guessed
                  = has_value;
              i += has_value ? 1 : 0;
            }
        }
    }
  return SORACTL_OK;
}

static int
take_words (SoractlJob *job, SoractlJobFlags flags, const char *verb, GPtrArray *words,
            const char *pipeline)
{
  guint i = 0;
  if ((flags & SORACTL_JOB_PIPELINE) && pipeline == NULL && i < words->len)
    pipeline = words->pdata[i++];
  if ((flags & SORACTL_JOB_PIPELINE) && pipeline == NULL)
    {
      const SoractlText *last = job->texts->len > 0 ? job->texts->pdata[job->texts->len - 1] : NULL;
      if (last != NULL && last->guessed)
        return soractl_usage_error (verb,
                                    "which pipeline?  Option --%s took '%s' as its value: write "
                                    "--%s=true if it is a switch",
                                    last->name, last->text, last->name);
      return soractl_usage_error (verb, "which pipeline?  'soractl pipelines' lists them");
    }
  if (i < words->len)
    job->prompt = g_strdup (words->pdata[i++]);
  if (i < words->len)
    return soractl_usage_error (verb,
                                "a second word '%s' where none was expected: quote the prompt",
                                (char *)words->pdata[i]);
  g_free (job->request->pipeline);
  job->request->pipeline = g_strdup (pipeline != NULL ? pipeline : "text-to-video");
  if (job->prompt != NULL)
    add_text (job, "prompt", 6, job->prompt);
  return SORACTL_OK;
}

/* Before anything walks over it by characters, or sends it. */
static int
check_utf8 (SoractlJob *job, const char *verb)
{
  if (job->prompt != NULL && !g_utf8_validate (job->prompt, -1, NULL))
    return soractl_usage_error (verb, "the prompt is not valid UTF-8");
  if (!g_utf8_validate (job->request->pipeline, -1, NULL))
    return soractl_usage_error (verb, "the pipeline's name is not valid UTF-8");
  for (guint i = 0; i < job->texts->len; i++)
    if (!g_utf8_validate (((SoractlText *)job->texts->pdata[i])->name, -1, NULL))
      return soractl_usage_error (verb, "an option is not valid UTF-8");
  return SORACTL_OK;
}

const char *
soractl_job_prompt (const SoractlJob *job)
{
  for (guint i = 0; job->texts != NULL && i < job->texts->len; i++)
    {
      const SoractlText *text = job->texts->pdata[i];
      if (g_str_equal (text->name, "prompt") && text->text != NULL
          && g_utf8_validate (text->text, -1, NULL))
        return text->text;
    }
  return NULL;
}

int
soractl_job_parse (SoractlJob *job, SoractlGlobal *global, SoractlJobFlags flags, int argc,
                   char **argv)
{
  g_auto (GStrv) models = NULL, stages = NULL, params = NULL;
  g_autofree char *seed = NULL, *metadata = NULL, *memory = NULL, *pipeline = NULL, *output = NULL;
  gint threads = 0;
  gboolean turbo = FALSE, no_cache = FALSE;
  job->request = sora_request_new ("text-to-video");
  job->texts = g_ptr_array_new_with_free_func ((GDestroyNotify)text_free);
  job->repeat = 3;
  const GOptionEntry always[] = {
    { "pipeline", 0, 0, G_OPTION_ARG_STRING, &pipeline, "Pipeline, by name or path (text-to-video)",
      "PIPELINE" },
    { "model", 'm', 0, G_OPTION_ARG_STRING_ARRAY, &models,
      "Model, by name or path, of the main role or of ROLE", "[ROLE=]MODEL" },
    { "stage", 0, 0, G_OPTION_ARG_STRING_ARRAY, &stages, "Use another plugin for a stage",
      "STAGE=PLUGIN" },
    { "param", 'p', 0, G_OPTION_ARG_STRING_ARRAY, &params,
      "Set a parameter of the pipeline, or STAGE.NAME", "NAME=VALUE" },
    { "seed", 's', 0, G_OPTION_ARG_STRING, &seed, "Seed; the same seed gives the same clip",
      "NUMBER" },
    { "turbo", 0, 0, G_OPTION_ARG_NONE, &turbo,
      "Take the model's few-step rule; an error if it has none", NULL },
    { "metadata", 0, 0, G_OPTION_ARG_STRING, &metadata,
      "What the file tells of its making: full (with the prompt), minimal, none", "LEVEL" },
    { "threads", 0, 0, G_OPTION_ARG_INT, &threads, "Threads to compute with (all cores)", "N" },
    { "memory", 0, 0, G_OPTION_ARG_STRING, &memory, "Memory that the job may use, such as 4G",
      "SIZE" },
    G_OPTION_ENTRY_NULL,
  };
  GArray *entries = g_array_new (TRUE, TRUE, sizeof (GOptionEntry));
  g_array_append_vals (entries, always, G_N_ELEMENTS (always) - 1);
  const GOptionEntry for_output[] = {
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &output,
      "Write the result there (named after the prompt)", "FILE" },
    { "overwrite", 'f', 0, G_OPTION_ARG_NONE, &job->overwrite, "Replace a file that exists", NULL },
  };
  const GOptionEntry for_submit[] = {
    { "no-cache", 0, 0, G_OPTION_ARG_NONE, &no_cache,
      "Compute all of it: take nothing from earlier jobs, and keep nothing for later ones", NULL },
    { "local", 0, 0, G_OPTION_ARG_NONE, &job->local, "Run in this process: no service, no bus",
      NULL },
    { "detach", 'd', 0, G_OPTION_ARG_NONE, &job->detach, "Submit, print the job, and leave", NULL },
  };
  const GOptionEntry for_repeat[] = {
    { "repeat", 0, 0, G_OPTION_ARG_INT, &job->repeat, "How many runs after the first (3)", "N" },
  };
  if (flags & SORACTL_JOB_OUTPUT)
    g_array_append_vals (entries, for_output, G_N_ELEMENTS (for_output));
  if (flags & SORACTL_JOB_SUBMIT)
    g_array_append_vals (entries, for_submit, G_N_ELEMENTS (for_submit));
  if (flags & SORACTL_JOB_REPEAT)
    g_array_append_vals (entries, for_repeat, G_N_ELEMENTS (for_repeat));
  int code = soractl_parse_options (global, (GOptionEntry *)entries->data, TRUE, &argc, &argv);
  g_array_unref (entries);
  if (code != SORACTL_OK)
    return code;
  job->output = g_steal_pointer (&output);

  g_autoptr (GPtrArray) words = g_ptr_array_new ();
  if ((code = take_rest (job, argc, argv, words)) != SORACTL_OK
      || (code = take_words (job, flags, argv[0], words, pipeline)) != SORACTL_OK)
    return code;
  if (job->local && job->detach)
    return soractl_usage_error (
        argv[0], "option --detach leaves a job to the service, and --local has none");
  if (turbo) /* a public parameter as any other, but for what follows: that is never its value */
    add_text (job, "turbo", strlen ("turbo"), NULL);
  for (char **p = params; p != NULL && *p != NULL; p++)
    {
      const char *equals = strchr (*p, '=');
      if (equals == NULL || equals == *p)
        return soractl_usage_error (argv[0], "option --param takes NAME=VALUE, not '%s'", *p);
      add_text (job, *p, (gsize)(equals - *p), equals + 1);
    }
  g_autoptr (GError) error = NULL;
  if (!add_pairs (job->request->models, models, "--model", "main", &error)
      || !add_pairs (job->request->stages, stages, "--stage", NULL, &error)
      || (seed != NULL && !soractl_parse_seed (seed, &job->request->seed, &error))
      || (memory != NULL && !soractl_parse_size (memory, &job->request->memory_limit, &error))
      || !soractl_check_threads (threads, &error))
    return soractl_report (error);
  job->request->has_seed = seed != NULL;
  job->request->threads = (guint)threads;
  job->request->no_cache = no_cache;
  if (metadata != NULL)
    {
      if (!g_str_equal (metadata, "full") && !g_str_equal (metadata, "minimal")
          && !g_str_equal (metadata, "none"))
        return soractl_usage_error (
            argv[0], "option --metadata is '%s', expected full, minimal or none", metadata);
      g_free (job->request->metadata);
      job->request->metadata = g_steal_pointer (&metadata);
    }
  job->verb = argv[0];
  return check_utf8 (job, argv[0]);
}

/* A switch that took the next word, which is no boolean: the word is the prompt. */
static gboolean
give_back (SoractlJob *job, SoractlText *text, GError **error)
{
  if (soractl_job_prompt (job) != NULL)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "option --%s took '%s' as its value, expected true or false: write --%s=true",
                   text->name, text->text, text->name);
      return FALSE;
    }
  job->prompt = g_steal_pointer (&text->text);
  add_text (job, "prompt", 6, job->prompt);
  return TRUE;
}

/* "-o clip.webm" says the format, where the pipeline has a parameter of that name. */
static gboolean
take_format (SoractlJob *job, SoractlParamLookup lookup, gpointer data, GError **error)
{
  const char *ending = soractl_job_ending (job);
  GVariant *by_default = NULL;
  const SoraParam *param = lookup ("format", &by_default, data);
  if (param == NULL || param->type != SORA_PARAM_ENUM || param->choices == NULL)
    return TRUE;
  GVariant *given = g_hash_table_lookup (job->request->params, "format");
  g_autofree char *wanted = ending != NULL ? g_ascii_strdown (ending + 1, -1) : NULL;
  if (given != NULL || by_default != NULL)
    job->format = g_variant_dup_string (given != NULL ? given : by_default, NULL);
  if (wanted == NULL || !g_strv_contains (param->choices, wanted))
    return TRUE;
  if (given != NULL && !g_str_equal (job->format, wanted))
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "option --output is '%s', but the format is %s", job->output, job->format);
      return FALSE;
    }
  if (given == NULL)
    {
      sora_request_set_param (job->request, "format", g_variant_new_string (wanted));
      g_free (job->format);
      job->format = g_steal_pointer (&wanted);
    }
  return TRUE;
}

gboolean
soractl_job_resolve (SoractlJob *job, SoractlParamLookup lookup, gpointer data, GError **error)
{
  for (guint i = 0; i < job->texts->len; i++)
    {
      SoractlText *text = job->texts->pdata[i];
      g_autofree char *who = g_strdup_printf ("parameter '%s'", text->name);
      const SoraParam *param = lookup (text->name, NULL, data);
      if (param == NULL)
        {
          g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                       "pipeline '%s' has no parameter '%s'; 'soractl inspect %s' lists them",
                       job->request->pipeline, text->name, job->request->pipeline);
          return FALSE;
        }
      if (text->text == NULL && param->type != SORA_PARAM_BOOL)
        {
          g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                       "%s needs a value: --%s VALUE", who, text->name);
          return FALSE;
        }
      g_autoptr (GVariant) value = NULL;
      if (text->guessed && param->type == SORA_PARAM_BOOL)
        {
          g_autoptr (GVariant) plain = sora_param_parse (param, who, text->text, NULL);
          if (plain == NULL && !give_back (job, text, error))
            return FALSE;
        }
      if (text->text == NULL)
        value = g_variant_ref_sink (g_variant_new_boolean (!text->negated));
      else
        value = sora_param_parse (param, who, text->text, error);
      if (value == NULL)
        return FALSE;
      sora_request_set_param (job->request, text->name, value);
    }
  if (job->wants_prompt && soractl_job_prompt (job) == NULL)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "what shall the clip show?  Give a prompt in quotes");
      return FALSE;
    }
  return take_format (job, lookup, data, error);
}
