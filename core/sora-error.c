/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The error domain, and the one place where an errno becomes one of its codes.
 */
#include "config.h"
#include <errno.h>
#include "sora-error.h"

G_DEFINE_QUARK (sora - error - quark, sora_error)

static SoraError
code_from_errno (int errnum, SoraError otherwise)
{
  switch (errnum)
    {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: /* a limit on the size of files */
      return SORA_ERROR_NO_SPACE;
    case ENOMEM:
      return SORA_ERROR_NO_MEMORY;
    case ENOENT:
      return SORA_ERROR_NOT_FOUND;
    case EACCES:
    case EPERM:
      return SORA_ERROR_DENIED;
    default:
      return otherwise;
    }
}

void
sora_error_set_errno (GError **error, SoraError otherwise, int errnum, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, SORA_ERROR, code_from_errno (errnum, otherwise), "%s: %s", what,
               g_strerror (errnum));
}
