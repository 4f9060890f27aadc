/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * av-writer.c: encoder and muxer.
 */
#include "av-writer.h"
#include "av-convert.h"
#include "av-io.h"

#include <libavcodec/avcodec.h>
#include <libavutil/opt.h>
#include <stdio.h>
#include <string.h>

struct AvWriter {
  AvFile file;
  AVFormatContext *format;
  AVCodecContext *codec;
  AVStream *stream;
  AVFrame *frame;
  AVPacket *packet;
  int64_t next; /* number of the next frame */
};

/* "WHAT: REASON", the system's own reason first: "No space left on device" beats libav's "I/O error". */
static int
explain (const AvWriter *writer, const char *what, int code, char *why, size_t why_size)
{
  char reason[AV_ERROR_MAX_STRING_SIZE];
  if (writer->file.error != 0)
    code = AVERROR (writer->file.error);
  av_strerror (code, reason, sizeof reason);
  snprintf (why, why_size, "%s: %s", what, reason);
  return -1;
}

int
av_writer_has_encoder (const char *encoder)
{
  return avcodec_find_encoder_by_name (encoder) != NULL;
}

void
av_writer_describe (const AvSettings *settings, char *text, size_t size)
{
  const unsigned v = avcodec_version ();
  snprintf (text, size, "%s (Lavc%u.%u.%u), crf %d%s%s, %d thread%s", settings->encoder, AV_VERSION_MAJOR (v),
            AV_VERSION_MINOR (v), AV_VERSION_MICRO (v), settings->crf, settings->preset != NULL ? ", preset " : "",
            settings->preset != NULL ? settings->preset : "", settings->threads, settings->threads == 1 ? "" : "s");
}

static int
open_codec (AvWriter *writer, const AvSettings *settings, char *why, size_t why_size)
{
  const AVCodec *encoder = avcodec_find_encoder_by_name (settings->encoder);
  if (encoder == NULL)
    {
      snprintf (why, why_size, "this libavcodec has no encoder '%s'; choose another format", settings->encoder);
      return -1;
    }
  AVCodecContext *codec = writer->codec = avcodec_alloc_context3 (encoder);
  if (codec == NULL)
    return explain (writer, "cannot prepare the encoder", AVERROR (ENOMEM), why, why_size);
  codec->width = settings->width;
  codec->height = settings->height;
  codec->framerate = av_d2q (settings->fps, 1001000);
  codec->time_base = av_inv_q (codec->framerate);
  codec->pix_fmt = AV_PIX_FMT_YUV420P;
  codec->color_range = AVCOL_RANGE_MPEG;
  codec->color_primaries = AVCOL_PRI_BT709;
  codec->color_trc = AVCOL_TRC_BT709;
  codec->colorspace = AVCOL_SPC_BT709;
  codec->chroma_sample_location = AVCHROMA_LOC_LEFT;
  codec->thread_count = settings->threads;
  codec->flags |= AV_CODEC_FLAG_BITEXACT;
  if ((writer->format->oformat->flags & AVFMT_GLOBALHEADER) != 0)
    codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  AVDictionary *options = NULL;
  av_dict_set_int (&options, "crf", settings->crf, 0);
  if (settings->preset != NULL)
    av_dict_set (&options, "preset", settings->preset, 0);
  if (!strcmp (settings->encoder, "libvpx-vp9"))
    {
      /* Constant quality wants a bit rate of zero. */
      av_dict_set (&options, "b", "0", 0);
      av_dict_set (&options, "deadline", "good", 0);
      av_dict_set (&options, "cpu-used", "3", 0);
    }
  const int code = avcodec_open2 (codec, encoder, &options);
  /* What is left over was understood by nobody: this libavcodec is not one that we know. */
  const AVDictionaryEntry *left = code < 0 ? NULL : av_dict_get (options, "", NULL, AV_DICT_IGNORE_SUFFIX);
  if (left != NULL)
    snprintf (why, why_size, "encoder '%s' of this libavcodec does not know the option '%s'", settings->encoder, left->key);
  av_dict_free (&options);
  if (code < 0)
    return explain (writer, "cannot start the encoder", code, why, why_size);
  return left != NULL ? -1 : 0;
}

static int
open_muxer (AvWriter *writer, const AvSettings *settings, const SoraKitTag *tags, int n_tags, char *why, size_t why_size)
{
  AVFormatContext *format = writer->format;
  writer->stream = avformat_new_stream (format, NULL);
  if (writer->stream == NULL)
    return explain (writer, "cannot prepare the file", AVERROR (ENOMEM), why, why_size);
  writer->stream->time_base = writer->codec->time_base;
  writer->stream->avg_frame_rate = writer->codec->framerate;
  int code = avcodec_parameters_from_context (writer->stream->codecpar, writer->codec);
  format->flags |= AVFMT_FLAG_BITEXACT;
  for (int i = 0; i < n_tags && code >= 0; i++)
    code = av_dict_set (&format->metadata, tags[i].key, tags[i].value, 0);
  AVDictionary *options = NULL;
  if (!strcmp (settings->container, "mp4"))
    av_dict_set (&options, "movflags", "+faststart+use_metadata_tags", 0);
  if (code >= 0)
    code = avformat_write_header (format, &options);
  av_dict_free (&options);
  return code < 0 ? explain (writer, "cannot begin the file", code, why, why_size) : 0;
}

static int
open_frames (AvWriter *writer, char *why, size_t why_size)
{
  writer->frame = av_frame_alloc ();
  writer->packet = av_packet_alloc ();
  if (writer->frame == NULL || writer->packet == NULL)
    return explain (writer, "cannot prepare the frames", AVERROR (ENOMEM), why, why_size);
  return 0;
}

AvWriter *
av_writer_new (int fd, const AvSettings *settings, const SoraKitTag *tags, int n_tags, char *why, size_t why_size)
{
  /* What goes wrong is told through @why; x264's statistics are nobody's business here. */
  av_log_set_level (AV_LOG_FATAL);
  AvWriter *writer = av_mallocz (sizeof *writer);
  if (writer == NULL)
    {
      snprintf (why, why_size, "out of memory");
      return NULL;
    }
  writer->file.fd = fd;
  int code = avformat_alloc_output_context2 (&writer->format, NULL, settings->container, NULL);
  if (code < 0)
    explain (writer, "cannot prepare the file", code, why, why_size);
  if (code >= 0)
    {
      av_io_attach (writer->format, &writer->file);
      writer->format->pb = av_io_new (&writer->file, 1);
      code = writer->format->pb != NULL ? 0 : explain (writer, "cannot prepare the file", AVERROR (ENOMEM), why, why_size);
    }
  if (code < 0 || open_codec (writer, settings, why, why_size) != 0
      || open_muxer (writer, settings, tags, n_tags, why, why_size) != 0
      || open_frames (writer, why, why_size) != 0)
    {
      av_writer_free (writer);
      return NULL;
    }
  return writer;
}

/* Sends a frame, or NULL for the end, and writes what the encoder has ready. */
static int
encode (AvWriter *writer, AVFrame *frame, char *why, size_t why_size)
{
  int code = avcodec_send_frame (writer->codec, frame);
  if (code < 0)
    return explain (writer, "cannot encode", code, why, why_size);
  for (;;)
    {
      code = avcodec_receive_packet (writer->codec, writer->packet);
      if (code == AVERROR (EAGAIN) || code == AVERROR_EOF)
        return 0;
      if (code < 0)
        return explain (writer, "cannot encode", code, why, why_size);
      if (writer->packet->duration == 0)
        writer->packet->duration = 1;
      av_packet_rescale_ts (writer->packet, writer->codec->time_base, writer->stream->time_base);
      writer->packet->stream_index = writer->stream->index;
      code = av_interleaved_write_frame (writer->format, writer->packet);
      if (code < 0 || writer->file.error != 0)
        return explain (writer, "cannot write the file", code, why, why_size);
    }
}

int
av_writer_frame (AvWriter *writer, const uint8_t *rgb, char *why, size_t why_size)
{
  /* A new buffer each time: the encoder keeps those that it was given. */
  av_frame_unref (writer->frame);
  writer->frame->format = AV_PIX_FMT_YUV420P;
  writer->frame->width = writer->codec->width;
  writer->frame->height = writer->codec->height;
  writer->frame->color_range = writer->codec->color_range;
  writer->frame->color_primaries = writer->codec->color_primaries;
  writer->frame->color_trc = writer->codec->color_trc;
  writer->frame->colorspace = writer->codec->colorspace;
  writer->frame->chroma_location = writer->codec->chroma_sample_location;
  const int code = av_frame_get_buffer (writer->frame, 0);
  if (code < 0)
    return explain (writer, "cannot hold a frame", code, why, why_size);
  av_yuv420_from_rgb (rgb, writer->codec->width, writer->codec->height, writer->frame->data, writer->frame->linesize);
  writer->frame->pts = writer->next++;
  return encode (writer, writer->frame, why, why_size);
}

int
av_writer_append_xmp (AvWriter *writer, const char *xmp, char *why, size_t why_size)
{
  static const uint8_t id[16] = { 0xbe, 0x7a, 0xcf, 0xcb, 0x97, 0xa9, 0x42, 0xe8,
                                  0x9c, 0x71, 0x99, 0x94, 0x91, 0xe3, 0xaf, 0xac };
  AVIOContext *io = writer->format->pb;
  const size_t length = strlen (xmp);
  const int64_t end = avio_size (io); /* the muxer may have left it anywhere */
  if (end < 0 || avio_seek (io, end, SEEK_SET) < 0)
    return explain (writer, "cannot write the file", end < 0 ? (int) end : AVERROR (EIO), why, why_size);
  avio_wb32 (io, (unsigned) (8 + sizeof id + length));
  avio_write (io, (const unsigned char *) "uuid", 4);
  avio_write (io, id, sizeof id);
  avio_write (io, (const unsigned char *) xmp, (int) length);
  avio_flush (io);
  if (io->error < 0 || writer->file.error != 0)
    return explain (writer, "cannot write the file", io->error, why, why_size);
  return 0;
}

int
av_writer_finish (AvWriter *writer, char *why, size_t why_size)
{
  if (encode (writer, NULL, why, why_size) != 0)
    return -1;
  const int code = av_write_trailer (writer->format);
  avio_flush (writer->format->pb);
  if (code < 0 || writer->file.error != 0 || writer->format->pb->error < 0)
    return explain (writer, "cannot write the file", code < 0 ? code : writer->format->pb->error, why, why_size);
  return 0;
}

void
av_writer_free (AvWriter *writer)
{
  if (writer == NULL)
    return;
  if (writer->format != NULL)
    {
      AVIOContext *io = writer->format->pb;
      writer->format->pb = NULL;
      avformat_free_context (writer->format);
      av_io_free (&io);
    }
  avcodec_free_context (&writer->codec);
  av_frame_free (&writer->frame);
  av_packet_free (&writer->packet);
  av_free (writer);
}
