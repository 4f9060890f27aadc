/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Who may do what: one entry for every method and property on the bus.  What is not listed is
 * refused; a test walks the introspection data against this table.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

typedef enum
{
  SORAD_PERMISSION_PUBLIC, /* the same answer for everybody, nothing private in it */
  SORAD_PERMISSION_CALLER, /* acts for the caller's uid, or tells of its own things only */
  SORAD_PERMISSION_OWNER,  /* the job's owner; to others the job does not exist */
  SORAD_PERMISSION_ADMIN,  /* whom sorad-authority permits it */
} SoradPermission;

/* FALSE: not listed. */
gboolean sorad_permission_lookup (const char *interface, const char *member,
                                  SoradPermission *permission);

G_END_DECLS
