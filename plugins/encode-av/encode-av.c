/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * encode-av.c: the stage `encode-av`, frames to a video file.  MP4 with H.264 by default, WebM with VP9 as option.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "av-writer.h"
#include "kit-frames.h"

#define FRAMES "frames"
#define FILE_PORT "file"

static const SoraPort frames_port = {
  .struct_size = sizeof (SoraPort),
  .flags = SORA_PORT_STREAM,
  .name = FRAMES,
  .semantic = "sora.frames.rgb/1",
  .dtypes = SORA_DTYPE_BIT (SORA_U8) | SORA_DTYPE_BIT (SORA_F32),
  .dims = "T,H,W,3",
  .help = "Frames, sRGB; width and height even.",
};
static const SoraPort file_port = {
  .struct_size = sizeof (SoraPort),
  .name = FILE_PORT,
  .semantic = "sora.file/1",
  .help = "The clip, one file.",
};
static const SoraPort *const inputs[] = { &frames_port, NULL };
static const SoraPort *const outputs[] = { &file_port, NULL };

static const char *const formats[] = { "mp4", "webm", NULL };
static const char *const presets[]
    = { "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", NULL };

static const SoraParam param_format = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_ENUM,
  .name = "format",
  .help = "mp4: H.264; webm: VP9.",
  .str_default = "mp4",
  .choices = formats,
};
static const SoraParam param_crf = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_I64,
  .name = "crf",
  .help = "Constant rate factor: lower is better and larger.",
  .i64_default = 16,
  .i64_min = 0,
  .i64_max = 51,
};
static const SoraParam param_preset = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_ENUM,
  .name = "preset",
  .help = "Speed of H.264: slower is smaller.",
  .str_default = "medium",
  .choices = presets,
};
static const SoraParam param_threads = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_I64,
  .name = "threads",
  .help = "Threads of the encoder; another number gives other bytes, so it is recorded in the file.",
  .i64_default = 1,
  .i64_min = 1,
  .i64_max = 64,
};
static const SoraParam *const params[] = { &param_format, &param_crf, &param_preset, &param_threads, NULL };

static int
read_settings (const SoraHost *host, SoraContext *ctx, AvSettings *settings, SoraKitFrames *frames)
{
  const char *format = NULL, *preset = NULL;
  int64_t crf = 0, threads = 0;
  int rc = sora_kit_frames_spec (host, ctx, FRAMES, frames);
  if (rc != SORA_OK)
    return rc;
  if ((rc = host->param_string (ctx, "format", &format)) != SORA_OK
      || (rc = host->param_string (ctx, "preset", &preset)) != SORA_OK
      || (rc = host->param_i64 (ctx, "crf", &crf)) != SORA_OK
      || (rc = host->param_i64 (ctx, "threads", &threads)) != SORA_OK)
    return host->fail (ctx, "a parameter could not be read (%d)", rc);
  if (frames->width % 2 != 0 || frames->height % 2 != 0)
    return host->fail (ctx,
                       "input 'frames' is %lldx%lld, and video with halved colour needs even sizes: make the clip one "
                       "pixel larger, or encode it as PNG",
                       (long long) frames->width, (long long) frames->height);
  const int webm = !strcmp (format, "webm");
  *settings = (AvSettings) {
    .container = format,
    .encoder = webm ? "libvpx-vp9" : "libx264",
    .preset = webm ? NULL : preset,
    .crf = (int) crf,
    .threads = (int) threads,
    .width = (int) frames->width,
    .height = (int) frames->height,
    .fps = frames->fps,
  };
  return SORA_OK;
}

/* What an encoder holds beside its base: bytes a pixel, by preset; measured with libx264 164 and libvpx 1.12 at 832x480
 * and checked at 1280x720 (MP4) and 416x240 (WebM) to 10 %.  A slower preset looks further ahead and keeps more frames to
 * refer to. */
static const int x264_bytes[] = { 30, 60, 100, 145, 155, 190, 300, 390, 510 };
_Static_assert (sizeof x264_bytes / sizeof *x264_bytes + 1 == sizeof presets / sizeof *presets, "one for each preset");
enum { X264_BASE = 12 << 20, VPX_BASE = 25 << 20, VPX_BYTES = 170 };

static uint64_t
work_bytes (const SoraKitFrames *frames, const AvSettings *settings)
{
  const uint64_t pixels = (uint64_t) (frames->width * frames->height);
  if (settings->preset == NULL)
    return VPX_BASE + pixels * (VPX_BYTES + 3);
  int i = 0;
  while (presets[i + 1] != NULL && strcmp (presets[i], settings->preset) != 0)
    i++;
  return X264_BASE + pixels * (uint64_t) (x264_bytes[i] + 3);
}

static int
infer (const SoraHost *host, SoraContext *ctx)
{
  AvSettings settings;
  SoraKitFrames frames;
  int rc = read_settings (host, ctx, &settings, &frames);
  if (rc != SORA_OK)
    return rc;
  if (!av_writer_has_encoder (settings.encoder))
    return host->fail (ctx, "this libavcodec has no encoder '%s', which parameter 'format' = '%s' needs",
                       settings.encoder, settings.container);
  if (!frames.says_fps)
    host->log (ctx, SORA_LOG_WARNING, "input 'frames' does not say its frames per second: %g are taken", frames.fps);
  SoraCost cost = { .struct_size = sizeof cost };
  const double pixels = (double) frames.width * (double) frames.height;
  cost.work_bytes = work_bytes (&frames, &settings);
  if (frames.count > 0)
    {
      /* An eighth of a byte a pixel is a rich clip; operations are of the order of a thousand a pixel. */
      cost.output_bytes = (uint64_t) (pixels * (double) frames.count / 8) + 4096;
      cost.flops = pixels * (double) frames.count * 1000;
      cost.steps = frames.count <= UINT32_MAX ? (uint32_t) frames.count : 0;
    }
  return host->set_cost (ctx, &cost);
}

/* Frames of one chunk into the file. */
static int
encode_chunk (const SoraHost *host, SoraContext *ctx, AvWriter *writer, const SoraKitFrames *frames,
              SoraTensor *tensor, uint8_t *scratch, int64_t *done)
{
  SoraTensorView view = { .struct_size = sizeof view };
  char why[256];
  host->tensor_view (tensor, &view);
  int rc = sora_kit_frames_check (host, ctx, FRAMES, frames, &view);
  for (int64_t t = 0; rc == SORA_OK && t < view.shape[0]; t++)
    {
      if (host->cancelled (ctx))
        return SORA_CANCELLED;
      if (av_writer_frame (writer, sora_kit_frame_u8 (&view, t, scratch), why, sizeof why) != 0)
        return host->fail (ctx, "%s", why);
      ++*done;
      if (frames->count > 0 && *done <= frames->count)
        host->progress (ctx, (double) *done / (double) frames->count, (uint32_t) *done, (uint32_t) frames->count);
    }
  return rc;
}

static int
encode_stream (const SoraHost *host, SoraContext *ctx, AvWriter *writer, const SoraKitFrames *frames, uint8_t *scratch,
               const char *xmp)
{
  int64_t done = 0;
  char why[256];
  for (;;)
    {
      SoraTensor *tensor = NULL;
      int rc = host->pull (ctx, FRAMES, &tensor);
      if (rc == SORA_EOS)
        break;
      if (rc != SORA_OK)
        return rc;
      rc = encode_chunk (host, ctx, writer, frames, tensor, scratch, &done);
      host->tensor_unref (tensor);
      if (rc != SORA_OK)
        return rc;
    }
  if (done == 0)
    return host->fail (ctx, "input 'frames' ended without a frame");
  if (av_writer_finish (writer, why, sizeof why) != 0
      || (xmp != NULL && av_writer_append_xmp (writer, xmp, why, sizeof why) != 0))
    return host->fail (ctx, "%s", why);
  return SORA_OK;
}

/* All of a run but its reservation of memory. */
static int
make_file (const SoraHost *host, SoraContext *ctx, const AvSettings *settings, const SoraKitFrames *frames)
{
  SoraKitTag tags[SORA_KIT_MAX_TAGS + 1];
  char encoder[160], why[256], name[16];
  int n_tags = sora_kit_provenance (host, ctx, FRAMES, tags);
  if (n_tags > 1)
    {
      av_writer_describe (settings, encoder, sizeof encoder);
      tags[n_tags++] = (SoraKitTag) { "sorad.encoder", encoder };
    }
  const int webm = !strcmp (settings->container, "webm");
  snprintf (name, sizeof name, "clip.%s", settings->container);
  int fd = -1;
  int rc = host->file_create (ctx, FILE_PORT, name, webm ? "video/webm" : "video/mp4", &fd);
  if (rc != SORA_OK)
    return rc;
  uint8_t *scratch = malloc ((size_t) (frames->width * frames->height * 3));
  AvWriter *writer = scratch != NULL ? av_writer_new (fd, settings, tags, n_tags, why, sizeof why) : NULL;
  if (writer != NULL)
    rc = encode_stream (host, ctx, writer, frames, scratch, webm ? NULL : sora_kit_provenance_xmp (host, ctx));
  else
    rc = host->fail (ctx, "%s", scratch != NULL ? why : "out of memory for a frame");
  av_writer_free (writer);
  free (scratch);
  return rc;
}

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  AvSettings settings;
  SoraKitFrames frames;
  int rc = read_settings (host, ctx, &settings, &frames);
  if (rc == SORA_OK)
    rc = host->reserve (ctx, SORA_MEMORY_WORK, work_bytes (&frames, &settings));
  if (rc != SORA_OK)
    return rc;
  rc = make_file (host, ctx, &settings, &frames);
  const int back = host->unreserve (ctx, SORA_MEMORY_WORK, work_bytes (&frames, &settings));
  return rc != SORA_OK ? rc : back;
}

static const SoraStageClass stage = {
  .struct_size = sizeof (SoraStageClass),
  .id = "encode-av",
  .kind = "encoder",
  .summary = "Video file: MP4 with H.264, or WebM with VP9",
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
  .id = "encode-av",
  .version = "0.1.0",
  .licence = "LGPL-2.1-or-later AND GPL-2.0-or-later",
  .summary = "Writes video files through libavcodec",
  .stages = stages,
};
