/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Private to libsora-core: the parts of the check of a plugin's descriptor.
 */
#pragma once
#include <stddef.h>
#include "sora-keyfile.h"
#include "sora-plugin.h"

G_BEGIN_DECLS

#define SORA_SEMANTIC_FILE "sora.file/1"

#define SORA_CHECK_MAX_STAGES 64u
#define SORA_CHECK_MAX_PORTS 64u
#define SORA_CHECK_MAX_PARAMS 256u

/* What a struct measured in ABI 1.0, told by its last member then: fields that are appended do not change it. */
#define SORA_SIZE_1_0(type, last_member) (offsetof (type, last_member) + sizeof (((type *)0)->last_member))

typedef struct
{
  const char *where; /* the module's path */
  gboolean newer;    /* built for a later minor: flags that we do not know are meant for others */
} SoraCheck;

/* Always FALSE. */
gboolean sora_check_refuse (const SoraCheck *check, GError **error, const char *format, ...) G_GNUC_PRINTF (3, 4);
gboolean sora_check_text (const SoraCheck *check, const char *text, const char *what, GError **error);
gboolean sora_check_stage (const SoraCheck *check, const SoraStageClass *stage, gsize index, GError **error);
gboolean sora_check_param (const SoraCheck *check, const SoraParam *param, const char *stage, gsize index,
                           GError **error);

G_END_DECLS
