/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fetches the files of a finished job: each appears whole, under its name, or not at all.
 */
#include "config.h"
#include "soractl-bus.h"
#include "soractl-fd.h"
#include "sora-error.h"
#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static gboolean
copy_fd (int from, int to, const char *path, GError **error)
{
  char buffer[65536];
  ssize_t n;
  while ((n = read (from, buffer, sizeof buffer)) != 0)
    {
      if (n < 0 && errno == EINTR)
        continue;
      for (ssize_t done = 0, w; n > 0 && done < n; done += w)
        {
          w = write (to, buffer + done, (size_t)(n - done));
          if (w < 0 && errno == EINTR)
            w = 0;
          if (w < 0)
            {
              n = -1;
              break;
            }
        }
      if (n < 0)
        {
          g_set_error (error, SORA_ERROR,
                       errno == ENOSPC || errno == EDQUOT ? SORA_ERROR_NO_SPACE : SORA_ERROR_FAILED,
                       "cannot write '%s': %s", path, g_strerror (errno));
          return FALSE;
        }
    }
  return TRUE;
}

static gboolean
save (int from, const char *path, gboolean overwrite, GError **error)
{
  g_autofree char *temporary = g_strdup_printf ("%s.XXXXXX", path);
  soractl_autofd to = g_mkstemp_full (temporary, O_WRONLY | O_CLOEXEC, 0666);
  if (to < 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "cannot write '%s': %s", path,
                   g_strerror (errno));
      return FALSE;
    }
  gboolean ok = copy_fd (from, to, path, error);
  if (ok && fsync (to) != 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "cannot write '%s': %s", path,
                   g_strerror (errno));
      ok = FALSE;
    }
  /* link fails where a file exists, rename replaces it. */
  if (ok && (overwrite ? rename (temporary, path) : link (temporary, path)) != 0)
    {
      int reason = errno;
      g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "cannot create '%s': %s%s", path,
                   g_strerror (reason), reason == EEXIST ? "; --overwrite replaces it" : "");
      ok = FALSE;
    }
  if (!ok || !overwrite)
    g_unlink (temporary);
  return ok;
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
