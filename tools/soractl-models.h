/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The words of soractl models: list, add, show, verify, remove; and what they share.
 *
 * A model that is added is used where it lies. In the user's models folder stands a link to its folder, or, for single
 * files, a folder with a model.conf that names them; beside them, in the hidden folder ".registered", a file of the
 * model's name with the digest that it had.
 */
#pragma once
#include "soractl.h"
#include <jansson.h>

typedef struct
{
  SoractlGlobal *global;
  SoraEnvironment *environment;
  gboolean digest, delete_files;
  char *name;
} SoractlModels;

/* Each takes the words behind it, NULL-terminated, and gives the exit code. */
int soractl_models_add (SoractlModels *models, char **paths);
int soractl_models_show (SoractlModels *models, char **names);
int soractl_models_verify (SoractlModels *models, char **names);
int soractl_models_remove (SoractlModels *models, char **names);

/* The same with the service on the system bus, which copies. */
int soractl_models_add_system (SoractlModels *models, char **paths);
int soractl_models_remove_system (SoractlModels *models, char **names);

/* ~/.local/share/sorad/models/NAME; NULL: the folder. */
char *soractl_models_path (const char *name);
/* The digest that was recorded when it was added, NULL if none was; to record, and to forget. */
char *soractl_models_recorded (const char *name);
gboolean soractl_models_record (const char *name, const char *digest, GError **error);
void soractl_models_forget (const char *name);

/* Hashes with a progress line; Ctrl-C stops it. */
char *soractl_models_digest (SoractlGlobal *global, SoraModel *model, gboolean fresh, GError **error);

/* What a pipeline says of a model: its stages' own checks of every tensor, and the memory at the pipeline's size. */
typedef struct
{
  char *pipeline;
  GError *error; /* why not; NULL: it can */
  guint64 peak_bytes;
} SoractlVerdict;
/* One SoractlVerdict for each pipeline there is. */
GPtrArray *soractl_models_judge (SoraEnvironment *environment, SoraModel *model);
/* The first that can, else FALSE with the reason of the first. */
gboolean soractl_models_is_usable (SoraModel *model, GPtrArray *verdicts, GError **error);
/* Prints what is known of it, for people or as JSON. */
void soractl_models_print (SoractlGlobal *global, SoraModel *model, const char *id, const char *path,
                           const char *digest, GPtrArray *verdicts);
