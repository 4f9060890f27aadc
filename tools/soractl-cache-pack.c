/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl cache pack: the packed weights of a model, made before anybody waits for them.  Which
 * stage packs what is known to its plugin alone, so the whole pipeline runs once, at its smallest.
 */
#include "config.h"
#include "soractl-cache.h"
#include "soractl-console.h"
#include "soractl-job.h"
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

/* The size: a multiple of what every known model asks for, and room for the smallest mark.  The
 * steps: so many that a model of two experts takes both. */
static const char *const smallest[]
    = { "width=64", "height=64", "frames=1", "steps=4", "guidance-scale=1", "mark=false" };

static gboolean
is_named (char **params, const char *setting)
{
  const gsize n = (gsize)(strchr (setting, '=') - setting) + 1;
  for (char **p = params; p != NULL && *p != NULL; p++)
    if (strncmp (*p, setting, n) == 0)
      return TRUE;
  return FALSE;
}

static void
remove_folder (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);
      (void)g_unlink (path);
    }
  if (g_rmdir (folder) != 0)
    soractl_console_warning ("cannot remove '%s': %s", folder, g_strerror (errno));
}

static GPtrArray *
words_of (const char *model, char **params, gboolean turbo, const char *output)
{
  GPtrArray *words = g_ptr_array_new ();
  const char *const first[]
      = { "cache", "text-to-frames", SORACTL_STAND_IN, "--local", "-m", model, "-o", output };
  for (guint i = 0; i < G_N_ELEMENTS (first); i++)
    g_ptr_array_add (words, (gpointer)first[i]);
  for (char **p = params; p != NULL && *p != NULL; p++)
    {
      g_ptr_array_add (words, (gpointer) "-p");
      g_ptr_array_add (words, *p);
    }
  for (guint i = 0; i < G_N_ELEMENTS (smallest); i++)
    if (!is_named (params, smallest[i]) && !(turbo && g_str_has_prefix (smallest[i], "steps=")))
      {
        g_ptr_array_add (words, (gpointer) "-p");
        g_ptr_array_add (words, (gpointer)smallest[i]);
      }
  if (turbo)
    g_ptr_array_add (words, (gpointer) "--turbo");
  g_ptr_array_add (words, NULL);
  return words;
}

int
soractl_cache_pack (SoractlGlobal *global, const char *model, char **params, gboolean turbo,
                    const char *dir, gboolean share)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = g_dir_make_tmp ("soractl-XXXXXX", &error);
  if (folder == NULL)
    return soractl_report (error);
  g_autofree char *output = g_build_filename (folder, "frame.png", NULL);
  g_autoptr (GPtrArray) words = words_of (model, params, turbo, output);
  g_auto (SoractlJob) job = { 0 };
  int code = soractl_job_parse (&job, global,
                                SORACTL_JOB_PIPELINE | SORACTL_JOB_OUTPUT | SORACTL_JOB_SUBMIT,
                                (int)words->len - 1, (char **)words->pdata);
  job.packed_dir = g_strdup (dir);
  job.packed_use = share ? SORA_PACKED_SHARE : SORA_PACKED_KEEP;
  if (code == SORACTL_OK)
    code = soractl_run_local (global, &job);
  remove_folder (folder);
  return code;
}
