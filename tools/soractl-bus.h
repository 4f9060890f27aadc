/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * sorad as its client sees it: connection, jobs by id, parameters of a pipeline.
 */
#pragma once
#include "soractl.h"
#include "dbus/sora-bus-error.h"
#include "dbus/sora-bus-generated.h"
#include "sora-plugin.h"

GDBusConnection *soractl_bus_connect (SoractlGlobal *global, GError **error);
SoraBusManager *soractl_bus_manager (GDBusConnection *connection, GError **error);
/* @job: an id as 'soractl jobs' prints it, or an object path. */
SoraBusJob *soractl_bus_job (GDBusConnection *connection, const char *job, GError **error);
/* All properties of a job, a{sv}. */
GVariant *soractl_bus_job_properties (GDBusConnection *connection, const char *job, GError **error);
/* Connects, and gives the job that is the verb's only word; else tells what is wrong and gives the
 * exit code. */
int soractl_bus_open_job (SoractlGlobal *global, int argc, char **argv,
                          GDBusConnection **connection, SoraBusJob **job);

/* Connects, and calls a method of every job that is named; gives the exit code. */
typedef gboolean (*SoractlJobCall) (SoraBusJob *job, GCancellable *cancellable, GError **error);
int soractl_bus_each_job (SoractlGlobal *global, int argc, char **argv, SoractlJobCall call);

/* Parameters as the service declares them: the pipeline's, and as "STAGE.NAME" those of its stages,
 * with @stages (id to plugin) in place of the pipeline's own plugins. */
GHashTable *soractl_bus_params (GDBusConnection *connection, const char *pipeline,
                                GHashTable *stages, GError **error);
/* Finds one of them: a SoractlParamLookup. */
const SoraParam *soractl_bus_param (const char *name, GVariant **default_value, gpointer params);

/* Fetches all files of a job that is done into @folder; paths (char *) are added to @paths.  With
 * @name not NULL only that file; with @as not NULL to the file @folder/@as. */
gboolean soractl_bus_fetch (SoraBusJob *job, const char *folder, const char *name, const char *as,
                            gboolean overwrite, GPtrArray *paths, GVariant **details,
                            GError **error);
/* Follows a job with a progress bar until it is over; Ctrl-C cancels it when @cancel_on_interrupt,
 * else leaves it. Gives its last state, or NULL. */
char *soractl_bus_follow (SoractlGlobal *global, SoraBusJob *job, gboolean cancel_on_interrupt,
                          GError **error);
/* "stages" of GetResult's details as SoractlTimings, and the seconds in all. */
GPtrArray *soractl_bus_timings (GVariant *details, double *seconds, guint64 *seed);
