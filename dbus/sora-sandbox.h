/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The sandbox of a process that runs plugins: what it may see and do, and at which level.  The
 * process that was started stays outside as the monitor; what is returned to is a child of it,
 * inside.  docs/sandbox.md says what each level protects from what.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

/* From weak to strong; each has what those before it have. */
typedef enum
{
  SORA_SANDBOX_BASIC,    /* no new privileges, no core dumps, limits, nothing inherited */
  SORA_SANDBOX_FILTERED, /* Landlock (files) and seccomp (system calls) */
  SORA_SANDBOX_FULL,     /* namespaces: a file system of its own, no network, own processes */
} SoraSandboxLevel;

typedef struct
{
  char *source; /* what is shown, without symbolic links */
  char *target; /* where, as those who ask for it write it */
  gboolean write;
} SoraGrant;

typedef struct
{
  SoraSandboxLevel least, most; /* refuse below; try no more than */
  const char *setting;          /* of sorad.conf, that says so */
  GPtrArray *grants;            /* of SoraGrant */
  gboolean libraries_only;      /* of the system it sees libraries, no programs and no data */
  guint64 tmp_bytes;            /* of the private /tmp */
  char *tmp_dir;                /* that the monitor removes at the end; may be NULL */
  /* Of a process that runs third-party stages: how the monitor starts one, NULL-terminated. */
  char **stage_argv;
  int spawn_fd; /* set inside: where it asks for one, see sora_sandbox_spawn() */
  /* Of such a stage's process: where the monitor is told to end it, by an end of the stream, and
   * tells what it ended of; -1: none.  What it prints is passed on up to a bound. */
  int control_fd;
} SoraSandbox;

SoraSandbox *sora_sandbox_new (SoraSandboxLevel least, SoraSandboxLevel most);
void sora_sandbox_free (SoraSandbox *sandbox);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraSandbox, sora_sandbox_free)

const char *sora_sandbox_level_name (SoraSandboxLevel level);
/* FALSE: there is no level of that name. */
gboolean sora_sandbox_level_from_name (const char *name, SoraSandboxLevel *level);

/* Shows @path, and where it is a link what it leads to; what is not there is passed over. */
void sora_sandbox_grant (SoraSandbox *sandbox, const char *path, gboolean write);
/* A folder of plugins or models: also what links and model.conf files in it lead to. */
void sora_sandbox_grant_folder (SoraSandbox *sandbox, const char *path);
/* Changes when a folder of models begins to lead elsewhere, so that a process that was granted what
 * there was before would not find what there is now. */
char *sora_sandbox_fingerprint (char **folders);

/* Before any thread.  Returns in the child that is inside, with the level that was reached; the
 * caller's process ends with the child's status, and removes @tmp_dir.  @keep_fd (and standard
 * input, output and error) is the child's alone.  FALSE: it cannot be confined as was asked. */
gboolean sora_sandbox_enter (SoraSandbox *sandbox, int keep_fd, int keep_other_fd,
                             SoraSandboxLevel *level, GError **error);

void sora_sandbox_remove_folder (const char *path); /* and all that is in it */

/* Inside: the monitor starts a process for @plugin, which may read @paths of what was granted here;
 * the other ends of two new streams become its descriptors 3 and 4. */
gboolean sora_sandbox_spawn (const SoraSandbox *sandbox, const char *plugin,
                             const char *const *paths, int *stream, int *control, GError **error);
/* Outside: does so. */
void sora_sandbox_serve_spawn (const SoraSandbox *sandbox, int spawn_fd);
/* Is all of @path granted for reading? */
gboolean sora_sandbox_covers (const SoraSandbox *sandbox, const char *path);

/* -- The parts, in the order in which they are applied */

/* In the first process of the new namespaces: the file system it will see.  The reason on failure.
 */
char *sora_sandbox_view (const SoraSandbox *sandbox);
/* What of the machine it is shown at every level, read-only; NULL-terminated. */
const char *const *sora_sandbox_system (const SoraSandbox *sandbox);
/* Landlock's version in this kernel; 0: none. */
int sora_sandbox_landlock_abi (void);
gboolean sora_sandbox_landlock (const SoraSandbox *sandbox, gboolean own_view, GError **error);
gboolean sora_sandbox_filter_supported (void);
gboolean sora_sandbox_filter (GError **error);

G_END_DECLS
