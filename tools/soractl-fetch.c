/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fetches the files of a finished job: each appears whole, under its name, or not at all.
 */
#include "config.h"
#include "soractl-bus.h"
#include "soractl-fd.h"
#include "soractl-file.h"
#include "sora-error.h"
#include <gio/gunixfdlist.h>
#include <string.h>

static gboolean
save (int from, const char *path, gboolean overwrite, GError **error)
{
  g_auto (SoractlFile) file = { .fd = -1 };
  return soractl_file_open (&file, path, error) && soractl_file_copy (&file, from, error)
         && soractl_file_publish (&file, overwrite, error);
}

gboolean
soractl_bus_fetch (SoraBusJob *job, const char *folder, const char *only, const char *as,
                   gboolean overwrite, GPtrArray *paths, GVariant **details, GError **error)
{
  g_autoptr (GVariant) files = NULL, more = NULL;
  if (!sora_bus_job_call_get_result_sync (job, &files, &more, NULL, error))
    return FALSE;
  gboolean found = FALSE;
  for (gsize i = 0; i < g_variant_n_children (files); i++)
    {
      g_autoptr (GVariant) file = g_variant_get_child_value (files, i);
      const char *name = NULL;
      if (!g_variant_lookup (file, "name", "&s", &name)
          || (only != NULL && !g_str_equal (only, name)))
        continue;
      /* The name becomes a path here: a service that sends ".." must not choose where we write. */
      if (*name == '\0' || *name == '.' || strchr (name, '/') != NULL)
        {
          g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
                       "the service sent the file name '%s', which is no plain name", name);
          return FALSE;
        }
      found = TRUE;
      g_autoptr (GUnixFDList) fds = NULL;
      g_autoptr (GVariant) handle = NULL;
      GVariantBuilder options;
      g_variant_builder_init (&options, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&options, "{sv}", "name", g_variant_new_string (name));
      if (!sora_bus_job_call_open_result_sync (job, g_variant_builder_end (&options), NULL, &handle,
                                               &fds, NULL, error))
        return FALSE;
      soractl_autofd fd = g_unix_fd_list_get (fds, g_variant_get_handle (handle), error);
      g_autofree char *path = g_build_filename (folder, as != NULL ? as : name, NULL);
      if (fd < 0 || !save (fd, path, overwrite, error))
        return FALSE;
      g_ptr_array_add (paths,
                       g_str_has_prefix (path, "./") ? g_strdup (path + 2) : g_strdup (path));
    }
  if (only != NULL && !found)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_NOT_FOUND, "the job made no file '%s'", only);
      return FALSE;
    }
  if (details != NULL)
    *details = g_steal_pointer (&more);
  return TRUE;
}
