/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Settings of the daemon: sorad.conf (GKeyFile), overruled by the command line.  docs/sorad.8 lists
 * them.
 */
#pragma once
#include <gio/gio.h>

G_BEGIN_DECLS

#define SORAD_IDLE_PATIENCE 30 /* with Idle, times after which a worker or stage is ended are longer */

typedef struct
{
  gboolean session;
  char **plugin_dirs; /* NULL: the installed one (session: also the user's) */
  char **pipeline_dirs;
  char **model_dirs;
  char *default_model; /* may be NULL */
  char *state_dir;
  char *worker; /* the program */

  /* [Limits], each per user */
  guint max_queued;         /* jobs that wait or run */
  guint max_kept;           /* jobs that are over; the oldest is forgotten */
  guint64 max_stored_bytes; /* results and inputs */
  guint64 max_request_bytes;
  guint64 max_input_bytes; /* input files of one job */
  guint keep_days;         /* after which a job that is over is forgotten; 0: never for its age */
  guint max_calls;         /* calls without a reply yet */
  guint64 max_cache_bytes; /* what stages gave, kept for later jobs; 0: nothing is */

  guint64 free_bytes;       /* of the state folder's file system, for all users: no job may take them */

  /* [Worker] */
  guint idle_seconds;      /* a warm worker's life without a job */
  guint heartbeat_seconds; /* silence after which it is held to be hung */
  guint stall_seconds;     /* a job without any progress; 0: for ever */
  guint cancel_grace_ms;
  char *sandbox;      /* "auto", or the level that every worker must have */
  char *users_dir;    /* a folder of folders, what is kept for each user; NULL: the one user's own (a session's) */
  char *digest_dir;   /* digests of models' files that the daemon made, which no worker may write; NULL: the user's (a session's) */
  char *packed_dir;   /* packed weights that the administrator made, which all workers may read; NULL: none (a session's) */
  char **readable;    /* what workers may read beside plugins, pipelines and models; may be NULL */
  guint nice;    /* least niceness of a worker */
  gboolean idle; /* it gets only the processor and disk that nobody else wants */
  guint max_crashes; /* workers that one job may end */
  char **trusted;     /* folders whose plugins are no third party's; NULL: the installed one */
  char *third_party;  /* least level of a third-party plugin's process; "none": none of its own */
  guint answer_seconds;      /* for such a plugin to load, and to infer */
  guint stage_stall_seconds; /* without a word of such a stage; 0: for ever */
  guint64 memory_max; /* 0: all of the machine's */
  guint tasks_max;    /* processes and threads of a worker and all that it starts, by its group */
  char *cgroup;       /* where groups of workers are made: "auto", "none" or a folder */

  /* What the daemon made of them */
  struct SoradCgroups *cgroups; /* NULL: there are none */
  char *limits;                 /* of workers, for people; NULL: none */

  /* [Access] */
  char *admin_group; /* NULL: none */

  /* [Daemon] */
  guint idle_exit_seconds; /* with no job known; 0: never */
} SoradConfig;

/* Within a user's folder: each is granted by itself, so that a worker cannot put another folder, or a link, in its place. */
#define SORAD_CACHE_STAGES "stages"   /* what stages gave */
#define SORAD_CACHE_DIGESTS "digests" /* digests of models' files */

/* What workers keep for @uid alone; NULL: in the user's own folders (a session's). */
char *sorad_config_user_dir (const SoradConfig *config, guint32 uid);
/* Below it, of what stages gave to its jobs; it need not exist. */
char *sorad_config_cache_dir (const SoradConfig *config, guint32 uid);
/* Defaults of the mode, then @file (NULL: the installed one if there is one).  An unknown group or
 * key is an error. */
SoradConfig *sorad_config_load (gboolean session, const char *file, GError **error);
void sorad_config_free (SoradConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoradConfig, sorad_config_free)

G_END_DECLS
