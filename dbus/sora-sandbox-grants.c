/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a sandboxed process is shown: folders, and what the links and model.conf files in them lead
 * to.  Worked out outside, where all of it can be seen.
 */
#include "config.h"
#include "sora-sandbox.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void
grant_free (gpointer data)
{
  SoraGrant *grant = data;
  g_free (grant->source);
  g_free (grant->target);
  g_free (grant);
}

SoraSandbox *
sora_sandbox_new (SoraSandboxLevel least, SoraSandboxLevel most)
{
  SoraSandbox *sandbox = g_new0 (SoraSandbox, 1);
  sandbox->setting = "Sandbox";
  sandbox->least = least;
  sandbox->most = most;
  sandbox->grants = g_ptr_array_new_with_free_func (grant_free);
  sandbox->spawn_fd = sandbox->control_fd = -1;
  sandbox->tmp_bytes = G_GUINT64_CONSTANT (1) << 30;
  return sandbox;
}

void
sora_sandbox_free (SoraSandbox *sandbox)
{
  if (!sandbox)
    return;
  g_ptr_array_unref (sandbox->grants);
  g_free (sandbox->tmp_dir);
  g_strfreev (sandbox->stage_argv);
  g_free (sandbox);
}

static const char *const level_names[] = { "basic", "filtered", "full" };

const char *
sora_sandbox_level_name (SoraSandboxLevel level)
{
  return level_names[level];
}

gboolean
sora_sandbox_level_from_name (const char *name, SoraSandboxLevel *level)
{
  for (gsize i = 0; i < G_N_ELEMENTS (level_names); i++)
    if (g_str_equal (name, level_names[i]))
      {
        *level = (SoraSandboxLevel)i;
        return TRUE;
      }
  return FALSE;
}

static void
add (SoraSandbox *sandbox, const char *source, const char *target, gboolean write)
{
  for (guint i = 0; i < sandbox->grants->len; i++)
    {
      SoraGrant *known = g_ptr_array_index (sandbox->grants, i);
      if (g_str_equal (known->target, target))
        {
          known->write |= write;
          return;
        }
    }
  SoraGrant *grant = g_new0 (SoraGrant, 1);
  grant->source = g_strdup (source);
  grant->target = g_strdup (target);
  grant->write = write;
  g_ptr_array_add (sandbox->grants, grant);
}

void
sora_sandbox_grant (SoraSandbox *sandbox, const char *path, gboolean write)
{
  g_autofree char *absolute
      = g_path_is_absolute (path) ? g_strdup (path) : g_canonicalize_filename (path, NULL);
  char *real = realpath (absolute, NULL);
  if (real && !g_str_equal (real, "/"))
    {
      add (sandbox, real, absolute, write);
      add (sandbox, real, real, write);
    }
  free (real);
}

static gboolean
is_below (const char *path, const char *folder)
{
  gsize length = strlen (folder);
  return strncmp (path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* What @link leads to, under the name that the link has for it: that is how it will be asked for.
 */
static void
grant_link (SoraSandbox *sandbox, const char *folder, const char *link)
{
  g_autofree char *text = g_file_read_link (link, NULL);
  char *real = realpath (link, NULL);
  if (text && real && !is_below (real, folder) && !g_str_equal (real, "/"))
    {
      if (g_path_is_absolute (text))
        add (sandbox, real, text, FALSE);
      else
        {
          g_autofree char *parent = g_path_get_dirname (link);
          g_autofree char *target = g_build_filename (parent, text, NULL);
          add (sandbox, real, target, FALSE);
        }
      add (sandbox, real, real, FALSE);
    }
  free (real);
}

/* The files that a model.conf names: each alone, since what lies beside them is nobody's business.
 */
static void
grant_parts (SoraSandbox *sandbox, const char *folder)
{
  g_autofree char *path = g_build_filename (folder, "model.conf", NULL);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  struct stat st;
  if (stat (path, &st) != 0 || !S_ISREG (st.st_mode) || st.st_size > 1 << 20
      || !g_key_file_load_from_file (file, path, G_KEY_FILE_NONE, NULL))
    return;
  g_auto (GStrv) groups = g_key_file_get_groups (file, NULL);
  for (char **group = groups; *group; group++)
    {
      g_autofree char *name = g_key_file_get_string (file, *group, "File", NULL);
      if (!name)
        continue;
      g_autofree char *full
          = g_path_is_absolute (name) ? g_strdup (name) : g_build_filename (folder, name, NULL);
      char *real = realpath (full, NULL);
      if (real && stat (real, &st) == 0 && S_ISREG (st.st_mode))
        {
          add (sandbox, real, full, FALSE);
          add (sandbox, real, real, FALSE);
        }
      free (real);
    }
}

void
sora_sandbox_grant_folder (SoraSandbox *sandbox, const char *path)
{
  sora_sandbox_grant (sandbox, path, FALSE);
  char *real = realpath (path, NULL);
  g_autoptr (GDir) dir = real ? g_dir_open (real, 0, NULL) : NULL;
  const char *name;
  if (real)
    grant_parts (sandbox, real);
  while (dir && (name = g_dir_read_name (dir)))
    {
      g_autofree char *child = g_build_filename (real, name, NULL);
      if (g_file_test (child, G_FILE_TEST_IS_SYMLINK))
        grant_link (sandbox, real, child);
      char *folder = realpath (child, NULL);
      if (folder && g_file_test (folder, G_FILE_TEST_IS_DIR))
        grant_parts (sandbox, folder);
      free (folder);
    }
  free (real);
}

gboolean
sora_sandbox_covers (const SoraSandbox *sandbox, const char *path)
{
  char *real = realpath (path, NULL);
  gboolean covered = FALSE;
  for (guint i = 0; real && !covered && i < sandbox->grants->len; i++)
    covered = is_below (real, ((SoraGrant *)g_ptr_array_index (sandbox->grants, i))->source);
  free (real);
  return covered;
}

static int
compare_grants (gconstpointer a, gconstpointer b)
{
  const SoraGrant *one = *(const SoraGrant *const *)a, *other = *(const SoraGrant *const *)b;
  return strcmp (one->target, other->target);
}

char *
sora_sandbox_fingerprint (char **folders)
{
  g_autoptr (SoraSandbox) sandbox = sora_sandbox_new (SORA_SANDBOX_BASIC, SORA_SANDBOX_BASIC);
  for (; folders && *folders; folders++)
    sora_sandbox_grant_folder (sandbox, *folders);
  g_ptr_array_sort (sandbox->grants, compare_grants);
  GString *text = g_string_new (NULL);
  for (guint i = 0; i < sandbox->grants->len; i++)
    {
      const SoraGrant *grant = g_ptr_array_index (sandbox->grants, i);
      g_string_append_printf (text, "%s\n%s\n", grant->source, grant->target);
    }
  g_autofree char *all = g_string_free (text, FALSE);
  return g_compute_checksum_for_string (G_CHECKSUM_SHA256, all, -1);
}
