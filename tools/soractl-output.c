/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Where results go: their folder and name, whether they may be written there, and the printing of
 * what was made.
 */
#include "config.h"
#include "soractl-console.h"
#include "soractl-job.h"
#include "soractl-json.h"
#include <string.h>

#define MAX_NAME 128 /* of the service's option "name" */

/* Endings that are formats.  Any other dot belongs to the name: "scene.02". */
static const char *const endings[] = { ".mp4", ".webm", ".png",  ".apng", ".mkv",  ".mov", ".avi",
                                       ".gif", ".jpg",  ".jpeg", ".webp", ".avif", NULL };

static gboolean
output_is_folder (const SoractlJob *job)
{
  return job->output != NULL && g_file_test (job->output, G_FILE_TEST_IS_DIR);
}

const char *
soractl_job_ending (const SoractlJob *job)
{
  if (job->output == NULL || output_is_folder (job))
    return NULL;
  const char *slash = strrchr (job->output, '/');
  const char *base = slash != NULL ? slash + 1 : job->output;
  const char *dot = strrchr (base, '.');
  for (const char *const *e = endings; dot != NULL && dot != base && *e != NULL; e++)
    if (g_ascii_strcasecmp (dot, *e) == 0)
      return dot;
  return NULL;
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
  if (job->output != NULL && !output_is_folder (job))
    {
      const char *ending = soractl_job_ending (job);
      *folder = g_path_get_dirname (job->output);
      *stem = g_path_get_basename (job->output);
      if (ending != NULL)
        (*stem)[strlen (*stem) - strlen (ending)] = '\0';
      return;
    }
  const char *prompt = soractl_job_prompt (job);
  g_autofree char *base = slug (prompt != NULL ? prompt : job->request->pipeline);
  *folder = g_strdup (job->output != NULL ? job->output : ".");
  *stem = g_strdup (base);
  for (guint n = 2; stem_is_taken (*folder, *stem); n++)
    {
      g_free (*stem);
      *stem = g_strdup_printf ("%s-%u", base, n);
    }
}

int
soractl_job_check_stem (const char *stem)
{
  gboolean plain = *stem != '\0' && *stem != '.' && *stem != '-' && strlen (stem) <= MAX_NAME
                   && g_utf8_validate (stem, -1, NULL);
  for (const char *p = stem; plain && *p != '\0'; p++)
    plain = !g_ascii_iscntrl (*p) && *p != '/';
  if (plain)
    return SORACTL_OK;
  g_autofree char *escaped = g_strescape (stem, NULL);
  soractl_console_error (
      "option --output: a result cannot be named '%s': expected 1 to %d bytes of UTF-8 "
      "without control characters and a leading '.' or '-'",
      escaped, MAX_NAME);
  return SORACTL_USAGE;
}

static gboolean
is_taken (const char *folder, const char *stem, const char *ending)
{
  g_autofree char *name = g_strconcat (stem, ending, NULL);
  g_autofree char *path
      = g_str_equal (folder, ".") ? g_strdup (name) : g_build_filename (folder, name, NULL);
  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    return FALSE;
  soractl_console_error ("'%s' exists; --overwrite replaces it", path);
  return TRUE;
}

int
soractl_job_check_output (const SoractlJob *job, const char *folder, const char *stem)
{
  int code = soractl_job_check_stem (stem);
  if (code != SORACTL_OK)
    return code;
  if (!g_file_test (folder, G_FILE_TEST_IS_DIR))
    {
      soractl_console_error ("cannot write to '%s': there is no such folder", folder);
      return SORACTL_NOT_FOUND;
    }
  /* A name that was made here is free. */
  if (job->output == NULL || job->overwrite || output_is_folder (job))
    return SORACTL_OK;
  g_autofree char *ending = job->format != NULL ? g_strconcat (".", job->format, NULL)
                                                : g_strdup (soractl_job_ending (job));
  /* Without any, what is taken shows when the encoder names its file. */
  return ending != NULL && is_taken (folder, stem, ending) ? SORACTL_FAILED : SORACTL_OK;
}

void
soractl_job_check_ending (const SoractlJob *job, GPtrArray *paths)
{
  const char *ending = soractl_job_ending (job);
  const char *path = paths->len > 0 ? paths->pdata[0] : NULL;
  if (ending != NULL && path != NULL && !g_str_has_suffix (path, ending))
    soractl_console_warning ("'%s' is written, not '%s': that is what its format is called", path,
                             job->output);
}

void
soractl_timing_free (SoractlTiming *timing)
{
  g_free (timing->stage);
  g_free (timing);
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
          json_array_append_new (stages, json_pack ("{s:s, s:f, s:f, s:I}", "stage", t->stage,
                                                    "wall", t->wall, "compute", t->compute,
                                                    "peak_resident", (json_int_t)t->resident));
        }
      json_object_set_new (root, "files", files);
      /* A string: JSON's numbers do not hold 64 bits. */
      g_autofree char *seed_text = g_strdup_printf ("%" G_GUINT64_FORMAT, seed);
      json_object_set_new (root, "seed", json_string (seed_text));
      json_object_set_new (root, "seconds", json_real (seconds));
      json_object_set_new (root, "stages", stages);
      soractl_json_print (root);
      return;
    }
  if (!global->quiet)
    {
      g_autoptr (SoractlTable) table = soractl_table_new (4, "0111");
      soractl_table_row (table, "STAGE", "TIME", "COMPUTE", "MEMORY");
      for (guint i = 0; i < timings->len; i++)
        {
          SoractlTiming *t = timings->pdata[i];
          g_autofree char *wall = soractl_format_seconds (t->wall),
                          *compute = soractl_format_seconds (t->compute),
                          *memory = t->resident > 0 ? soractl_format_bytes (t->resident) : NULL;
          soractl_table_row (table, t->stage, wall, compute, memory != NULL ? memory : "");
        }
      soractl_table_print (table, stderr);
      g_autofree char *whole = soractl_format_seconds (seconds);
      fprintf (stderr, "%s in all, seed %" G_GUINT64_FORMAT "\n", whole, seed);
    }
  for (guint i = 0; i < paths->len; i++)
    printf ("%s\n", (char *)paths->pdata[i]);
}
