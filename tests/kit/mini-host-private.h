/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the two halves of the smallest host share: its state, and how it tells of a broken rule.
 */
#pragma once
#include "mini-host.h"
#include "kit-convert.h"
#include "kit-memory.h"
#include "kit-parallel.h"

#include <dirent.h>
#include <dlfcn.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#define MAX_RANK 8
#define MAX_ITEMS 64
#define MAX_FILES 4096 /* that one instance asked for */

#define BREACH(...)                                                                                \
  do                                                                                               \
    {                                                                                              \
      fprintf (stderr, "mini-host: the stage broke a rule: " __VA_ARGS__);                         \
      fputc ('\n', stderr);                                                                        \
      abort ();                                                                                    \
    }                                                                                              \
  while (0)

struct SoraTensor
{
  SoraContext *owner;
  SoraTensor *base; /* of a slice */
  atomic_int refs;
  int dtype, ndim, pushed;
  int64_t shape[MAX_RANK], strides[MAX_RANK];
  uint64_t nbytes;
  void *data;
};

struct SoraWeights
{
  MiniHost *mini;
  MiniFile *files[MAX_ITEMS];
  int n_files;
};

typedef struct
{
  char name[32];
  int set;
  int64_t i64;
  double f64;
  char *string;
  double f64s[64];
  size_t n;
} Value;

typedef struct
{
  char port[32], name[32];
  int64_t value;
  double real; /* NAN: it is `value` */
} Attr;

typedef struct
{
  SoraTensor **items;
  size_t n, at;
  SoraSpec spec;
  int64_t shape[MAX_RANK];
  int has_spec;
} Flow;

typedef enum
{
  IDLE = 0,
  INFER = 1,
  CREATE = 2,
  RUN = 4
} Phase;

struct SoraContext
{
  SoraHost host;
  const SoraStageClass *stage;
  char model_dir[512];
  int threads, cancel_after, asked, created, in_compute;
  void *instance;
  Phase phase;
  uint64_t seed;
  Value values[MAX_ITEMS];
  Flow inputs[MAX_ITEMS], outputs[MAX_ITEMS];
  Attr in_attrs[MAX_ITEMS], out_attrs[MAX_ITEMS];
  int n_in_attrs, n_out_attrs;
  void *files[MAX_FILES];
  int n_files, n_kept_files;
  SoraWeights *header; /* of the component last asked by model_tensor_info */
  char header_component[64];
  char error[1024], warning[1024];
  SoraCost cost;
  atomic_int live;
  uint64_t reserved[2], peak[2];
  uint64_t memory_limit, scratch_bytes;
  char notes[1024];
  uint32_t step;
  int n_weights;
  int keeps;
  void *checkpoint;
  size_t checkpoint_size;
  int n_checkpoints;
  int watched, n_previews;
  uint8_t *preview; /* of the last one */
  int64_t preview_shape[3];
  int weighs; /* the heap is looked at wherever the stage asks for cancellation */
  uint64_t heap_peak;
  int fails_load;
  unsigned control;
};

struct MiniHost
{
  SoraContext ctx;
};

static inline unsigned
control_bits (void)
{
#if defined(__SSE2__)
  return _mm_getcsr () & ~0x3fu;
#else
  return 0;
#endif
}

extern const SoraHost mini_table;
void mini_weights_free (SoraWeights *weights);
void mini_flow_add (Flow *flow, SoraTensor *tensor);
void mini_flow_clear (Flow *flow);
SoraTensor *mini_host_tensor_new (SoraContext *ctx, int dtype, int ndim, const int64_t *shape);
void mini_host_tensor_view (SoraTensor *tensor, SoraTensorView *view);
const Attr *mini_find_attr (const Attr *attrs, int n, const char *port, const char *name);
void mini_add_attr (Attr *attrs, int *n, const char *port, const char *name, int64_t value, double real);
Flow *mini_input_of (SoraContext *ctx, const char *port);
Flow *mini_output_of (const SoraContext *ctx, const char *port);
int mini_find_param (SoraContext *ctx, const char *name, unsigned types);
