/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl preview JOB: the newest picture of a running job, as PNG.
 */
#include "config.h"
#include "soractl-bus.h"
#include "soractl-console.h"
#include "soractl-fd.h"
#include "soractl-file.h"
#include "sora-error.h"
#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <png.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* libpng's simplified interface: no longjmp reaches us. */
static gboolean
write_png (const char *path, int fd, guint width, guint height, gboolean overwrite, GError **error)
{
  gsize size = (gsize)width * height * 3;
  struct stat st;
  if (width == 0 || height == 0 || width > 65536 || height > 65536 || fstat (fd, &st) != 0
      || (guint64)st.st_size < size)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
                   "the service sent a preview of %u x %u that its memory does not hold", width,
                   height);
      return FALSE;
    }
  void *pixels = mmap (NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (pixels == MAP_FAILED)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "cannot map the preview: %s",
                   g_strerror (errno));
      return FALSE;
    }
  png_image image = {
    .version = PNG_IMAGE_VERSION, .width = width, .height = height, .format = PNG_FORMAT_RGB
  };
  g_auto (SoractlFile) file = { .fd = -1 };
  gboolean ok = soractl_file_open (&file, path, error);
  FILE *stream = ok ? fdopen (fcntl (file.fd, F_DUPFD_CLOEXEC, 0), "wb") : NULL;
  if (ok
      && (stream == NULL || !png_image_write_to_stdio (&image, stream, 0, pixels, 0, NULL)
          || fflush (stream) != 0))
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "cannot write '%s': %s", path,
                   stream != NULL && image.message[0] != '\0' ? image.message : g_strerror (errno));
      ok = FALSE;
    }
  if (stream != NULL)
    fclose (stream);
  munmap (pixels, size);
  return ok && soractl_file_publish (&file, overwrite, error);
}

int
soractl_verb_preview (SoractlGlobal *global, int argc, char **argv)
{
  g_autofree char *output = NULL;
  gboolean overwrite = FALSE;
  const GOptionEntry entries[] = {
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &output, "Write there (JOB-preview.png)",
      "FILE.png" },
    { "overwrite", 'f', 0, G_OPTION_ARG_NONE, &overwrite, "Replace a file that exists", NULL },
    G_OPTION_ENTRY_NULL,
  };
  int code = soractl_parse_options (global, entries, FALSE, &argc, &argv);
  if (code != SORACTL_OK)
    return code;
  g_autoptr (GDBusConnection) connection = NULL;
  g_autoptr (SoraBusJob) job = NULL;
  if ((code = soractl_bus_open_job (global, argc, argv, &connection, &job)) != SORACTL_OK)
    return code;
  g_autoptr (GError) error = NULL;
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GVariant) handle = NULL;
  guint width = 0, height = 0;
  if (!sora_bus_job_call_open_preview_sync (job, NULL, &handle, &width, &height, &fds, NULL,
                                            &error))
    return soractl_report (error);
  soractl_autofd fd = g_unix_fd_list_get (fds, g_variant_get_handle (handle), &error);
  g_autofree char *id = sora_bus_object_id (g_dbus_proxy_get_object_path (G_DBUS_PROXY (job)));
  g_autofree char *path
      = output != NULL ? g_strdup (output) : g_strdup_printf ("%s-preview.png", id);
  if (fd < 0 || !write_png (path, fd, width, height, overwrite, &error))
    return soractl_report (error);
  printf ("%s\n", path);
  return SORACTL_OK;
}
