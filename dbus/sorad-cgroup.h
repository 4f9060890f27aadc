/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Control groups (cgroup v2): one for each worker and all that comes of it, where the daemon has a
 * part of the tree for itself.  They bound what limits of a process cannot (shared memory, the sum
 * over processes, threads), and end whatever a worker left.
 */
#pragma once
#include "sorad-config.h"

G_BEGIN_DECLS

typedef struct SoradCgroups SoradCgroups; /* the part of the tree */
typedef struct SoradCgroup SoradCgroup;   /* of one worker */

/* As [Worker] ControlGroup says: "auto" is the daemon's own group, if systemd has delegated it
 * (Delegate=); a path is a folder of the tree, and must be usable; "none".  NULL without @error:
 * there are none, and *@why says so. */
SoradCgroups *sorad_cgroups_new (const SoradConfig *config, char **why, GError **error);
void sorad_cgroups_free (SoradCgroups *cgroups);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoradCgroups, sorad_cgroups_free)

SoradCgroup *sorad_cgroup_new (SoradCgroups *cgroups, GError **error);
/* Where a process writes "0" to go in; the group's. */
int sorad_cgroup_entry (const SoradCgroup *cgroup);
/* Whether the kernel killed one in it since its memory was at an end. */
gboolean sorad_cgroup_ran_out (const SoradCgroup *cgroup);
/* How many processes the kernel has ended since memory was at an end, the machine's or that of any
 * control group, since the machine began; 0 where it does not tell (before Linux 4.13). */
guint64 sorad_cgroup_kills_anywhere (void);
/* Ends all that is in it, and removes it once they are gone. */
void sorad_cgroup_end (SoradCgroup *cgroup);

/* What bounds workers, for people: NULL where nothing does. */
char *sorad_cgroups_describe (const SoradCgroups *cgroups, const SoradConfig *config,
                              const char *why);

G_END_DECLS
