/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One call of one stage: which phase it is in, on which thread, and what it failed of.  Every host
 * function begins with sora_context_enter(), which holds the rules of sora-plugin.h: phase, thread,
 * floating-point control bits.
 */
#pragma once
#include "sora-error.h"
#include "sora-fpu.h"
#include "sora-plugin.h"

G_BEGIN_DECLS

typedef struct SoraNode SoraNode;
typedef struct SoraTask SoraTask;
typedef struct SoraInstance SoraInstance;

typedef enum
{
  SORA_PHASE_INFER = 1u << 0,
  SORA_PHASE_CREATE = 1u << 1,
  SORA_PHASE_RUN = 1u << 2,
} SoraPhase;

typedef enum
{
  SORA_CALL_ANY_THREAD = 1u << 0,
  SORA_CALL_WAITS
  = 1u << 1, /* never from inside compute, which would hold up the one compute thread */
} SoraCallFlags;

typedef struct
{
  gpointer data;
  GDestroyNotify free;
} SoraKept;

struct SoraContext
{
  SoraPhase phase;
  SoraNode *node;
  SoraTask *task;         /* run */
  SoraInstance *instance; /* create, run */
  void (*log) (SoraContext *ctx, int level, const char *message);
  gpointer log_data;
  GThread *thread;
  SoraFpu fpu;         /* control bits when the call began */
  GThread *in_compute; /* the compute thread while it works for this stage (atomic) */
  GMutex lock;         /* fail_*, keep, and the warnings of infer */
  char *fail_text;
  int fail_code;   /* SoraError, or -1 */
  gboolean broken; /* broke a rule, or is doomed: fails whatever it returns */
  GArray *keep;    /* of SoraKept: what must live as long as the call */
};

void sora_context_init (SoraContext *ctx, SoraPhase phase, SoraNode *node);
void sora_context_clear (SoraContext *ctx);
gboolean sora_context_enter (SoraContext *ctx, const char *call, guint phases, guint flags);
/* The reason of the failure; the first stays.  Always returns SORA_FAILED. */
int sora_context_fail (SoraContext *ctx, int code, const char *format, ...) G_GNUC_PRINTF (3, 4);
int sora_context_fail_error (SoraContext *ctx, GError *error);
/* A rule of the ABI was broken: the stage fails whatever it returns.  Returns SORA_FAILED. */
int sora_context_break (SoraContext *ctx, const char *format, ...) G_GNUC_PRINTF (2, 3);
/* It is not the plugin's fault, but the stage fails whatever it returns.  Returns SORA_FAILED. */
int sora_context_doom (SoraContext *ctx, GError *error);
/* Memory from g_malloc that lives as long as the call, or what @free frees. */
gpointer sora_context_keep (SoraContext *ctx, gpointer memory);
void sora_context_keep_full (SoraContext *ctx, gpointer data, GDestroyNotify free);
/* The control bits at the return of @function; puts them back if they changed. */
void sora_context_check_return (SoraContext *ctx, const char *function);
/* TRUE if @result is OK and no rule was broken; else sets @error (@default_code where none was
 * given). */
gboolean sora_context_result (SoraContext *ctx, const char *function, int result, int default_code,
                              GError **error);

/* The table that every call of a plugin receives. */
const SoraHost *sora_host_table (void);

G_END_DECLS
