/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The error domain, and the one place where an errno becomes one of its codes, and where
 * messages become UTF-8.
 */
#include "config.h"
#include <errno.h>
#include "sora-error.h"

G_DEFINE_QUARK (sora - error - quark, sora_error)

gboolean
sora_error_is_full (int errnum)
{
  return errnum == ENOSPC || errnum == EDQUOT || errnum == EFBIG;
}

static SoraError
code_from_errno (int errnum, SoraError otherwise)
{
  if (sora_error_is_full (errnum))
    return SORA_ERROR_NO_SPACE;
  switch (errnum)
    {
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

/* What is not UTF-8 (a file's name, a word of a broken file, half a character where a long one was
 * cut) must not reach a GError: its message goes over D-Bus, which allows nothing else. */
static char *
valid_vprintf (const char *format, va_list args)
{
  g_autofree char *text = g_strdup_vprintf (format, args);
  return g_utf8_make_valid (text, -1);
}

void
sora_error_set (GError **error, SoraError code, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = valid_vprintf (format, args);
  va_end (args);
  g_set_error_literal (error, SORA_ERROR, (int)code, text);
}

void
sora_error_prefix (GError **error, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = valid_vprintf (format, args);
  va_end (args);
  if (error != NULL && *error != NULL)
    g_prefix_error (error, "%s", text);
}

void
sora_error_set_errno (GError **error, SoraError otherwise, int errnum, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *what = valid_vprintf (format, args);
  va_end (args);
  sora_error_set (error, code_from_errno (errnum, otherwise), "%s: %s", what, g_strerror (errnum));
}
