/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tensors between processes: memory files that nobody can change any more, nor cut under their
 * reader.
 */
#include "config.h"
#include "sora-peer.h"
#include "sora-error.h"
#include "sora-tensor-private.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define MAX_RANK 32

int
sora_peer_share (SoraTensor *tensor, GError **error)
{
  SoraTensorView view = { .struct_size = sizeof view };
  sora_tensor_get_view (tensor, &view);
  int fd = memfd_create ("sora-tensor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  guint64 done = 0;
  while (fd >= 0 && done < view.nbytes)
    {
      ssize_t n = write (fd, (const char *)view.data + done, view.nbytes - done);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        break;
      done += (guint64)n;
    }
  if (fd >= 0 && done == view.nbytes && fcntl (fd, F_ADD_SEALS, SEALS) == 0)
    return fd;
  sora_error_set (error, SORA_ERROR_NO_MEMORY, "a tensor cannot be shared: %s", g_strerror (errno));
  if (fd >= 0)
    close (fd);
  return -1;
}

/* The first value that is no number, or -1. */
static gint64
find_no_number (int dtype, const void *data, guint64 bytes)
{
  if (dtype == SORA_F32)
    for (guint64 i = 0; i < bytes / 4; i++)
      if (!isfinite (((const float *)data)[i]))
        return (gint64)i;
  if (dtype == SORA_F64)
    for (guint64 i = 0; i < bytes / 8; i++)
      if (!isfinite (((const double *)data)[i]))
        return (gint64)i;
  guint16 exponent = dtype == SORA_F16 ? 0x7c00 : 0x7f80;
  if (dtype == SORA_F16 || dtype == SORA_BF16)
    for (guint64 i = 0; i < bytes / 2; i++)
      if ((((const guint16 *)data)[i] & exponent) == exponent)
        return (gint64)i;
  return -1;
}

static gboolean
check_file (int fd, guint64 bytes, GError **error)
{
  struct stat st;
  int seals = fd >= 0 ? fcntl (fd, F_GET_SEALS) : -1;
  if (fd < 0)
    sora_error_set (error, SORA_ERROR_PROTOCOL, "it sent a tensor without its memory");
  else if (seals < 0 || (seals & SEALS) != SEALS)
    sora_error_set (
        error, SORA_ERROR_PROTOCOL,
        "it sent a tensor whose memory is not sealed: it could change under its reader");
  else if (fstat (fd, &st) != 0 || (guint64)st.st_size != bytes)
    sora_error_set (error, SORA_ERROR_PROTOCOL,
                    "it sent a tensor of %" G_GINT64_FORMAT
                    " bytes, expected the %" G_GUINT64_FORMAT " of its shape",
                    (gint64)st.st_size, bytes);
  else
    return TRUE;
  return FALSE;
}

SoraTensor *
sora_peer_map (int fd, int dtype, GVariant *shape, guint64 most, GError **error)
{
  gsize rank;
  const gint64 *extents = g_variant_get_fixed_array (shape, &rank, sizeof (gint64));
  uint64_t bytes;
  if (rank > MAX_RANK || !sora_shape_bytes ((SoraDtype)dtype, (int)rank, extents, &bytes)
      || bytes > most)
    {
      g_autofree char *text = rank <= MAX_RANK ? sora_shape_to_string ((int)rank, extents) : NULL;
      sora_error_set (error, SORA_ERROR_PROTOCOL,
                      "it sent a tensor of shape %s and dtype %d, which is none, or too large",
                      text != NULL ? text : "?", dtype);
      return NULL;
    }
  if (!check_file (fd, bytes, error))
    return NULL;
  if (bytes == 0)
    return sora_tensor_new ((SoraDtype)dtype, (int)rank, extents, error);
  void *data = mmap (NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED)
    {
      sora_error_set (error, SORA_ERROR_NO_MEMORY, "a tensor cannot be mapped: %s",
                      g_strerror (errno));
      return NULL;
    }
  gint64 place = find_no_number (dtype, data, bytes);
  if (place >= 0)
    {
      sora_error_set (error, SORA_ERROR_FAILED,
                      "it gave a value that is no finite number (the %" G_GINT64_FORMAT
                      ". of a tensor)",
                      place + 1);
      munmap (data, bytes);
      return NULL;
    }
  return sora_tensor_new_mapped ((SoraDtype)dtype, (int)rank, extents, data, bytes);
}
