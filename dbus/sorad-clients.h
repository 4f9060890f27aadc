/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Clients: who a sender is (asked of the bus, never of a message), when it goes away, and how much
 * of the daemon it may hold at a time.
 */
#pragma once
#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct SoradClients SoradClients;

/* Called in the main loop when a connection that was looked up is gone. */
typedef void (*SoradClientVanished) (const char *name, guint32 uid, gpointer data);

SoradClients *sorad_clients_new (GDBusConnection *connection, guint max_calls, guint64 max_bytes,
                                 SoradClientVanished vanished, gpointer data);
void sorad_clients_free (SoradClients *clients);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoradClients, sorad_clients_free)

/* @error is set if the bus does not know the sender any more; then there is nobody to answer
 * either.  Or it is SORA_ERROR_FAILED, at the end of the daemon. */
typedef void (*SoradClientFound) (guint32 uid, const GError *error, gpointer data);

/* Asks the bus for the uid of @sender, or remembers it; @found is called in order of the calls,
 * from the main loop. */
void sorad_clients_find (SoradClients *clients, const char *sender, SoradClientFound found,
                         gpointer data);

/* Is that connection, found before, still there? */
gboolean sorad_clients_has (SoradClients *clients, const char *sender);

G_END_DECLS
