/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * av-io.h: libavformat's input and output on a descriptor.  "faststart" reads the file back while it moves the index to
 * its front, so the muxer must be able to open it a second time.
 */
#ifndef ENCODE_AV_IO_H
#define ENCODE_AV_IO_H

#include <libavformat/avformat.h>

/* What the contexts of one file share: the descriptor, and the first error that the system gave. */
typedef struct {
  int fd;
  int error; /* an errno; 0: none */
} AvFile;

/* NULL if memory ran out.  @file must outlive it. */
AVIOContext *av_io_new (AvFile *file, int for_writing);
void av_io_free (AVIOContext **io);
/* Lets @format open its own file again, for reading alone; @format->opaque is set to @file. */
void av_io_attach (AVFormatContext *format, AvFile *file);

#endif
