/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A plugin whose stage does in a real worker what its parameter says: writes its input to a file,
 * shows a picture, waits, does not stop when told, crashes, or leaves.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/sora-plugin.h"

static const char *const modes[]
    = { "write", "preview", "wait", "ignore", "crash", "leave", "infer-crash", "job", "greedy", "hungry",
        "prolific", NULL };
static const SoraParam mode = { .struct_size = sizeof (SoraParam),
                                .type = SORA_PARAM_ENUM,
                                .name = "mode",
                                .help = "What to do.",
                                .str_default = "write",
                                .choices = modes };
static const SoraParam text = { .struct_size = sizeof (SoraParam),
                                .type = SORA_PARAM_STRING,
                                .flags = SORA_PARAM_SECRET,
                                .name = "text",
                                .help = "What to write.",
                                .str_default = "nothing" };
static const SoraParam size = { .struct_size = sizeof (SoraParam),
                                .type = SORA_PARAM_I64,
                                .name = "size",
                                .unit = "px",
                                .help = "An extent.",
                                .i64_default = 64,
                                .i64_min = 16,
                                .i64_max = 4096,
                                .i64_multiple = 16 };
static const SoraParam file = { .struct_size = sizeof (SoraParam),
                                .type = SORA_PARAM_FILE,
                                .name = "file",
                                .help = "What to write instead of the text." };
static const SoraParam *const params[] = { &mode, &text, &size, &file, NULL };
static const SoraPort out = {
  .struct_size = sizeof (SoraPort), .name = "file", .semantic = "sora.file/1", .help = "A file."
};
static const SoraPort *const none[] = { NULL };
static const SoraPort *const outputs[] = { &out, NULL };

static int
is_mode (const SoraHost *host, SoraContext *ctx, const char *name)
{
  const char *value = "";
  host->param_string (ctx, "mode", &value);
  return strcmp (value, name) == 0;
}

static void
crash (void)
{
  signal (SIGSEGV, SIG_DFL);
  raise (SIGSEGV);
}

static int
infer (const SoraHost *host, SoraContext *ctx)
{
  int64_t extent = 0;
  SoraCost cost = { .struct_size = sizeof cost, .steps = 2, .work_bytes = 1000 };
  host->param_i64 (ctx, "size", &extent);
  if (extent == 32)
    host->log (ctx, SORA_LOG_WARNING, "32 is a strange size");
  if (is_mode (host, ctx, "infer-crash"))
    crash ();
  if (is_mode (host, ctx, "greedy")) /* more than any machine has */
    cost.work_bytes = UINT64_C (1) << 60;
  const char *bytes = "";
  host->param_string (ctx, "text", &bytes);
  if (is_mode (host, ctx, "hungry"))
    cost.scratch_bytes = strtoull (bytes, NULL, 10);
  if (is_mode (host, ctx, "prolific"))
    cost.output_bytes = strtoull (bytes, NULL, 10);
  return host->set_cost (ctx, &cost);
}

static int
show (const SoraHost *host, SoraContext *ctx)
{
  SoraTensor *picture = host->tensor_new (ctx, SORA_U8, 3, (int64_t[]){ 2, 4, 3 });
  SoraTensorView view = { .struct_size = sizeof view };
  if (!picture)
    return SORA_FAILED;
  host->tensor_view (picture, &view);
  memset (view.data, 0x5a, view.nbytes);
  host->preview (ctx, picture);
  host->tensor_unref (picture);
  return SORA_OK;
}

static int
wait_until_cancelled (const SoraHost *host, SoraContext *ctx, int preview)
{
  const struct timespec pause = { .tv_nsec = 1000000 };
  while (!host->cancelled (ctx))
    {
      if (preview && host->preview_wanted (ctx) && show (host, ctx) != SORA_OK)
        return SORA_FAILED;
      nanosleep (&pause, NULL);
    }
  return SORA_CANCELLED;
}

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  const char *words = "";
  const void *data = NULL;
  size_t bytes = 0;
  int fd;
  host->progress (ctx, 0.5, 1, 2);
  if (is_mode (host, ctx, "crash"))
    crash ();
  if (is_mode (host, ctx, "leave"))
    _exit (7);
  if (is_mode (host, ctx, "ignore"))
    for (;;)
      pause ();
  if (is_mode (host, ctx, "wait") || is_mode (host, ctx, "preview"))
    return wait_until_cancelled (host, ctx, is_mode (host, ctx, "preview"));

  host->param_string (ctx, "text", &words);
  if (is_mode (host, ctx, "job") && host->info (ctx, "job", &words) != SORA_OK)
    return host->fail (ctx, "the job has no id");
  if (host->param_is_set (ctx, "file") && host->param_file (ctx, "file", &data, &bytes) != SORA_OK)
    return host->fail (ctx, "the file did not come");
  if (!data)
    {
      data = words;
      bytes = strlen (words);
    }
  int result = host->file_create (ctx, "file", "out.txt", "text/plain", &fd);
  if (result != SORA_OK)
    return result;
  while (bytes > 0)
    {
      ssize_t n = write (fd, data, bytes);
      if (n < 0)
        return host->fail (ctx, "the file cannot be written");
      data = (const char *)data + n;
      bytes -= (size_t)n;
    }
  return SORA_OK;
}

static const SoraStageClass act = { .struct_size = sizeof (SoraStageClass),
                                    .id = "rogue",
                                    .kind = "encoder",
                                    .summary = "Does as told",
                                    .inputs = none,
                                    .outputs = outputs,
                                    .params = params,
                                    .infer = infer,
                                    .run = run };
static const SoraStageClass *const stages[] = { &act, NULL };

SORA_EXPORT extern const SoraPlugin sora_plugin;
const SoraPlugin sora_plugin = { .magic = SORA_PLUGIN_MAGIC,
                                 .struct_size = sizeof (SoraPlugin),
                                 .abi_major = SORA_ABI_MAJOR,
                                 .abi_minor = SORA_ABI_MINOR,
                                 .id = "rogue",
                                 .version = "1.0.0",
                                 .licence = "LGPL-2.1-or-later",
                                 .summary = "Does as told",
                                 .stages = stages };
