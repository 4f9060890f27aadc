/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-frames.c: frames on their way from a decoder and into a file.
 */
#include "kit-frames.h"

#include <errno.h>
#include <unistd.h>

int
sora_kit_frames_spec (const SoraHost *host, SoraContext *ctx, const char *port, SoraKitFrames *frames)
{
  SoraSpec spec = { .struct_size = sizeof spec };
  int rc = host->input_spec (ctx, port, &spec);
  if (rc != SORA_OK)
    return rc == SORA_NOT_FOUND ? host->fail (ctx, "input '%s' is not connected", port) : rc;
  if (spec.ndim != 4 || spec.shape[3] != 3)
    return host->fail (ctx, "input '%s' has %d axes, expected 4: [T,H,W,3]", port, spec.ndim);
  if (spec.shape[1] < 1 || spec.shape[2] < 1 || spec.shape[1] > 16384 || spec.shape[2] > 16384)
    return host->fail (ctx, "input '%s' has frames of %lldx%lld, expected 1x1 to 16384x16384", port,
                       (long long) spec.shape[2], (long long) spec.shape[1]);
  frames->count = spec.shape[0];
  frames->height = spec.shape[1];
  frames->width = spec.shape[2];
  frames->dtype = spec.dtype;
  frames->says_fps = host->input_attr_f64 (ctx, port, "fps", &frames->fps) == SORA_OK && frames->fps > 0 && frames->fps <= 1000;
  if (!frames->says_fps)
    frames->fps = SORA_KIT_DEFAULT_FPS;
  return SORA_OK;
}

int
sora_kit_frames_check (const SoraHost *host, SoraContext *ctx, const char *port, const SoraKitFrames *frames,
                       const SoraTensorView *view)
{
  if (view->ndim == 4 && view->shape[1] == frames->height && view->shape[2] == frames->width && view->shape[3] == 3
      && view->dtype == frames->dtype)
    return SORA_OK;
  return host->fail (ctx, "input '%s' changed: it was to be frames of %lldx%lld", port, (long long) frames->width,
                     (long long) frames->height);
}

int
sora_kit_frames_fps (const SoraHost *host, SoraContext *ctx, const char *port, double *fps)
{
  double said;
  int rc = host->param_f64 (ctx, "fps", fps);
  if (rc == SORA_OK && !host->param_is_set (ctx, "fps") && host->input_attr_f64 (ctx, port, "fps", &said) == SORA_OK
      && said > 0 && said <= 1000)
    *fps = said;
  return rc;
}

int
sora_kit_write_all (int fd, const void *data, size_t size)
{
  const char *p = data;
  while (size > 0)
    {
      const ssize_t n = write (fd, p, size);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return errno;
      p += n;
      size -= (size_t) n;
    }
  return 0;
}
