/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * For plugins that write to their process's stream themselves, past the host that would have
 * refused what they send: frames as in core/sora-peer.c.
 */
#ifndef BAD_RAW_H
#define BAD_RAW_H

#include "config.h"

#include <fcntl.h>
#include <glib.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "bad.h"

#define RAW_STREAM 3
#define RAW_MAGIC 0x50524f53u
#define RAW_PUSH 37u

typedef struct
{
  uint32_t magic, type, length, fds;
} RawHeader;

/* A tensor that says it is of @rows x @columns and @dtype, in a memory file of @bytes. */
static inline void
raw_push (int dtype, int64_t rows, int64_t columns, size_t bytes, int seals)
{
  const gint64 shape[] = { rows, columns };
  g_autoptr (GVariant) payload = g_variant_ref_sink (
      g_variant_new ("(si@ax)", "out", (gint32)dtype,
                     g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, shape, 2, sizeof (gint64))));
  RawHeader header = { RAW_MAGIC, RAW_PUSH, (uint32_t)g_variant_get_size (payload), 1 };
  union
  {
    char space[CMSG_SPACE (sizeof (int))];
    struct cmsghdr align;
  } control = { 0 };
  struct iovec piece = { &header, sizeof header };
  struct msghdr message = { .msg_iov = &piece,
                            .msg_iovlen = 1,
                            .msg_control = control.space,
                            .msg_controllen = sizeof control.space };
  struct cmsghdr *rights = CMSG_FIRSTHDR (&message);
  int fd = memfd_create ("raw", MFD_ALLOW_SEALING);
  if (ftruncate (fd, (off_t)bytes) != 0 || (seals && fcntl (fd, F_ADD_SEALS, seals) != 0))
    return;
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN (sizeof fd);
  memcpy (CMSG_DATA (rights), &fd, sizeof fd);
  if (sendmsg (RAW_STREAM, &message, MSG_NOSIGNAL) > 0)
    (void)!write (RAW_STREAM, g_variant_get_data (payload), g_variant_get_size (payload));
}

#define RAW_ALL_SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

#endif
