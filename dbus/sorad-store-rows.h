/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Jobs as rows of the database.
 */
#pragma once
#include <sqlite3.h>

#include "sorad-job.h"

G_BEGIN_DECLS

/* What is written of a job: a copy, since the job goes on while the writer works. */
typedef struct SoradRow SoradRow;

SoradRow *sorad_row_new (SoradJob *job); /* the next revision of it */
void sorad_row_free (SoradRow *row);
SoradJob *sorad_row_job (SoradRow *row);

/* In the writer's thread. */
gboolean sorad_row_insert (sqlite3 *handle, SoradRow *row, GError **error);
/* Nothing if a newer revision stands there, or the job is gone. */
gboolean sorad_row_update (sqlite3 *handle, SoradRow *row, GError **error);
gboolean sorad_row_delete (sqlite3 *handle, SoradRow *row, GError **error);

/* All jobs, oldest first: (element-type SoradJob) (transfer full). */
GPtrArray *sorad_rows_load (sqlite3 *handle, GError **error);

G_END_DECLS
