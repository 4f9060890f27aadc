/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Whether somebody may do what is not everybody's: root and the daemon's own user always; anybody
 * else if polkit says so, and where there is no polkit, the members of one group that sorad.conf
 * names.  A daemon of one user asks nobody.
 */
#pragma once
#include <gio/gio.h>

#include "sorad-config.h"

G_BEGIN_DECLS

/* Add, replace and remove models of the service. */
#define SORAD_ACTION_MANAGE_MODELS "org.sorad.Sora1.manage-models"

typedef struct SoradAuthority SoradAuthority;

/* @error: NULL: allowed; SORA_ERROR_DENIED; or SORA_ERROR_FAILED: the daemon ends, and nothing of
 * it may be touched.  In the main loop, once. */
typedef void (*SoradAuthorized) (guint32 uid, const GError *error, gpointer data);

/* @config must outlive it. */
SoradAuthority *sorad_authority_new (GDBusConnection *connection, const SoradConfig *config);
/* Whoever waits is answered first. */
void sorad_authority_free (SoradAuthority *authority);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoradAuthority, sorad_authority_free)

/**
 * sorad_authority_ask:
 * @invocation: the call, for its sender, and for whether that wants to be asked for a password; it
 * stays the caller's, and nothing in it can change meanwhile
 * @uid: the sender's, as the bus told it
 * @action: of polkit, SORAD_ACTION_MANAGE_MODELS
 *
 * polkit is asked about the sender's name on the bus, which nobody else can get, and not about a
 * process or a user.  Its "no" and all its faults are a no; that it is not there is none.
 */
void sorad_authority_ask (SoradAuthority *authority, GDBusMethodInvocation *invocation, guint32 uid,
                          const char *action, SoradAuthorized authorized, gpointer data);

G_END_DECLS
