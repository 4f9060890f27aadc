/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * encode-png.c: the stage `encode-png`, frames to pictures: a contact sheet, numbered files, or an animated PNG.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apng.h"
#include "kit-frames.h"
#include "sheet.h"

#define FRAMES "frames"
#define FILE_PORT "file"

static const SoraPort frames_port = {
  .struct_size = sizeof (SoraPort),
  .flags = SORA_PORT_STREAM,
  .name = FRAMES,
  .semantic = "sora.frames.rgb/1",
  .dtypes = SORA_DTYPE_BIT (SORA_U8) | SORA_DTYPE_BIT (SORA_F32),
  .dims = "T,H,W,3",
  .help = "Frames, sRGB.",
};
static const SoraPort file_port = {
  .struct_size = sizeof (SoraPort),
  .name = FILE_PORT,
  .semantic = "sora.file/1",
  .help = "One picture, or one a frame.",
};
static const SoraPort *const inputs[] = { &frames_port, NULL };
static const SoraPort *const outputs[] = { &file_port, NULL };

static const char *const layouts[] = { "sheet", "frames", "apng", NULL };

static const SoraParam param_layout = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_ENUM,
  .name = "layout",
  .help = "sheet: frames side by side in one picture; frames: a numbered file each; apng: an animated PNG.",
  .str_default = "sheet",
  .choices = layouts,
};
static const SoraParam param_every = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_I64,
  .name = "every",
  .unit = "frames",
  .help = "Takes each n-th frame; 0: all, and for a sheet at most twelve, evenly spaced.",
  .i64_default = 0,
  .i64_min = 0,
  .i64_max = 100000,
};
static const SoraParam param_columns = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_I64,
  .name = "columns",
  .help = "Columns of a sheet; 0: up to six.",
  .i64_default = 0,
  .i64_min = 0,
  .i64_max = 1000,
};
static const SoraParam param_loops = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_I64,
  .name = "loops",
  .help = "How often an apng is shown; 0: for ever.",
  .i64_default = 0,
  .i64_min = 0,
  .i64_max = 1000000,
};
static const SoraParam param_level = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_I64,
  .name = "compression",
  .help = "Of zlib: 0 none, 9 smallest.",
  .i64_default = 6,
  .i64_min = 0,
  .i64_max = 9,
};
static const SoraParam *const params[]
    = { &param_layout, &param_every, &param_columns, &param_loops, &param_level, NULL };

typedef enum { LAYOUT_SHEET, LAYOUT_FRAMES, LAYOUT_APNG } Layout;

typedef struct {
  Layout layout;
  int64_t every, columns, loops, level;
  SoraKitFrames frames;
} Request;

/* What a run carries from frame to frame. */
typedef struct {
  const SoraHost *host;
  SoraContext *ctx;
  const Request *request;
  SoraKitTag tags[SORA_KIT_MAX_TAGS + 1];
  int n_tags;
  uint8_t *scratch; /* a frame */
  PngBuffer png;
  Sheet sheet;
  Apng apng;
  int fd;         /* of an apng, -1 before its first frame */
  int64_t number; /* of the next frame of the stream */
  int64_t taken;  /* so far */
} Run;

static int
read_request (const SoraHost *host, SoraContext *ctx, Request *request)
{
  const char *layout = NULL;
  int rc = sora_kit_frames_spec (host, ctx, FRAMES, &request->frames);
  if (rc != SORA_OK)
    return rc;
  if ((rc = host->param_string (ctx, "layout", &layout)) != SORA_OK
      || (rc = host->param_i64 (ctx, "every", &request->every)) != SORA_OK
      || (rc = host->param_i64 (ctx, "columns", &request->columns)) != SORA_OK
      || (rc = host->param_i64 (ctx, "loops", &request->loops)) != SORA_OK
      || (rc = host->param_i64 (ctx, "compression", &request->level)) != SORA_OK)
    return host->fail (ctx, "a parameter could not be read (%d)", rc);
  for (int i = 0; layouts[i] != NULL; i++)
    if (!strcmp (layouts[i], layout))
      request->layout = (Layout) i;
  const int64_t count = request->frames.count;
  if (request->layout == LAYOUT_SHEET && count < 0)
    return host->fail (ctx, "a sheet needs a stream of known length: set parameter 'layout' to frames or apng");
  if (request->every == 0)
    request->every = request->layout == LAYOUT_SHEET && count > 12 ? (count + 11) / 12 : 1;
  return SORA_OK;
}

/* How many frames are taken of @count. */
static int64_t
taken_of (const Request *request)
{
  return request->frames.count < 1 ? 0 : (request->frames.count - 1) / request->every + 1;
}

/* What a run holds: a frame, its PNG (which grows by doubling), and the sheet with its own PNG.  Fails the stage where
 * the sheet would be too large. */
static int
measure (const SoraHost *host, SoraContext *ctx, const Request *request, Sheet *sheet, uint64_t *bytes)
{
  const uint64_t frame = (uint64_t) (request->frames.width * request->frames.height) * 3;
  char why[200];
  *bytes = frame * 3;
  if (request->layout != LAYOUT_SHEET)
    return SORA_OK;
  if (sheet_measure (sheet, request->frames.width, request->frames.height, taken_of (request), request->columns, why,
                     sizeof why)
      != 0)
    return host->fail (ctx, "%s", why);
  *bytes += (uint64_t) (sheet->width * sheet->height) * 6;
  return SORA_OK;
}

static int
infer (const SoraHost *host, SoraContext *ctx)
{
  Request request = { 0 };
  Sheet sheet;
  SoraCost cost = { .struct_size = sizeof cost };
  int rc = read_request (host, ctx, &request);
  if (rc == SORA_OK)
    rc = measure (host, ctx, &request, &sheet, &cost.work_bytes);
  if (rc != SORA_OK)
    return rc;
  if (request.layout == LAYOUT_APNG && !request.frames.says_fps)
    host->log (ctx, SORA_LOG_WARNING, "input 'frames' does not say its frames per second: %g are taken",
               request.frames.fps);
  const uint64_t frame = (uint64_t) (request.frames.width * request.frames.height) * 3;
  cost.output_bytes = frame * (uint64_t) taken_of (&request) / 2;
  cost.flops = (double) frame * (double) taken_of (&request) * 60;
  if (request.frames.count > 0 && request.frames.count <= UINT32_MAX)
    cost.steps = (uint32_t) request.frames.count;
  return host->set_cost (ctx, &cost);
}

static int
fail_write (Run *run, int error)
{
  return run->host->fail (run->ctx, "cannot write the file: %s", strerror (error));
}

static int
encode (Run *run, const uint8_t *rgb, int64_t width, int64_t height)
{
  char why[200];
  /* Texts go into the first picture of an apng, and into each file. */
  const int n_tags = run->request->layout == LAYOUT_APNG && run->taken > 0 ? 0 : run->n_tags;
  if (png_memory_encode (&run->png, rgb, (int) width, (int) height, (int) run->request->level, run->tags, n_tags, why,
                         sizeof why)
      != 0)
    return run->host->fail (run->ctx, "%s", why);
  return SORA_OK;
}

static int
write_picture (Run *run, const char *name, const uint8_t *rgb, int64_t width, int64_t height)
{
  int fd = -1;
  int rc = encode (run, rgb, width, height);
  if (rc == SORA_OK)
    rc = run->host->file_create (run->ctx, FILE_PORT, name, "image/png", &fd);
  if (rc != SORA_OK)
    return rc;
  const int error = sora_kit_write_all (fd, run->png.data, run->png.size);
  return error == 0 ? SORA_OK : fail_write (run, error);
}

static int
take_frame (Run *run, const uint8_t *rgb)
{
  const SoraKitFrames *frames = &run->request->frames;
  char name[40];
  int rc, error;
  switch (run->request->layout)
    {
    case LAYOUT_SHEET:
      sheet_put (&run->sheet, run->taken, rgb);
      return SORA_OK;
    case LAYOUT_FRAMES:
      snprintf (name, sizeof name, "frame-%04lld.png", (long long) run->taken + 1);
      return write_picture (run, name, rgb, frames->width, frames->height);
    case LAYOUT_APNG:
      rc = encode (run, rgb, frames->width, frames->height);
      if (rc == SORA_OK && run->fd < 0)
        {
          rc = run->host->file_create (run->ctx, FILE_PORT, "clip.png", "image/apng", &run->fd);
          if (rc == SORA_OK)
            apng_begin (&run->apng, run->fd, frames->fps / (double) run->request->every, (uint32_t) run->request->loops);
        }
      if (rc != SORA_OK)
        return rc;
      error = apng_frame (&run->apng, &run->png);
      return error == 0 ? SORA_OK : fail_write (run, error);
    }
  return SORA_OK;
}

static int
take_chunk (Run *run, SoraTensor *tensor)
{
  const SoraKitFrames *frames = &run->request->frames;
  SoraTensorView view = { .struct_size = sizeof view };
  run->host->tensor_view (tensor, &view);
  int rc = sora_kit_frames_check (run->host, run->ctx, FRAMES, frames, &view);
  for (int64_t t = 0; rc == SORA_OK && t < view.shape[0]; t++, run->number++)
    {
      if (run->host->cancelled (run->ctx))
        return SORA_CANCELLED;
      if (run->number % run->request->every != 0)
        continue;
      if (run->request->layout == LAYOUT_SHEET && run->taken >= taken_of (run->request))
        return run->host->fail (run->ctx, "input 'frames' has more than the %lld frames that it was to have",
                                (long long) frames->count);
      rc = take_frame (run, sora_kit_frame_u8 (&view, t, run->scratch));
      run->taken++;
      if (frames->count > 0 && run->number < frames->count)
        run->host->progress (run->ctx, (double) (run->number + 1) / (double) frames->count,
                             (uint32_t) run->number + 1, (uint32_t) frames->count);
    }
  return rc;
}

static int
take_stream (Run *run)
{
  for (;;)
    {
      SoraTensor *tensor = NULL;
      int rc = run->host->pull (run->ctx, FRAMES, &tensor);
      if (rc == SORA_EOS)
        break;
      if (rc != SORA_OK)
        return rc;
      rc = take_chunk (run, tensor);
      run->host->tensor_unref (tensor);
      if (rc != SORA_OK)
        return rc;
    }
  if (run->taken == 0)
    return run->host->fail (run->ctx, "input 'frames' ended without a frame");
  if (run->request->layout == LAYOUT_SHEET && run->taken < run->sheet.count)
    return run->host->fail (run->ctx, "input 'frames' ended after %lld frames, and was to have %lld",
                            (long long) run->number, (long long) run->request->frames.count);
  if (run->request->layout == LAYOUT_SHEET)
    return write_picture (run, "sheet.png", run->sheet.pixels, run->sheet.width, run->sheet.height);
  if (run->request->layout == LAYOUT_APNG)
    {
      const int error = apng_finish (&run->apng);
      return error == 0 ? SORA_OK : fail_write (run, error);
    }
  return SORA_OK;
}

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  Request request = { 0 };
  Run state = { .host = host, .ctx = ctx, .request = &request, .fd = -1 };
  uint64_t bytes;
  char why[200];
  int rc = read_request (host, ctx, &request);
  if (rc == SORA_OK)
    rc = measure (host, ctx, &request, &state.sheet, &bytes);
  if (rc == SORA_OK)
    rc = host->reserve (ctx, SORA_MEMORY_WORK, bytes);
  if (rc != SORA_OK)
    return rc;
  state.n_tags = sora_kit_provenance (host, ctx, FRAMES, state.tags);
  const char *xmp = sora_kit_provenance_xmp (host, ctx);
  if (xmp != NULL)
    state.tags[state.n_tags++] = (SoraKitTag) { "XML:com.adobe.xmp", xmp };
  state.scratch = malloc ((size_t) (request.frames.width * request.frames.height * 3));
  if (state.scratch == NULL)
    rc = host->fail (ctx, "out of memory for a frame");
  else if (request.layout == LAYOUT_SHEET && sheet_begin (&state.sheet, why, sizeof why) != 0)
    rc = host->fail (ctx, "%s", why);
  else
    rc = take_stream (&state);
  sheet_clear (&state.sheet);
  png_memory_clear (&state.png);
  free (state.scratch);
  const int back = host->unreserve (ctx, SORA_MEMORY_WORK, bytes);
  return rc != SORA_OK ? rc : back;
}

static const SoraStageClass stage = {
  .struct_size = sizeof (SoraStageClass),
  .id = "encode-png",
  .kind = "encoder",
  .summary = "Pictures: a contact sheet, numbered files or an animated PNG",
  .inputs = inputs,
  .outputs = outputs,
  .params = params,
  .infer = infer,
  .run = run,
};
static const SoraStageClass *const stages[] = { &stage, NULL };

SORA_EXPORT const SoraPlugin sora_plugin;
SORA_EXPORT const SoraPlugin sora_plugin = {
  .magic = SORA_PLUGIN_MAGIC,
  .struct_size = sizeof (SoraPlugin),
  .abi_major = SORA_ABI_MAJOR,
  .abi_minor = SORA_ABI_MINOR,
  .needs_minor = 0,
  .id = "encode-png",
  .version = "0.1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Writes PNG pictures through libpng",
  .stages = stages,
};
