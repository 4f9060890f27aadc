/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A plugin's descriptor as plain data, so that a process that must not load the plugin can know it.
 */
#pragma once
#include "sora-registry.h"

G_BEGIN_DECLS

/* Floating; only of a descriptor that was checked. */
GVariant *sora_plugin_to_variant (const SoraPlugin *plugin);
/* A descriptor that lives until it is dropped, of stages that call @run and @infer; checked as any other.
 * @description may say anything. */
const SoraPlugin *sora_plugin_from_variant (GVariant *description, const char *where,
                                            int (*infer) (const SoraHost *, SoraContext *),
                                            int (*run) (const SoraHost *, SoraContext *, void *),
                                            GError **error);
/* Of sora_plugin_from_variant(), before anything was made of it. */
void sora_plugin_drop_described (const SoraPlugin *plugin);

G_END_DECLS
