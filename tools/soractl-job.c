/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Options of a request, and the printing of its result.
 */
#include "config.h"
#include "soractl-job.h"
#include "soractl-console.h"
#include "sora-error.h"
#include "sora-param.h"
#include <jansson.h>
#include <string.h>
#include <unistd.h>

static void
text_free (SoractlText *text)
{
  g_free (text->name);
  g_free (text->text);
  g_free (text);
}

void
soractl_timing_free (SoractlTiming *timing)
{
  g_free (timing->stage);
  g_free (timing);
}

void
soractl_job_clear (SoractlJob *job)
{
  g_clear_pointer (&job->request, sora_request_free);
  g_clear_pointer (&job->texts, g_ptr_array_unref);
  g_clear_pointer (&job->prompt, g_free);
  g_clear_pointer (&job->output, g_free);
}

static void
add_text (SoractlJob *job, const char *name, gsize name_length, const char *value)
{
  SoractlText *text = g_new0 (SoractlText, 1);
  text->name = g_strndup (name, name_length);
  text->text = g_strdup (value);
  g_ptr_array_add (job->texts, text);
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
take_rest (SoractlJob *job, SoractlJobFlags flags, int argc, char **argv, GPtrArray *words)
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
      else
        {
          const char *name = arg + 2, *equals = strchr (name, '=');
          if (equals != NULL)
            {
              add_text (job, name, (gsize)(equals - name), equals + 1);
            }
          else if (g_str_has_prefix (name, "no-"))
            {
              add_text (job, name + 3, strlen (name + 3), NULL);
              ((SoractlText *)job->texts->pdata[job->texts->len - 1])->negated = TRUE;
            }
          else
            {
              /* Whether a value follows depends on the parameter's type: told apart when the
               * pipeline is known. */
              gboolean has_value = i + 1 < argc && !g_str_has_prefix (argv[i + 1], "--");
              add_text (job, name, strlen (name), has_value ? argv[i + 1] : NULL);
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
    return soractl_usage_error (verb, "which pipeline?  'soractl pipelines' lists them");
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

static gboolean
parse_numbers (SoraRequest *request, const char *seed, const char *memory, GError **error)
{
  if (seed != NULL)
    {
      if (!g_ascii_string_to_unsigned (seed, 10, 0, G_MAXUINT64, &request->seed, NULL))
        {
          g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                       "option --seed is '%s', expected a whole number from 0 to 2^64 - 1", seed);
          return FALSE;
        }
      request->has_seed = TRUE;
    }
  if (memory != NULL)
    {
      char *end = NULL;
      double value = g_ascii_strtod (memory, &end);
      double unit = *end == '\0' || g_str_equal (end, "B")   ? 1
                    : g_ascii_strncasecmp (end, "k", 1) == 0 ? 1e3
                    : g_ascii_strncasecmp (end, "M", 1) == 0 ? 1e6
                    : g_ascii_strncasecmp (end, "G", 1) == 0 ? 1e9
                                                             : 0;
      if (end == memory || unit == 0 || !(value > 0) || value * unit >= 1e18)
        {
          g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                       "option --memory is '%s', expected a size such as 4G or 800M", memory);
          return FALSE;
        }
      request->memory_limit = (guint64)(value * unit);
    }
  return TRUE;
}

int
soractl_job_parse (SoractlJob *job, SoractlGlobal *global, SoractlJobFlags flags, int argc,
                   char **argv)
{
  g_auto (GStrv) models = NULL, stages = NULL, params = NULL;
  g_autofree char *seed = NULL, *metadata = NULL, *memory = NULL, *pipeline = NULL, *output = NULL;
  gint threads = 0;
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
  if ((code = take_rest (job, flags, argc, argv, words)) != SORACTL_OK
      || (code = take_words (job, flags, argv[0], words, pipeline)) != SORACTL_OK)
    return code;
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
      || !parse_numbers (job->request, seed, memory, &error))
    return soractl_report (error);
  if (threads < 0 || threads > 4096)
    return soractl_usage_error (argv[0], "option --threads is %d, expected 0 to 4096", threads);
  job->request->threads = (guint)threads;
  if (metadata != NULL)
    {
      if (!g_str_equal (metadata, "full") && !g_str_equal (metadata, "minimal")
          && !g_str_equal (metadata, "none"))
        return soractl_usage_error (
            argv[0], "option --metadata is '%s', expected full, minimal or none", metadata);
      g_free (job->request->metadata);
      job->request->metadata = g_steal_pointer (&metadata);
    }
  return SORACTL_OK;
}

gboolean
soractl_job_resolve (SoractlJob *job, SoractlParamLookup lookup, gpointer data, GError **error)
{
  for (guint i = 0; i < job->texts->len; i++)
    {
      SoractlText *text = job->texts->pdata[i];
      g_autofree char *who = g_strdup_printf ("parameter '%s'", text->name);
      const SoraParam *param = lookup (text->name, data);
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
      if (text->text == NULL)
        value = g_variant_ref_sink (g_variant_new_boolean (!text->negated));
      else
        value = sora_param_parse (param, who, text->text, error);
      if (value == NULL)
        return FALSE;
      sora_request_set_param (job->request, text->name, value);
    }
  return TRUE;
}

/* "a red ball, rolling!" to "a-red-ball-rolling", at most 60 bytes. */
static char *
slug (const char *prompt)
{
  g_autoptr (GString) out = g_string_new (NULL);
  for (const char *p = prompt; *p != '\0' && out->len < 60; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);
      if (g_unichar_isalnum (c))
        g_string_append_unichar (out, g_unichar_tolower (c));
      else if (out->len > 0 && out->str[out->len - 1] != '-')
        g_string_append_c (out, '-');
    }
  while (out->len > 0 && out->str[out->len - 1] == '-')
    g_string_truncate (out, out->len - 1);
  return out->len > 0 ? g_strdup (out->str) : g_strdup ("clip");
}

/* Is there a file STEM.* or STEM-NNNN.* in the folder? */
static gboolean
stem_is_taken (const char *folder, const char *stem)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      if (!g_str_has_prefix (name, stem))
        continue;
      const char *rest = name + strlen (stem);
      if (*rest == '.' || g_str_has_prefix (rest, "-0"))
        return TRUE;
    }
  return FALSE;
}

void
soractl_job_output_name (const SoractlJob *job, char **folder, char **stem)
{
  if (job->output != NULL)
    {
      *folder = g_path_get_dirname (job->output);
      *stem = g_path_get_basename (job->output);
      char *dot = strrchr (*stem, '.');
      if (dot != NULL && dot != *stem)
        *dot = '\0';
      return;
    }
  g_autofree char *base = slug (job->prompt != NULL ? job->prompt : job->request->pipeline);
  *folder = g_strdup (".");
  *stem = g_strdup (base);
  for (guint n = 2; stem_is_taken (*folder, *stem); n++)
    {
      g_free (*stem);
      *stem = g_strdup_printf ("%s-%u", base, n);
    }
}

int
soractl_job_check_output (const SoractlJob *job, const char *folder)
{
  if (!g_file_test (folder, G_FILE_TEST_IS_DIR))
    {
      soractl_console_error ("cannot write to '%s': there is no such folder", folder);
      return SORACTL_NOT_FOUND;
    }
  if (job->output != NULL && !job->overwrite && g_file_test (job->output, G_FILE_TEST_EXISTS))
    {
      soractl_console_error ("'%s' exists; --overwrite replaces it", job->output);
      return SORACTL_FAILED;
    }
  return SORACTL_OK;
}

void
soractl_job_print_result (SoractlGlobal *global, const char *job_id, GPtrArray *paths, guint64 seed,
                          double seconds, GPtrArray *timings)
{
  if (global->json)
    {
      json_t *root = json_object (), *files = json_array (), *stages = json_array ();
      if (job_id != NULL)
        json_object_set_new (root, "job", json_string (job_id));
      for (guint i = 0; i < paths->len; i++)
        json_array_append_new (files, json_string (paths->pdata[i]));
      for (guint i = 0; i < timings->len; i++)
        {
          SoractlTiming *t = timings->pdata[i];
          json_array_append_new (stages, json_pack ("{s:s, s:f, s:f}", "stage", t->stage, "wall",
                                                    t->wall, "compute", t->compute));
        }
      json_object_set_new (root, "files", files);
      /* A string: JSON's numbers do not hold 64 bits. */
      g_autofree char *seed_text = g_strdup_printf ("%" G_GUINT64_FORMAT, seed);
      json_object_set_new (root, "seed", json_string (seed_text));
      json_object_set_new (root, "seconds", json_real (seconds));
      json_object_set_new (root, "stages", stages);
      json_dumpf (root, stdout, JSON_INDENT (2));
      putchar ('\n');
      json_decref (root);
      return;
    }
  if (!global->quiet)
    {
      g_autoptr (SoractlTable) table = soractl_table_new (3, "011");
      soractl_table_row (table, "STAGE", "TIME", "COMPUTE");
      for (guint i = 0; i < timings->len; i++)
        {
          SoractlTiming *t = timings->pdata[i];
          g_autofree char *wall = soractl_format_seconds (t->wall),
                          *compute = soractl_format_seconds (t->compute);
          soractl_table_row (table, t->stage, wall, compute);
        }
      soractl_table_print (table, stderr);
      g_autofree char *whole = soractl_format_seconds (seconds);
      fprintf (stderr, "%s in all, seed %" G_GUINT64_FORMAT "\n", whole, seed);
    }
  for (guint i = 0; i < paths->len; i++)
    printf ("%s\n", (char *)paths->pdata[i]);
}
