/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the parts of the catalogue share: its tables, the descriptions that workers give, and the
 * objects on the bus.
 */
#pragma once
#include "sorad-catalogue.h"

#include "core/sora-model.h"
#include "core/sora-registry.h"

struct SoradCatalogue
{
  const SoradConfig *config;
  SoradStore *store;
  SoraRegistry *registry;
  GPtrArray *plugins;   /* of SoraPluginInfo */
  GPtrArray *pipelines; /* of SoraPipeline */
  GPtrArray *models;    /* of SoraModel */
  char *default_model;
  GDBusConnection *connection;
  GDBusObjectManagerServer *manager;
  GHashTable *plugin_descriptions;   /* id -> GVariant a{sv} */
  GHashTable *pipeline_descriptions; /* likewise */
  GThreadPool *digests;              /* one at a time: each may read many gigabytes */
  guint next;                        /* what is described alone: plugins, then pipelines */
  gint digesting;                    /* atomic: calls in `digests` */
  struct SoradListing *listing;      /* of who asks for all objects */
  gint64 scanned;                    /* monotonic, when the models' folders were looked into */
  gint ending;                       /* atomic */
  void (*ready) (gpointer data);
  gpointer data;
};

/* What a description (NULL: none came) says is wrong; "": nothing. */
const char *sorad_catalogue_problem (GVariant *description);
/* The rows, aa{sv}, that a description has under @key; none where it has none.  (transfer full) */
GVariant *sorad_catalogue_rows (GVariant *description, const char *key);
/* Puts one model on the bus, and takes it off. */
void sorad_catalogue_export_model (SoradCatalogue *catalogue, SoraModel *model);
char *sorad_catalogue_model_object (const char *id);
/* After models came or went: which is the default one now; the bus is told if it is another. */
void sorad_catalogue_update_default (SoradCatalogue *catalogue);
/* Notices models that came or went; and begins and ends to do so before objects are listed. */
void sorad_catalogue_refresh (SoradCatalogue *catalogue, gboolean now);
void sorad_catalogue_watch_listing (SoradCatalogue *catalogue);
void sorad_catalogue_unwatch_listing (SoradCatalogue *catalogue);
/* Puts everything on the bus, as it is described, and tells that it is ready. */
void sorad_catalogue_export (SoradCatalogue *catalogue);
/* Of the pool `digests`. */
void sorad_catalogue_digest (gpointer call, gpointer catalogue);
