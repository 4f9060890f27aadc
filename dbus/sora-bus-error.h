/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Names of the errors on the bus: one table between SORA_ERROR and org.sorad.Sora1.Error.*, for
 * daemon and clients.
 */
#pragma once
#include <gio/gio.h>
#include "core/sora-error.h"

G_BEGIN_DECLS

#define SORA_BUS_NAME "org.sorad.Sora1"
#define SORA_BUS_PATH "/org/sorad/Sora1"
#define SORA_BUS_JOBS_PATH SORA_BUS_PATH "/jobs"
#define SORA_BUS_PLUGINS_PATH SORA_BUS_PATH "/plugins"
#define SORA_BUS_PIPELINES_PATH SORA_BUS_PATH "/pipelines"
#define SORA_BUS_MODELS_PATH SORA_BUS_PATH "/models"

/**
 * sora_bus_error_register:
 *
 * Makes GDBus translate SORA_ERROR to its names and back; idempotent.  A client then gets a GError
 * of SORA_ERROR from a failed call, after g_dbus_error_strip_remote_error().
 */
void sora_bus_error_register (void);

/**
 * sora_bus_error_name:
 * @code: a #SoraError
 *
 * Returns: "org.sorad.Sora1.Error.NotFound"; that of SORA_ERROR_FAILED for a code out of range
 */
const char *sora_bus_error_name (int code);

/**
 * sora_bus_error_code:
 * @name: an error's name
 * @code: (out): its code
 *
 * Returns: FALSE if @name is none of ours
 */
gboolean sora_bus_error_code (const char *name, int *code);

/**
 * sora_bus_error_from_message:
 * @payload: (ssa{sv}) of an ERROR of the byte protocol
 *
 * Returns: (transfer full): it as an error of SORA_ERROR; a name that is none of ours is
 * SORA_ERROR_FAILED
 */
GError *sora_bus_error_from_message (GVariant *payload);

/**
 * sora_bus_object_id:
 * @object_path: the path of a job, plugin, pipeline or model
 *
 * Returns: (transfer full) (nullable): its id, unescaped
 */
char *sora_bus_object_id (const char *object_path);

G_END_DECLS
