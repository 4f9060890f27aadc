/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * av-writer.h: a clip from frames, through libavcodec and libavformat, into a descriptor.  The same frames and settings
 * give the same bytes: one encoder thread unless told otherwise, bit-exact flags, no dates.
 */
#ifndef ENCODE_AV_WRITER_H
#define ENCODE_AV_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "kit-provenance.h"

typedef struct {
  const char *container; /* libavformat's name: "mp4", "webm" */
  const char *encoder;   /* libavcodec's name: "libx264", "libvpx-vp9" */
  const char *preset;    /* of libx264; NULL: none */
  int crf;
  int threads;
  int width, height;     /* even */
  double fps;
} AvSettings;

typedef struct AvWriter AvWriter;

/* @fd: empty, seekable, open for reading and writing; stays the caller's.  NULL: the reason is in @why. */
AvWriter *av_writer_new (int fd, const AvSettings *settings, const SoraKitTag *tags, int n_tags, char *why,
                         size_t why_size);
/* u8 sRGB [height, width, 3], converted by av_yuv420_from_rgb().  Nonzero: the reason is in @why. */
int av_writer_frame (AvWriter *writer, const uint8_t *rgb, char *why, size_t why_size);
/* Ends the file. */
int av_writer_finish (AvWriter *writer, char *why, size_t why_size);
/* After the end of an MP4: a box of its own for an XMP packet, which other readers pass over (XMP specification, part 3,
 * 1.2.6). */
int av_writer_append_xmp (AvWriter *writer, const char *xmp, char *why, size_t why_size);
void av_writer_free (AvWriter *writer);

/* Is that encoder in this libavcodec? */
int av_writer_has_encoder (const char *encoder);
/* "libx264 (Lavc59.37.100), crf 18, preset medium, 1 thread": what the file says of its encoder. */
void av_writer_describe (const AvSettings *settings, char *text, size_t size);

#endif
