/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Sealed memfds of previews.
 */
#include "config.h"
#include "sorad-memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/sora-error.h"

#define MAX_EXTENT 16384
#define MAX_BYTES (64u * 1024 * 1024)

struct SoradMemfd
{
  int fd;
  guint width, height;
};

SoradMemfd *
sorad_memfd_new (guint width, guint height, guint64 size, GError **error)
{
  if (width < 1 || height < 1 || width > MAX_EXTENT || height > MAX_EXTENT
      || size != (guint64)width * height * 3 || size > MAX_BYTES)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
                   "protocol: a preview of %ux%u has %" G_GUINT64_FORMAT
                   " bytes, expected width * height * 3, at most %u",
                   width, height, size, MAX_BYTES);
      return NULL;
    }
  int fd = memfd_create ("sorad-preview", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_NO_MEMORY, "preview: no memory file: %s",
                   g_strerror (errno));
      return NULL;
    }
  SoradMemfd *memfd = g_new0 (SoradMemfd, 1);
  memfd->fd = fd;
  memfd->width = width;
  memfd->height = height;
  return memfd;
}

void
sorad_memfd_free (SoradMemfd *memfd)
{
  if (!memfd)
    return;
  if (memfd->fd >= 0)
    close (memfd->fd);
  g_free (memfd);
}

gboolean
sorad_memfd_write (SoradMemfd *memfd, gconstpointer data, gsize size, GError **error)
{
  const guint8 *bytes = data;
  while (size > 0)
    {
      ssize_t n = write (memfd->fd, bytes, size);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          g_set_error (error, SORA_ERROR, SORA_ERROR_NO_MEMORY, "preview: cannot be written: %s",
                       g_strerror (errno));
          return FALSE;
        }
      bytes += n;
      size -= (gsize)n;
    }
  return TRUE;
}

int
sorad_memfd_seal (SoradMemfd *memfd, guint *width, guint *height, GError **error)
{
  if (fcntl (memfd->fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "preview: cannot be sealed: %s",
                   g_strerror (errno));
      return -1;
    }
  lseek (memfd->fd, 0, SEEK_SET);
  *width = memfd->width;
  *height = memfd->height;
  int fd = memfd->fd;
  memfd->fd = -1;
  return fd;
}
