/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A file descriptor that closes itself, as g_autofd of newer GLib.
 */
#pragma once
#include <unistd.h>

static inline void
soractl_close_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
}
#define soractl_autofd __attribute__ ((cleanup (soractl_close_fd))) int
