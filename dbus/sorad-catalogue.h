/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The catalogue: plugins, pipelines and models as objects under ObjectManager, the same for every
 * caller.
 *
 * Manifests, pipeline files and model folders are read here; what takes a plugin's code to know is
 * asked of a worker.
 */
#pragma once
#include <gio/gio.h>

#include "core/sora-pipeline.h"
#include "sorad-config.h"
#include "sorad-store.h"

G_BEGIN_DECLS

typedef struct SoradCatalogue SoradCatalogue;

/* Reads the folders; may take a while, before anything is served. */
SoradCatalogue *sorad_catalogue_new (const SoradConfig *config, SoradStore *store);
/* At the end of the daemon, before whoever waits is answered: nothing new is begun. */
void sorad_catalogue_stop (SoradCatalogue *catalogue);
void sorad_catalogue_free (SoradCatalogue *catalogue);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoradCatalogue, sorad_catalogue_free)

/* Has everything described, then exports it on @connection and calls @ready, once. */
void sorad_catalogue_start (SoradCatalogue *catalogue, GDBusConnection *connection,
                            void (*ready) (gpointer data), gpointer data);

SoraPipeline *sorad_catalogue_find_pipeline (SoradCatalogue *catalogue,
                                             const char *id); /* not yours; NULL */
gboolean sorad_catalogue_has_plugin (SoradCatalogue *catalogue,
                                     const char *name); /* "ID" or "ID/CLASS" */
/* Looks into the folders again for one that it does not know, at most once a second. */
gboolean sorad_catalogue_has_model (SoradCatalogue *catalogue, const char *id);
/* Where it lies; not yours; NULL: there is none. */
const char *sorad_catalogue_model_path (SoradCatalogue *catalogue, const char *id);
/* A model that has just come into a folder: it is shown at once.  Gives its object's path. */
char *sorad_catalogue_add_model (SoradCatalogue *catalogue, const char *id, GError **error);
/* One that has just gone. */
void sorad_catalogue_drop_model (SoradCatalogue *catalogue, const char *id);
/* Has some plugin's stage a place for a model of that name, beside the usual "model"? */
gboolean sorad_catalogue_has_slot (SoradCatalogue *catalogue, const char *name);
/* Are digests being made, or waited for? */
gboolean sorad_catalogue_is_busy (SoradCatalogue *catalogue);
/* FALSE: it certainly has none of that name.  Of STAGE.PARAMETER the stage alone is looked at: what
 * parameters it has is for the worker to say. */
gboolean sorad_catalogue_may_have_parameter (SoradCatalogue *catalogue, SoraPipeline *pipeline,
                                             const char *name);
const char *sorad_catalogue_default_model (SoradCatalogue *catalogue); /* "" if there is none */

G_END_DECLS
