/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * watermark-plugin.c: the stage `watermark`, which lays a visible mark over frames as they flow.  It is a filter
 * between the decoder and the encoder; what it did travels on as the attribute "watermark" and ends up in the file.
 */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "plugins/kit/kit-frames.h"
#include "sora-plugin.h"
#include "watermark-glyphs.h"
#include "watermark-mark.h"

#define FRAMES "frames"

static const char *const positions[]
    = { "wander", "bottom-right", "bottom-left", "top-right", "top-left", "center", NULL };

static const SoraPort frames_port = {
  .struct_size = sizeof (SoraPort),
  .flags = SORA_PORT_STREAM,
  .name = FRAMES,
  .semantic = "sora.frames.rgb/1",
  .dtypes = SORA_DTYPE_BIT (SORA_U8) | SORA_DTYPE_BIT (SORA_F32),
  .dims = "T,H,W,3",
  .help = "Frames, sRGB.",
};
static const SoraPort *const ports[] = { &frames_port, NULL };

static const SoraParam param_enabled = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_BOOL,
  .name = "enabled",
  .help = "Whether to draw the mark; without it the file says that it has none.",
  .i64_default = 1,
};
static const SoraParam param_opacity = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_F64,
  .name = "opacity",
  .help = "How much the mark covers what is beneath it.",
  .f64_default = 0.55,
  .f64_min = 0.05,
  .f64_max = 1,
};
static const SoraParam param_size = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_F64,
  .name = "size",
  .unit = "of the height",
  .help = "Height of the mark as a part of the frame's; never below what can be read.",
  .f64_default = 0.09,
  .f64_min = 0.02,
  .f64_max = 0.5,
};
static const SoraParam param_position = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_ENUM,
  .name = "position",
  .help = "Where the mark stands; wander: it goes slowly round near the border.",
  .str_default = "wander",
  .choices = positions,
};
static const SoraParam param_text = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_STRING,
  .name = "text",
  .help = "What the mark says, of " WATERMARK_CHARSET ".",
  .str_default = "sorad",
  .i64_max = 48,
};
static const SoraParam param_speed = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_F64,
  .name = "speed",
  .unit = "rounds/min",
  .help = "How fast a wandering mark goes; 0: it stays at the lower right.",
  .f64_default = 1,
  .f64_min = 0,
  .f64_max = 10,
};
static const SoraParam *const params[] = { &param_enabled,  &param_opacity, &param_size, &param_position,
                                           &param_text,     &param_speed,   NULL };

typedef struct {
  int enabled;
  WatermarkSettings settings;
} Request;

static int
read_request (const SoraHost *host, SoraContext *ctx, Request *request)
{
  const char *position;
  int rc;
  if ((rc = host->param_bool (ctx, "enabled", &request->enabled)) != SORA_OK
      || (rc = host->param_f64 (ctx, "opacity", &request->settings.opacity)) != SORA_OK
      || (rc = host->param_f64 (ctx, "size", &request->settings.size)) != SORA_OK
      || (rc = host->param_f64 (ctx, "speed", &request->settings.speed)) != SORA_OK
      || (rc = host->param_string (ctx, "position", &position)) != SORA_OK
      || (rc = host->param_string (ctx, "text", &request->settings.text)) != SORA_OK)
    return host->fail (ctx, "a parameter could not be read (%d)", rc);
  for (int i = 0; positions[i]; i++)
    if (!strcmp (positions[i], position))
      request->settings.position = (WatermarkPosition) i;
  if (host->input_attr_f64 (ctx, FRAMES, "fps", &request->settings.fps) != SORA_OK
      || !(request->settings.fps > 0))
    request->settings.fps = SORA_KIT_DEFAULT_FPS;

  const char *text = request->settings.text;
  int drawn = 0;
  for (const char *p = text; *p; p++)
    {
      const WatermarkGlyph *glyph = watermark_glyph (*p);
      if (!glyph)
        return host->fail (ctx,
                           "parameter 'text' is '%s': the mark has no sign for its byte %d; use " WATERMARK_CHARSET,
                           text, (int) (p - text) + 1);
      drawn += glyph->n_strokes;
    }
  if (drawn == 0 && request->enabled)
    return host->fail (ctx, "parameter 'text' is '%s', which draws nothing: give it a letter, or switch "
                            "the mark off with 'enabled'", text);
  return SORA_OK;
}

static int
infer (const SoraHost *host, SoraContext *ctx)
{
  Request request = { 0 };
  SoraSpec spec = { .struct_size = sizeof spec };
  int rc = read_request (host, ctx, &request);
  if (rc == SORA_OK)
    rc = host->input_spec (ctx, FRAMES, &spec);
  if (rc != SORA_OK)
    return rc;
  if (spec.ndim != 4)
    return host->fail (ctx, "input 'frames' has %d axes, expected 4 (T,H,W,3)", spec.ndim);
  if (request.enabled && spec.shape[1] > 0 && spec.shape[2] > 0)
    {
      WatermarkMark mark;
      char why[256];
      if (!watermark_mark_init (&mark, &request.settings, spec.shape[2], spec.shape[1], false, why, sizeof why))
        return host->fail (ctx, "%s", why);
    }

  const char *before = NULL;
  double fps;
  if (host->input_attr_f64 (ctx, FRAMES, "fps", &fps) == SORA_OK
      && (rc = host->set_output_attr_f64 (ctx, FRAMES, "fps", fps)) != SORA_OK)
    return rc;
  /* A mark that was drawn earlier does not go away when this stage is off. */
  const int visible = request.enabled
                      || (host->input_attr_string (ctx, FRAMES, "watermark", &before) == SORA_OK
                          && !strcmp (before, "visible"));
  rc = host->set_output_attr_string (ctx, FRAMES, "watermark", visible ? "visible" : "off");
  if (rc != SORA_OK || (rc = host->set_output_spec (ctx, FRAMES, &spec)) != SORA_OK)
    return rc;
  SoraCost cost = { .struct_size = sizeof cost };
  if (spec.shape[0] > 0 && spec.shape[1] > 0 && spec.shape[2] > 0)
    {
      const double values = (double) spec.shape[0] * (double) spec.shape[1] * (double) spec.shape[2] * 3;
      cost.output_bytes = (uint64_t) (values * (spec.dtype == SORA_F32 ? 4 : 1));
      cost.flops = request.enabled ? values * 0.3 : 0;
      cost.steps = spec.shape[0] <= UINT32_MAX ? (uint32_t) spec.shape[0] : 0;
    }
  return host->set_cost (ctx, &cost);
}

static int
mark_chunk (const SoraHost *host, SoraContext *ctx, const WatermarkMark *mark, SoraTensor *tensor,
            int64_t first)
{
  SoraTensorView view = { .struct_size = sizeof view };
  host->tensor_view (tensor, &view);
  const int64_t values = view.shape[1] * view.shape[2] * 3;
  for (int64_t t = 0; t < view.shape[0]; t++)
    {
      if (host->cancelled (ctx))
        return SORA_CANCELLED;
      if (view.dtype == SORA_U8)
        watermark_mark_draw_u8 (mark, first + t, (uint8_t *) view.data + t * values);
      else
        watermark_mark_draw_f32 (mark, first + t, (float *) view.data + t * values);
    }
  return SORA_OK;
}

/* Checks the chunk against the mark, which is drawn at the first one. */
static int
check_chunk (const SoraHost *host, SoraContext *ctx, const Request *request, WatermarkMark *mark,
             SoraTensor *tensor)
{
  SoraTensorView view = { .struct_size = sizeof view };
  char why[256];
  host->tensor_view (tensor, &view);
  if (view.ndim != 4 || view.shape[3] != 3 || (view.dtype != SORA_U8 && view.dtype != SORA_F32))
    return host->fail (ctx, "input 'frames' gave a tensor of %d axes and dtype %d, expected u8 or f32 [T,H,W,3]",
                       view.ndim, view.dtype);
  if (!mark->field.distance
      && !watermark_mark_init (mark, &request->settings, view.shape[2], view.shape[1], true, why, sizeof why))
    return host->fail (ctx, "%s", why);
  if (view.shape[1] != mark->height || view.shape[2] != mark->width)
    return host->fail (ctx, "input 'frames' changed its size from %lldx%lld to %lldx%lld",
                       (long long) mark->width, (long long) mark->height, (long long) view.shape[2],
                       (long long) view.shape[1]);
  return SORA_OK;
}

static int
stream (const SoraHost *host, SoraContext *ctx, const Request *request, WatermarkMark *mark, int64_t total)
{
  int64_t done = 0;
  for (;;)
    {
      SoraTensor *tensor = NULL;
      int rc = host->pull (ctx, FRAMES, &tensor);
      if (rc != SORA_OK)
        return rc == SORA_EOS ? SORA_OK : rc;
      SoraTensorView view = { .struct_size = sizeof view };
      host->tensor_view (tensor, &view);
      const int64_t frames = view.ndim > 0 ? view.shape[0] : 0;
      if (request->enabled)
        {
          rc = check_chunk (host, ctx, request, mark, tensor);
          if (rc == SORA_OK)
            {
              tensor = host->make_writable (ctx, tensor);
              rc = tensor ? mark_chunk (host, ctx, mark, tensor, done) : SORA_FAILED;
            }
          if (rc != SORA_OK)
            {
              if (tensor)
                host->tensor_unref (tensor);
              return rc;
            }
        }
      rc = host->push (ctx, FRAMES, tensor);
      if (rc != SORA_OK)
        return rc;
      done += frames;
      if (total > 0)
        host->progress (ctx, done < total ? (double) done / (double) total : 1, (uint32_t) done,
                        (uint32_t) total);
    }
}

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  Request request = { 0 };
  WatermarkMark mark = { 0 };
  SoraSpec spec = { .struct_size = sizeof spec };
  int rc = read_request (host, ctx, &request);
  if (rc != SORA_OK || (rc = host->input_spec (ctx, FRAMES, &spec)) != SORA_OK)
    return rc;
  const int64_t total = spec.ndim == 4 && spec.shape[0] <= UINT32_MAX ? spec.shape[0] : 0;
  rc = stream (host, ctx, &request, &mark, total);
  watermark_mark_clear (&mark);
  return rc;
}

static const SoraStageClass stage = {
  .struct_size = sizeof (SoraStageClass),
  .id = "watermark",
  .kind = "filter",
  .summary = "A visible mark that wanders slowly near the border",
  .inputs = ports,
  .outputs = ports,
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
  .id = "watermark",
  .version = "0.1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Draws a visible mark on frames",
  .stages = stages,
};
