/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The one error domain of libsora-core.  The D-Bus names in dbus/ are asserted against this list.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

#define SORA_ERROR (sora_error_quark ())

/**
 * sora_error_quark:
 *
 * Returns: the domain of every GError that this library sets
 */
GQuark sora_error_quark (void);

/**
 * SoraError:
 * @SORA_ERROR_FAILED: a stage failed for a reason of its own, given in the message
 * @SORA_ERROR_INVALID_REQUEST: an unknown parameter or option, a value of another type or out of range
 * @SORA_ERROR_INVALID_PIPELINE: a pipeline file that cannot be read, or whose graph does not hold together
 * @SORA_ERROR_INVALID_MODEL: a model folder, configuration or weights file that is broken or unsupported
 * @SORA_ERROR_INVALID_PLUGIN: a plugin that cannot be loaded, or that broke a rule of the ABI
 * @SORA_ERROR_NOT_FOUND: no pipeline, plugin, model, job or result of that name (or none of yours)
 * @SORA_ERROR_NO_MEMORY: does not fit into the memory that the job may use
 * @SORA_ERROR_NO_SPACE: no room on the disk
 * @SORA_ERROR_CANCELLED: the job was stopped
 * @SORA_ERROR_BUSY: a limit (queue, per-user jobs) is reached; try again later
 * @SORA_ERROR_NOT_READY: the job has no result or preview yet
 * @SORA_ERROR_DENIED: not permitted
 * @SORA_ERROR_WORKER_DIED: the worker process crashed, hung or was killed
 * @SORA_ERROR_PROTOCOL: a peer sent what the protocol does not allow
 */
typedef enum {
  SORA_ERROR_FAILED,
  SORA_ERROR_INVALID_REQUEST,
  SORA_ERROR_INVALID_PIPELINE,
  SORA_ERROR_INVALID_MODEL,
  SORA_ERROR_INVALID_PLUGIN,
  SORA_ERROR_NOT_FOUND,
  SORA_ERROR_NO_MEMORY,
  SORA_ERROR_NO_SPACE,
  SORA_ERROR_CANCELLED,
  SORA_ERROR_BUSY,
  SORA_ERROR_NOT_READY,
  SORA_ERROR_DENIED,
  SORA_ERROR_WORKER_DIED,
  SORA_ERROR_PROTOCOL,
} SoraError;
#define SORA_N_ERRORS (SORA_ERROR_PROTOCOL + 1)

/**
 * sora_error_set:
 * @error: (out) (optional): where to put it
 * @code: the code
 * @format: what, which object, which value, what was expected; what is not UTF-8 in it is replaced, so that the message
 *   can go over the bus
 */
void sora_error_set (GError **error, SoraError code, const char *format, ...) G_GNUC_PRINTF (3, 4);

/**
 * sora_error_prefix:
 * @error: (inout) (optional): an error, or none, and then nothing is done
 * @format: what to put before its message, made valid like sora_error_set()
 */
void sora_error_prefix (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

/**
 * sora_error_is_full:
 * @errnum: an errno
 *
 * The one place that knows what all is %SORA_ERROR_NO_SPACE.
 *
 * Returns: whether it says that there is no room: on the disk (ENOSPC), in a quota (EDQUOT), below a limit on the size
 *   of files (EFBIG)
 */
gboolean sora_error_is_full (int errnum);

/**
 * sora_error_set_errno:
 * @error: (out) (optional): where to put it
 * @otherwise: the code for an errno that has none of its own
 * @errnum: an errno: ENOSPC, EDQUOT and EFBIG become NO_SPACE, ENOMEM NO_MEMORY, ENOENT NOT_FOUND, EACCES and EPERM DENIED
 * @format: what was tried on which object: "cannot open '%s'"; ": " and the errno's text are appended
 */
void sora_error_set_errno (GError **error, SoraError otherwise, int errnum, const char *format, ...)
    G_GNUC_PRINTF (4, 5);

G_END_DECLS
