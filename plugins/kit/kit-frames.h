/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-frames.h: what stages that take frames share: the port's checks, and writing a file.
 */
#ifndef SORA_KIT_FRAMES_H
#define SORA_KIT_FRAMES_H

#include "kit-picture.h"

/* The rate of frames that state none. */
#define SORA_KIT_DEFAULT_FPS 16.0

typedef struct {
  int64_t count; /* -1: not known before it runs */
  int64_t width, height;
  int32_t dtype; /* SORA_U8 or SORA_F32 */
  double fps;
  int says_fps; /* or else fps is a guess */
} SoraKitFrames;

/* Reads and checks the spec of a "sora.frames.rgb/1" input [T,H,W,3] in infer or run; no fps: SORA_KIT_DEFAULT_FPS.  Fails the stage. */
int sora_kit_frames_spec (const SoraHost *host, SoraContext *ctx, const char *port, SoraKitFrames *frames);
/* Is this chunk what the spec said?  Fails the stage if not. */
int sora_kit_frames_check (const SoraHost *host, SoraContext *ctx, const char *port, const SoraKitFrames *frames,
                           const SoraTensorView *view);
/* The rate of a decoder's pictures: of parameter "fps" what the user says, else what the input `port` says (its model was
 * made for that), else what the parameter is without them.  Returns a SoraResult. */
int sora_kit_frames_fps (const SoraHost *host, SoraContext *ctx, const char *port, double *fps);
/* Writes all of it; 0, or the errno.  Interrupted writes go on. */
int sora_kit_write_all (int fd, const void *data, size_t size);

#endif
