/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * av-io.c: reads and writes at positions of their own, so that a reader does not move the writer.
 */
#include "av-io.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER 65536

typedef struct {
  AvFile *file;
  int64_t position;
} Stream;

static int
read_packet (void *opaque, uint8_t *buffer, int size)
{
  Stream *stream = opaque;
  ssize_t n;
  do
    n = pread (stream->file->fd, buffer, (size_t) size, stream->position);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    return AVERROR (stream->file->error = errno);
  stream->position += n;
  return n == 0 ? AVERROR_EOF : (int) n;
}

/* What libavformat hands to be written is const from its version 61 on (FFmpeg 7). */
#if LIBAVFORMAT_VERSION_MAJOR >= 61
#define WRITE_CONST const
#else
#define WRITE_CONST
#endif

static int
write_packet (void *opaque, WRITE_CONST uint8_t *buffer, int size)
{
  Stream *stream = opaque;
  for (int done = 0; done < size;)
    {
      const ssize_t n = pwrite (stream->file->fd, buffer + done, (size_t) (size - done), stream->position);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          if (stream->file->error == 0)
            stream->file->error = errno;
          return AVERROR (errno);
        }
      done += (int) n;
      stream->position += n;
    }
  return size;
}

static int64_t
seek (void *opaque, int64_t offset, int whence)
{
  Stream *stream = opaque;
  struct stat st;
  if (fstat (stream->file->fd, &st) != 0)
    return AVERROR (errno);
  switch (whence & ~AVSEEK_FORCE)
    {
    case AVSEEK_SIZE:
      return st.st_size;
    case SEEK_CUR:
      offset += stream->position;
      break;
    case SEEK_END:
      offset += st.st_size;
      break;
    default:
      break;
    }
  if (offset < 0)
    return AVERROR (EINVAL);
  return stream->position = offset;
}

AVIOContext *
av_io_new (AvFile *file, int for_writing)
{
  Stream *stream = av_mallocz (sizeof *stream);
  uint8_t *buffer = av_malloc (BUFFER);
  AVIOContext *io = NULL;
  if (stream != NULL && buffer != NULL)
    {
      stream->file = file;
      io = avio_alloc_context (buffer, BUFFER, for_writing, stream, for_writing ? NULL : read_packet,
                               for_writing ? write_packet : NULL, seek);
    }
  if (io == NULL)
    {
      av_free (buffer);
      av_free (stream);
    }
  return io;
}

void
av_io_free (AVIOContext **io)
{
  if (*io == NULL)
    return;
  av_free ((*io)->opaque);
  av_freep (&(*io)->buffer);
  avio_context_free (io);
}

static int
reopen (AVFormatContext *format, AVIOContext **io, const char *url, int flags, AVDictionary **options)
{
  if ((flags & AVIO_FLAG_WRITE) != 0)
    return AVERROR (EPERM);
  *io = av_io_new (format->opaque, 0);
  return *io != NULL ? 0 : AVERROR (ENOMEM);
}

static int
close_again (AVFormatContext *format, AVIOContext *io)
{
  av_io_free (&io);
  return 0;
}

void
av_io_attach (AVFormatContext *format, AvFile *file)
{
  format->opaque = file;
  format->io_open = reopen;
  format->io_close2 = close_again;
}
