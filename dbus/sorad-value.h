/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Values of a worker that go out on the bus.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

/* Can D-Bus carry it?  GVariant knows more types than D-Bus does, and nests deeper; object paths,
 * signatures and descriptors a worker has no use for. */
gboolean sorad_is_bus_value (GVariant *value);

/* @told: a{sv} of a RESULT, which may hold anything.  Returns: (transfer full): those of the
 * documented keys that have their documented types. */
GVariant *sorad_result_details (GVariant *told);

G_END_DECLS
