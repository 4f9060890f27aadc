/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * From the arguments of Submit and Check to a frozen submission.
 */
#pragma once
#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#include "core/sora-request.h"
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

gboolean sorad_request_check_priority (int priority, GError **error);

/* -- sorad-request-digest.c: whether two submissions ask for the same */
/* SHA-256 over what the client gave, in an order of its own: before a seed is chosen, and without
 * the input files. */
char *sorad_request_digest (const SoraRequest *request, const SoradSubmission *submission);
/* Once the input files are copied: takes them in. */
void sorad_request_digest_inputs (SoradSubmission *submission);

/* In a thread, since a caller's file may be slow: copies the inputs into nameless files of the
 * store, durably. */
gboolean sorad_request_copy_inputs (SoradSubmission *submission, SoradStore *store,
                                    guint64 max_bytes, GError **error);

G_END_DECLS
