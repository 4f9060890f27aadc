/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * From the arguments of Submit and Check to a frozen submission.
 */
#pragma once
#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#include "sorad-catalogue.h"
#include "sorad-job.h"

G_BEGIN_DECLS

/**
 * sorad_request_parse:
 * @arguments: (sa{sv}a{sv}), from a caller of @uid
 * @fds: (nullable): the message's descriptors
 *
 * Checks all that can be checked without a plugin's code.  The submission's inputs have the
 * caller's descriptors yet, with no size: sorad_request_copy_inputs() replaces them.  Errors:
 * InvalidRequest, NotFound.
 */
SoradSubmission *sorad_request_parse (SoradCatalogue *catalogue, const SoradConfig *config,
                                      guint32 uid, GVariant *arguments, GUnixFDList *fds,
                                      GError **error);

/* In a thread, since a caller's file may be slow: copies the inputs into unlinked files of the
 * store. */
gboolean sorad_request_copy_inputs (SoradSubmission *submission, SoradStore *store,
                                    guint64 max_bytes, GError **error);

G_END_DECLS
