/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * media-host: a host for one stage that takes frames.  Unlike the mini host of tests/kit it cuts the frames into chunks
 * as told, carries attributes of every type, answers info() and keeps the files that a stage creates, so that tests hold
 * their bytes; libsora-core's own host stands behind the tests of tests/cli.
 */
#ifndef SORA_MEDIA_HOST_H
#define SORA_MEDIA_HOST_H

#include <stddef.h>
#include <stdint.h>

#include "sora-plugin.h"

typedef struct MediaHost MediaHost;

typedef struct {
  char name[64], media_type[32];
  int fd;
  uint8_t *data; /* read back after the run */
  size_t size;
} MediaFile;

/* The one stage of plugin @id, loaded from the build's folder; aborts the test if it is not there. */
MediaHost *media_host_new (const char *id);
void media_host_free (MediaHost *media);

/* Undeclared parameters and values of other types abort the test. */
void media_host_set_i64 (MediaHost *media, const char *name, int64_t value); /* also BOOL */
void media_host_set_f64 (MediaHost *media, const char *name, double value);
void media_host_set_string (MediaHost *media, const char *name, const char *value); /* also ENUM */
void media_host_set_info (MediaHost *media, const char *key, const char *value); /* value NULL: none */
void media_host_set_fps (MediaHost *media, double fps); /* 0: the frames do not say */
void media_host_set_mark (MediaHost *media, const char *watermark); /* NULL: the frames do not say */
/* [frames, height, width, 3] of @data, which must outlive the runs, @chunk frames a tensor.  @promised: the number in
 * the spec, -1: not known. */
void media_host_set_frames (MediaHost *media, int dtype, int frames, int height, int width, const void *data, int chunk);
void media_host_set_promised (MediaHost *media, int64_t promised);
/* The tensors have another owner: the stage must not write them. */
void media_host_share (MediaHost *media);
void media_host_cancel_after (MediaHost *media, int asked); /* cancelled() says yes from then on */

int media_host_infer (MediaHost *media);
int media_host_run (MediaHost *media); /* infer first; checks that nothing leaks */

const char *media_host_error (const MediaHost *media);
const SoraCost *media_host_cost (const MediaHost *media);
const char *media_host_output_mark (const MediaHost *media); /* "" if not set */
double media_host_output_fps (const MediaHost *media);       /* 0 if not set */
const uint8_t *media_host_output (const MediaHost *media, size_t *size); /* of all pushed tensors, joined */
int media_host_n_files (const MediaHost *media);
const MediaFile *media_host_file (const MediaHost *media, int index);
uint64_t media_host_reserved_peak (const MediaHost *media);

/* Frames with something to see in them, the same each time: [frames, height, width, 3]. */
uint8_t *media_test_frames (int frames, int height, int width);

#endif
