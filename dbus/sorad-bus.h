/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * sorad on the bus: how calls come in, and the parts that answer them.  Every call passes the
 * permission table, and every call that is not public waits until the bus has told who the sender
 * is.
 */
#pragma once
#include <gio/gio.h>

#include "sorad-authority.h"
#include "sorad-catalogue.h"
#include "sorad-clients.h"
#include "sorad-scheduler.h"

G_BEGIN_DECLS

typedef struct SoradBus SoradBus;
struct SoradAdding;
struct SoradBus
{
  const SoradConfig *config;
  GDBusConnection *connection;
  SoradStore *store;
  SoradCatalogue *catalogue;
  SoradClients *clients;
  SoradAuthority *authority;
  SoradScheduler *scheduler;
  guint manager_id, jobs_id;
  guint told_length, told_running; /* what was broadcast of the queue */
  guint notify_source;
  guint in_threads; /* calls whose files are copied or opened at the moment */
  gboolean ending;
  struct SoradAdding *adding; /* the model that is copied at the moment; NULL: none */
  GHashTable *asking; /* uid -> how many submissions and checks are on their way; none is 0 */
  guint late;         /* of those, whose files do not come, and which were answered */
  gint64 last_use;    /* monotonic, for the idle exit */
};

SoradBus *sorad_bus_new (GDBusConnection *connection, const SoradConfig *config, SoradStore *store,
                         SoradCatalogue *catalogue);
void sorad_bus_free (SoradBus *bus);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoradBus, sorad_bus_free)
gboolean sorad_bus_register (SoradBus *bus, GError **error);

/* -- Methods, by the objects' files.  They own @invocation and answer it, sooner or later. */
void sorad_manager_call (SoradBus *bus, guint32 uid, GDBusMethodInvocation *invocation);
/* Submissions with files and checks that are on their way, without those that were answered as
 * late.
 */
guint sorad_manager_asking (SoradBus *bus);
GVariant *sorad_manager_get_property (SoradBus *bus, const char *name);
/* @job belongs to the caller. */
void sorad_job_call (SoradBus *bus, SoradJob *job, GDBusMethodInvocation *invocation);

/* -- What becomes of jobs */
void sorad_bus_job_changed (gpointer bus, SoradJob *job, guint changes);
void sorad_bus_job_over (gpointer bus, SoradJob *job);
void sorad_bus_job_paused (gpointer bus, SoradJob *job, const GError *error);
void sorad_bus_queue_changed (gpointer bus);
void sorad_bus_client_vanished (const char *name, guint32 uid, gpointer bus);

G_END_DECLS
