/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * test-encode-av: libavformat reads back as many frames as went in, close to what they were, tagged as they are; the
 * same frames give the same bytes; the file says what made it, and no more than was asked for.
 */
#define _GNU_SOURCE
#include "media-host.h"

#include "plugins/encode-av/av-convert.h"

#include <check.h>
#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { W = 96, H = 64, T = 13, FRAME = W * H * 3 };

static const char *const formats[] = { "mp4", "webm" };

static MediaHost *
host_with (const uint8_t *data, const char *format, int chunk)
{
  MediaHost *media = media_host_new ("encode-av");
  media_host_set_frames (media, SORA_U8, T, H, W, data, chunk);
  media_host_set_string (media, "format", format);
  media_host_set_string (media, "preset", "veryfast");
  media_host_set_mark (media, "visible");
  media_host_set_info (media, "version", "9.8.7");
  media_host_set_info (media, "model", "small@0123");
  media_host_set_info (media, "pipeline", "text-to-video");
  media_host_set_info (media, "seed", "42");
  media_host_set_info (media, "stages", "text=text-umt5 0.1.0");
  return media;
}

static const MediaFile *
run (MediaHost *media)
{
  ck_assert_msg (media_host_run (media) == SORA_OK, "%s", media_host_error (media));
  ck_assert_int_eq (media_host_n_files (media), 1);
  ck_assert_uint_le (media_host_reserved_peak (media), media_host_cost (media)->work_bytes);
  return media_host_file (media, 0);
}

/* ------------------------------------------------------------------------------------------ reading -- */

typedef struct {
  const MediaFile *file;
  int64_t at;
} Source;

static int
on_read (void *opaque, uint8_t *data, int size)
{
  Source *source = opaque;
  const int64_t left = (int64_t) source->file->size - source->at;
  if (left <= 0)
    return AVERROR_EOF;
  const int n = left < size ? (int) left : size;
  memcpy (data, source->file->data + source->at, (size_t) n);
  source->at += n;
  return n;
}

static int64_t
on_seek (void *opaque, int64_t offset, int whence)
{
  Source *source = opaque;
  if (whence == AVSEEK_SIZE)
    return (int64_t) source->file->size;
  return source->at = whence == SEEK_CUR ? source->at + offset : whence == SEEK_END ? (int64_t) source->file->size + offset : offset;
}

typedef struct {
  Source source;
  AVIOContext *io;
  AVFormatContext *format;
  AVCodecContext *codec;
} Reader;

static void
reader_open (Reader *reader, const MediaFile *file)
{
  *reader = (Reader) { .source = { file, 0 } };
  reader->io = avio_alloc_context (av_malloc (4096), 4096, 0, &reader->source, on_read, NULL, on_seek);
  reader->format = avformat_alloc_context ();
  reader->format->pb = reader->io;
  ck_assert_int_eq (avformat_open_input (&reader->format, NULL, NULL, NULL), 0);
  ck_assert_int_ge (avformat_find_stream_info (reader->format, NULL), 0);
  ck_assert_uint_eq (reader->format->nb_streams, 1);
  const AVCodecParameters *parameters = reader->format->streams[0]->codecpar;
  const AVCodec *decoder = avcodec_find_decoder (parameters->codec_id);
  reader->codec = avcodec_alloc_context3 (decoder);
  reader->codec->thread_count = 1;
  avcodec_parameters_to_context (reader->codec, parameters);
  ck_assert_int_eq (avcodec_open2 (reader->codec, decoder, NULL), 0);
}

static void
reader_close (Reader *reader)
{
  avcodec_free_context (&reader->codec);
  avformat_close_input (&reader->format);
  av_freep (&reader->io->buffer);
  avio_context_free (&reader->io);
}

static const char *
tag (const Reader *reader, const char *key)
{
  const AVDictionaryEntry *entry = av_dict_get (reader->format->metadata, key, NULL, 0);
  return entry ? entry->value : "";
}

/* Sum of squared differences of luma to that of the frames, and the number of frames. */
static double
compare (Reader *reader, const uint8_t *data, int *frames)
{
  uint8_t *planes[3] = { malloc (W * H), malloc (W * H / 4), malloc (W * H / 4) };
  const int strides[3] = { W, W / 2, W / 2 };
  AVPacket *packet = av_packet_alloc ();
  AVFrame *frame = av_frame_alloc ();
  double sum = 0;
  int more = 1;
  *frames = 0;
  while (more)
    {
      more = av_read_frame (reader->format, packet) >= 0;
      ck_assert_int_ge (avcodec_send_packet (reader->codec, more ? packet : NULL), 0);
      av_packet_unref (packet);
      while (avcodec_receive_frame (reader->codec, frame) == 0)
        {
          ck_assert_int_lt (*frames, T);
          av_yuv420_from_rgb (data + (*frames)++ * FRAME, W, H, planes, strides);
          for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++)
              {
                const int d = frame->data[0][y * frame->linesize[0] + x] - planes[0][y * W + x];
                sum += d * d;
              }
          av_frame_unref (frame);
        }
    }
  av_frame_free (&frame);
  av_packet_free (&packet);
  for (int i = 0; i < 3; i++)
    free (planes[i]);
  return sum;
}

/* -------------------------------------------------------------------------------------------- tests -- */

START_TEST (test_decodes)
{
  uint8_t *data = media_test_frames (T, H, W);
  MediaHost *media = host_with (data, formats[_i], 4);
  media_host_set_fps (media, 12.5);
  const MediaFile *file = run (media);
  Reader reader;
  int frames;
  ck_assert_str_eq (file->name, _i == 0 ? "clip.mp4" : "clip.webm");
  ck_assert_str_eq (file->media_type, _i == 0 ? "video/mp4" : "video/webm");
  reader_open (&reader, file);
  const AVCodecParameters *p = reader.format->streams[0]->codecpar;
  ck_assert_int_eq (p->codec_id, _i == 0 ? AV_CODEC_ID_H264 : AV_CODEC_ID_VP9);
  ck_assert (p->width == W && p->height == H);
  ck_assert_int_eq (p->color_range, AVCOL_RANGE_MPEG);
  ck_assert_int_eq (p->color_primaries, AVCOL_PRI_BT709);
  ck_assert_int_eq (p->color_trc, AVCOL_TRC_BT709);
  ck_assert_int_eq (p->color_space, AVCOL_SPC_BT709);
  ck_assert_int_eq (av_cmp_q (reader.format->streams[0]->avg_frame_rate, (AVRational) { 25, 2 }), 0);
  const double psnr = 10 * log10 (255 * 255 / (compare (&reader, data, &frames) / (T * W * H)));
  ck_assert_int_eq (frames, T);
  ck_assert_msg (psnr > 36, "%.1f dB", psnr);
  reader_close (&reader);
  free (data);
  media_host_free (media);
}
END_TEST

START_TEST (test_same_bytes)
{
  uint8_t *data = media_test_frames (T, H, W);
  float *values = malloc (T * FRAME * sizeof *values);
  for (int i = 0; i < T * FRAME; i++)
    values[i] = (float) data[i] / 255.0f;
  MediaHost *a = host_with (data, formats[_i], 4);
  const MediaFile *first = run (a);
  for (int way = 0; way < 3; way++)
    {
      MediaHost *b = host_with (data, formats[_i], way == 0 ? 4 : way == 1 ? 1 : T);
      if (way == 2)
        media_host_set_frames (b, SORA_F32, T, H, W, values, 5);
      const MediaFile *again = run (b);
      ck_assert_uint_eq (first->size, again->size);
      ck_assert_mem_eq (first->data, again->data, first->size);
      media_host_free (b);
    }
  /* And they depend on what is in them. */
  data[FRAME / 2] ^= 0xff;
  MediaHost *c = host_with (data, formats[_i], 4);
  const MediaFile *other = run (c);
  ck_assert (other->size != first->size || memcmp (other->data, first->data, first->size) != 0);
  media_host_free (c);
  media_host_free (a);
  free (values);
  free (data);
}
END_TEST

static int
holds (const MediaFile *file, const char *text)
{
  return memmem (file->data, file->size, text, strlen (text)) != NULL;
}

START_TEST (test_metadata)
{
  uint8_t *data = media_test_frames (T, H, W);
  MediaHost *media = host_with (data, formats[_i], 4);
  Reader reader;
  const MediaFile *file = run (media);
  reader_open (&reader, file);
  ck_assert_str_eq (tag (&reader, "sorad.model"), "small@0123");
  ck_assert_str_eq (tag (&reader, "sorad.pipeline"), "text-to-video");
  ck_assert_str_eq (tag (&reader, "sorad.seed"), "42");
  ck_assert_str_eq (tag (&reader, "sorad.version"), "9.8.7");
  ck_assert_str_eq (tag (&reader, "sorad.stages"), "text=text-umt5 0.1.0");
  ck_assert_str_eq (tag (&reader, "sorad.watermark"), "visible");
  ck_assert_str_eq (tag (&reader, "sorad.prompt"), "");
  ck_assert_ptr_nonnull (strstr (tag (&reader, "sorad.encoder"), _i == 0 ? "libx264" : "libvpx-vp9"));
  ck_assert_ptr_nonnull (strstr (tag (&reader, "comment"), "trainedAlgorithmicMedia"));
  ck_assert_str_eq (tag (&reader, "creation_time"), "");
  reader_close (&reader);
  if (_i == 0)
    ck_assert (holds (file, "Iptc4xmpExt:DigitalSourceType"));

  media_host_set_info (media, "metadata", "full");
  media_host_set_info (media, "prompt", "ein roter Ball \xc3\xbc" "ber Gras");
  media_host_set_mark (media, "off");
  reader_open (&reader, run (media));
  ck_assert_str_eq (tag (&reader, "sorad.prompt"), "ein roter Ball \xc3\xbc" "ber Gras");
  ck_assert_str_eq (tag (&reader, "sorad.watermark"), "off");
  reader_close (&reader);

  media_host_set_info (media, "metadata", "none");
  media_host_set_info (media, "prompt", NULL);
  file = run (media);
  reader_open (&reader, file);
  ck_assert_str_eq (tag (&reader, "sorad.watermark"), "off");
  ck_assert (!holds (file, "small@") && !holds (file, "text-umt5") && !holds (file, "Iptc4xmpExt"));
  reader_close (&reader);
  media_host_set_mark (media, "visible");
  file = run (media);
  ck_assert (!holds (file, "sorad"));
  free (data);
  media_host_free (media);
}
END_TEST

/* A player that has the first part of an MP4 can begin. */
START_TEST (test_index_in_front)
{
  uint8_t *data = media_test_frames (T, H, W);
  MediaHost *media = host_with (data, "mp4", 4);
  const MediaFile *file = run (media);
  const uint8_t *moov = memmem (file->data, file->size, "moov", 4), *mdat = memmem (file->data, file->size, "mdat", 4);
  ck_assert (moov && mdat && moov < mdat);
  /* Boxes fill the file to its last byte. */
  size_t at = 0;
  while (at + 8 <= file->size)
    at += (size_t) file->data[at] << 24 | (size_t) file->data[at + 1] << 16 | (size_t) file->data[at + 2] << 8 | file->data[at + 3];
  ck_assert_uint_eq (at, file->size);
  free (data);
  media_host_free (media);
}
END_TEST

/* The integers against BT.709 written out in real numbers. */
START_TEST (test_conversion)
{
  enum { CW = 16, CH = 8 };
  uint8_t rgb[CH * CW * 3], planes_data[3][CW * CH];
  uint8_t *const planes[3] = { planes_data[0], planes_data[1], planes_data[2] };
  const int strides[3] = { CW, CW / 2, CW / 2 };
  unsigned state = 1;
  double worst = 0;
  for (int round = 0; round < 400; round++)
    {
      for (size_t i = 0; i < sizeof rgb; i++)
        {
          state = state * 1664525 + 1013904223;
          /* The corners of the cube in the first rounds, anything in the others. */
          rgb[i] = round < 50 ? (state >> 31 ? 255 : 0) : (uint8_t) (state >> 24);
        }
      av_yuv420_from_rgb (rgb, CW, CH, planes, strides);
      for (int y = 0; y < CH; y++)
        for (int x = 0; x < CW; x++)
          {
            const uint8_t *p = rgb + (y * CW + x) * 3;
            const double luma = 16 + 219.0 / 255 * (0.2126 * p[0] + 0.7152 * p[1] + 0.0722 * p[2]);
            worst = fmax (worst, fabs (luma - planes[0][y * CW + x]));
          }
      for (int y = 0; y < CH; y += 2)
        for (int x = 0; x < CW; x += 2)
          {
            double mean[3] = { 0 };
            for (int j = 0; j < 2; j++)
              for (int i = -1; i < 2; i++)
                for (int c = 0; c < 3; c++)
                  mean[c] += rgb[((y + j) * CW + (x + i < 0 ? 0 : x + i)) * 3 + c] * (i == 0 ? 0.25 : 0.125);
            const double luma = 0.2126 * mean[0] + 0.7152 * mean[1] + 0.0722 * mean[2];
            const double cb = 128 + 224.0 / 255 * (mean[2] - luma) / 1.8556, cr = 128 + 224.0 / 255 * (mean[0] - luma) / 1.5748;
            worst = fmax (worst, fabs (cb - planes[1][y / 2 * CW / 2 + x / 2]));
            worst = fmax (worst, fabs (cr - planes[2][y / 2 * CW / 2 + x / 2]));
          }
    }
  ck_assert_double_le (worst, 0.502);
  /* Greys have no colour; black and white are the ends of the limited range. */
  for (int grey = 0; grey < 256; grey++)
    {
      memset (rgb, grey, sizeof rgb);
      av_yuv420_from_rgb (rgb, CW, CH, planes, strides);
      ck_assert (planes[1][3] == 128 && planes[2][3] == 128);
      ck_assert (grey > 0 || planes[0][0] == 16);
      ck_assert (grey < 255 || planes[0][0] == 235);
    }
}
END_TEST

START_TEST (test_refusals)
{
  uint8_t *data = media_test_frames (T, H, W);
  MediaHost *media = host_with (data, "mp4", 4);
  media_host_set_frames (media, SORA_U8, 1, H, W - 1, data, 1);
  ck_assert_int_eq (media_host_infer (media), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (media_host_error (media), "95x64"));
  media_host_set_frames (media, SORA_U8, 0, H, W, data, 1);
  media_host_set_promised (media, T);
  ck_assert_int_eq (media_host_run (media), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (media_host_error (media), "without a frame"));
  media_host_set_frames (media, SORA_U8, T, H, W, data, 4);
  media_host_cancel_after (media, 6);
  ck_assert_int_eq (media_host_run (media), SORA_CANCELLED);
  free (data);
  media_host_free (media);
}
END_TEST

/* A limit on the size of files stands in for a full disk: early, while frames are written, and late, when MP4's index
 * is put in front. */
START_TEST (test_no_room)
{
  uint8_t *data = media_test_frames (T, H, W);
  MediaHost *media = host_with (data, formats[_i % 2], 4);
  media_host_set_i64 (media, "crf", 4);
  const rlim_t whole = (rlim_t) run (media)->size;
  signal (SIGXFSZ, SIG_IGN);
  const struct rlimit limit = { _i < 2 ? 512 : whole - 16, RLIM_INFINITY };
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &limit), 0);
  ck_assert_int_eq (media_host_run (media), SORA_FAILED);
  ck_assert_msg (strstr (media_host_error (media), strerror (EFBIG)) != NULL, "%s", media_host_error (media));
  free (data);
  media_host_free (media);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("encode-av");
  TCase *tcase = tcase_create ("av");
  av_log_set_level (AV_LOG_ERROR);
  tcase_add_loop_test (tcase, test_decodes, 0, 2);
  tcase_add_loop_test (tcase, test_same_bytes, 0, 2);
  tcase_add_loop_test (tcase, test_metadata, 0, 2);
  tcase_add_test (tcase, test_index_in_front);
  tcase_add_test (tcase, test_conversion);
  tcase_add_test (tcase, test_refusals);
  tcase_add_loop_test (tcase, test_no_room, 0, 4);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed != 0;
}
