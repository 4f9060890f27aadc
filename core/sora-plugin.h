/* SPDX-License-Identifier: MIT
 *
 * sora-plugin.h: the plugin ABI of sorad, version 1.
 *
 * A plugin is a shared object that exports ONE data symbol, `sora_plugin` (SORA_PLUGIN_SYMBOL), a
 * SoraPlugin.  It includes this file, links to nothing of ours, and asks the host for everything else
 * through the SoraHost table that every call receives.  docs/plugin-howto.md builds one in 100 lines.
 *
 * RULES THAT HOLD FOR ALL OF IT
 *
 *  - Every struct begins with `struct_size`, set by its writer to sizeof of the struct it was compiled
 *    with.  The reader never looks past it: fields that are missing read as zero.  A struct shorter than
 *    its 1.0 size is refused.  Fields are only ever appended, in a minor version.
 *  - Tables (ports, parameters, stages) are NULL-terminated arrays of pointers to const structs, and all
 *    strings are UTF-8.  They live as long as the plugin is loaded, which is for ever: plugins are never
 *    closed.
 *  - A function returns SORA_OK (0) or a negative SoraResult.  A plugin function that returns
 *    SORA_FAILED must have called host->fail() with the reason.
 *  - Threads: create, infer, release and destroy are never called at the same time for one instance.
 *    `run` has a thread of its own, on which all host calls of that run are made, except those that say
 *    "any thread".  Heavy work goes through host->compute(); inside it those that do not wait may be called
 *    as well, but never pull, push, reserve or compute.
 *  - The floating-point control bits (MXCSR without its flags, x87 control word) must be unchanged at
 *    each return and at each host call on the stage thread; a change fails the stage.
 *  - The verb tells ownership: `push` and `make_writable` consume the reference they are given, whatever
 *    they return; `pull` and `tensor_new` give one.
 *
 * PHASES
 *
 *   infer     pure: input specs and parameters to output specs and cost.  No instance, no weights, no
 *             side effect; must be quick (milliseconds).  Called again whenever something changed.
 *   create    load-time parameters and models to an instance.  Touches no weights.
 *   run       pulls, works, pushes.  Called any number of times on one instance.  A stage pulls first,
 *             then asks for its weights, so that the memory of the stages before it can be given back.
 *   release   give back what `weights_open` and SORA_MEMORY_WEIGHTS brought; the instance stays usable.
 *   destroy   the end of the instance.
 *
 * Each host function below names the phases in which it may be called, [infer create run]; a call in
 * another phase fails the stage by name.
 */
#ifndef SORA_PLUGIN_H
#define SORA_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SORA_PLUGIN_MAGIC 0x41524f53u /* "SORA", little endian */
#define SORA_ABI_MAJOR 1u
#define SORA_ABI_MINOR 2u
#define SORA_PLUGIN_SYMBOL "sora_plugin"

#if defined(__GNUC__)
#define SORA_PRINTF(f, a) __attribute__ ((format (printf, f, a)))
#define SORA_EXPORT __attribute__ ((visibility ("default")))
#else
#define SORA_PRINTF(f, a)
#define SORA_EXPORT
#endif

/* ---------------------------------------------------------------------------------------- values -- */

typedef enum {
  SORA_OK = 0,
  SORA_EOS = 1,          /* pull: the stream has ended; no tensor was returned */
  SORA_FAILED = -1,      /* the reason was given to fail() */
  SORA_CANCELLED = -2,   /* the job was stopped: clean up and return this */
  SORA_NOT_FOUND = -3,   /* no such parameter, file, tensor or attribute; nothing was reported */
  SORA_UNAVAILABLE = -4, /* the host cannot do this here (no checkpoint store ...); not an error by itself */
} SoraResult;

typedef enum {
  SORA_DTYPE_INVALID = 0,
  SORA_F32 = 1,
  SORA_F16 = 2,
  SORA_BF16 = 3,
  SORA_F64 = 4,
  SORA_U8 = 5,
  SORA_I8 = 6,
  SORA_I16 = 7,
  SORA_I32 = 8,
  SORA_I64 = 9,
  SORA_BOOL = 10, /* one byte, 0 or 1 */
} SoraDtype;

#define SORA_DTYPE_BIT(d) (1u << (d))

typedef struct SoraTensor SoraTensor;   /* the host's: a refcounted buffer */
typedef struct SoraContext SoraContext; /* the host's: one call of one stage */
typedef struct SoraWeights SoraWeights; /* the host's: an open component of a model */
typedef struct SoraPacked SoraPacked;   /* the host's: what a stage made of a component's weights */

/* A look at memory, shaped like DLPack's DLTensor.  Strides are in elements; host tensors are C-contiguous,
 * 64-byte aligned.  What it points to belongs to the tensor (or weights) that it was asked of. */
typedef struct {
  uint32_t struct_size;
  int32_t dtype; /* SoraDtype */
  void *data;
  const int64_t *shape;
  const int64_t *strides;
  int32_t ndim;
  uint32_t flags; /* 0 */
  uint64_t nbytes;
} SoraTensorView;

/* What flows over a port, known before it flows.  A stream is split along its first axis: `chunk` is the
 * largest extent of that axis in one tensor (0: the whole at once).  An extent of -1 is not known until run. */
typedef struct {
  uint32_t struct_size;
  int32_t dtype;
  const int64_t *shape;
  int32_t ndim;
  uint32_t flags; /* 0 */
  int64_t chunk;
} SoraSpec;

/* What a run will cost, in bytes and operations (a multiply-add is 2); an estimate within 15 % is good. */
typedef struct {
  uint32_t struct_size;
  uint32_t flags;         /* 0 */
  uint64_t weights_bytes; /* as stored in the model's files */
  uint64_t packed_bytes;  /* held while the instance is warm: what SORA_MEMORY_WEIGHTS reserves */
  uint64_t work_bytes;    /* peak of what SORA_MEMORY_WORK reserves */
  uint64_t scratch_bytes; /* scratch files */
  uint64_t output_bytes;  /* all outputs, summed over time */
  double flops;
  uint32_t steps; /* as progress() will count them; 0: none */
  uint32_t reserved;
} SoraCost;

/* ---------------------------------------------------------------------------- what a plugin declares -- */

typedef enum {
  SORA_PORT_STREAM = 1u << 0,    /* many tensors, split along the first axis */
  SORA_PORT_OPTIONAL = 1u << 1,  /* an input that may stay unconnected */
  SORA_PORT_CACHEABLE = 1u << 2, /* an output whose bytes follow from the recipe alone */
} SoraPortFlags;

typedef struct {
  uint32_t struct_size;
  uint32_t flags;       /* SoraPortFlags */
  const char *name;     /* "latents" */
  const char *semantic; /* "sora.latents.video/1"; two ports connect only if these agree */
  uint32_t dtypes;      /* SORA_DTYPE_BIT()s that it takes or may give; 0 for files */
  uint32_t reserved;
  const char *dims;     /* "C,T,H,W": symbols or numbers, one an axis; NULL for files.  A symbol
                         * has one value over all ports of the stage */
  const char *help;
} SoraPort;

typedef enum {
  SORA_PARAM_BOOL = 1,
  SORA_PARAM_I64 = 2,
  SORA_PARAM_F64 = 3,
  SORA_PARAM_STRING = 4,
  SORA_PARAM_ENUM = 5,        /* one of `choices` */
  SORA_PARAM_STRING_LIST = 6,
  SORA_PARAM_F64_LIST = 7,
  SORA_PARAM_FILE = 8,        /* the bytes of an input file */
} SoraParamType;

typedef enum {
  SORA_PARAM_LOAD = 1u << 0,     /* read in create; another value needs another instance.  Default: run-time */
  SORA_PARAM_REQUIRED = 1u << 1, /* has no default */
  SORA_PARAM_SECRET = 1u << 2,   /* never written to a file's metadata or a log unless asked for (prompts) */
} SoraParamFlags;

typedef struct {
  uint32_t struct_size;
  uint32_t type;  /* SoraParamType */
  uint32_t flags; /* SoraParamFlags */
  uint32_t reserved;
  const char *name; /* "guidance-scale" */
  const char *unit; /* "px", "frames", "s"; NULL: none */
  const char *help; /* one sentence */
  /* Defaults and inclusive ranges.  Numbers of type I64 use i64_*, F64 and F64_LIST f64_*; a range with
   * min > max, or both 0, is no limit.  BOOL uses i64_default.  Strings: at most i64_max bytes (0: 65,536). */
  int64_t i64_default, i64_min, i64_max;
  double f64_default, f64_min, f64_max;
  const char *str_default;    /* STRING, ENUM; lists: items separated by commas; NULL: empty */
  const char *const *choices; /* ENUM: NULL-terminated */
  int64_t i64_multiple;       /* I64: must be a multiple of this (0: any) */
} SoraParam;

/* A place for a model: "model" on most stages.  A pipeline's `Model=role` fills the first one. */
typedef struct {
  uint32_t struct_size;
  uint32_t flags; /* SORA_PORT_OPTIONAL: may stay empty */
  const char *name;
  const char *components; /* "text_encoder,tokenizer": what of the model is used */
} SoraModelSlot;

typedef struct SoraHost SoraHost;

typedef struct {
  uint32_t struct_size;
  uint32_t flags;         /* 0 */
  const char *id;         /* "dit-wan" */
  const char *kind;       /* what it is to a reader: "text-encoder", "denoiser", "decoder", "filter", "encoder" */
  const char *summary;    /* one line */
  const SoraPort *const *inputs;
  const SoraPort *const *outputs;
  const SoraParam *const *params;
  const SoraModelSlot *const *models;

  int (*infer) (const SoraHost *host, SoraContext *ctx);                    /* required */
  int (*create) (const SoraHost *host, SoraContext *ctx, void **instance);  /* optional */
  int (*run) (const SoraHost *host, SoraContext *ctx, void *instance);      /* required */
  void (*release) (const SoraHost *host, void *instance);                   /* required if weights are held */
  void (*destroy) (const SoraHost *host, void *instance);                   /* required with create */
} SoraStageClass;

typedef struct {
  uint32_t magic;       /* SORA_PLUGIN_MAGIC */
  uint32_t struct_size;
  uint16_t abi_major;   /* SORA_ABI_MAJOR it was built with */
  uint16_t abi_minor;   /* SORA_ABI_MINOR it was built with */
  uint16_t needs_minor; /* the lowest host minor it works with */
  uint16_t flags;       /* 0 */
  const char *id;       /* "dit-wan"; the manifest's id and the folder's name */
  const char *version;  /* "1.0.0" */
  const char *licence;  /* SPDX expression of the whole, libraries included */
  const char *summary;
  const SoraStageClass *const *stages;
  /* Can it run on this machine?  Returns SORA_OK, or SORA_UNAVAILABLE with the reason in `why`.  Optional. */
  int (*probe) (const SoraHost *host, char *why, size_t why_size);
} SoraPlugin;

/* ----------------------------------------------------------------------------------- the host table -- */

typedef enum { SORA_LOG_DEBUG = 0, SORA_LOG_INFO = 1, SORA_LOG_WARNING = 2 } SoraLogLevel;

typedef enum {
  SORA_MEMORY_WEIGHTS = 0, /* held by the instance until release() returns */
  SORA_MEMORY_WORK = 1,    /* held by this run: given back when it ends, or by unreserve */
} SoraMemoryKind;

struct SoraHost {
  uint32_t struct_size;
  uint16_t abi_major, abi_minor;
  const char *version; /* of sorad: "0.1.0" */

  /* -- Words.  log: any thread, any phase; ctx may be NULL.  A warning reaches the user. */
  void (*log) (SoraContext *ctx, int level, const char *format, ...) SORA_PRINTF (3, 4);
  /* [infer create run] Sets the stage's error text (the first one stays) and returns SORA_FAILED. */
  int (*fail) (SoraContext *ctx, const char *format, ...) SORA_PRINTF (2, 3);

  /* -- Parameters [infer run: all; create: load-time ones].  Checked and defaulted by the host.  Pointers
   * live as long as the call.  SORA_NOT_FOUND for an undeclared name or another type, which is a fault of the
   * plugin; param_is_set tells whether the user gave a value. */
  int (*param_is_set) (SoraContext *ctx, const char *name);
  int (*param_bool) (SoraContext *ctx, const char *name, int *value);
  int (*param_i64) (SoraContext *ctx, const char *name, int64_t *value);
  int (*param_f64) (SoraContext *ctx, const char *name, double *value);
  int (*param_string) (SoraContext *ctx, const char *name, const char **value); /* also ENUM */
  int (*param_strings) (SoraContext *ctx, const char *name, const char *const **values, size_t *n);
  int (*param_f64s) (SoraContext *ctx, const char *name, const double **values, size_t *n);
  int (*param_file) (SoraContext *ctx, const char *name, const void **data, size_t *size);

  /* -- Ports in infer.  input_spec [infer run]: the caller sets spec->struct_size; SORA_NOT_FOUND for an
   * unconnected optional input.  The
   * attributes of a stream or tensor ("fps", "padded_length", "watermark") are fixed in infer, and travel
   * from set_output_attr_* of one stage to input_attr_* of the next.  An output without a spec is not given
   * with these parameters; one with a spec is held to it in run: dtype, shape, chunk, length. */
  int (*input_spec) (SoraContext *ctx, const char *port, SoraSpec *spec);
  int (*set_output_spec) (SoraContext *ctx, const char *port, const SoraSpec *spec); /* [infer] */
  int (*set_cost) (SoraContext *ctx, const SoraCost *cost);                          /* [infer] */
  int (*input_attr_i64) (SoraContext *ctx, const char *port, const char *name, int64_t *value);
  int (*input_attr_f64) (SoraContext *ctx, const char *port, const char *name, double *value);
  int (*input_attr_string) (SoraContext *ctx, const char *port, const char *name, const char **value);
  int (*set_output_attr_i64) (SoraContext *ctx, const char *port, const char *name, int64_t value);
  int (*set_output_attr_f64) (SoraContext *ctx, const char *port, const char *name, double value);
  int (*set_output_attr_string) (SoraContext *ctx, const char *port, const char *name, const char *value);

  /* -- Tensors [run, any thread].  A new tensor is uninitialised, 64-byte aligned and C-contiguous. */
  SoraTensor *(*tensor_new) (SoraContext *ctx, int dtype, int ndim, const int64_t *shape); /* NULL: failed, told */
  SoraTensor *(*tensor_ref) (SoraTensor *tensor);
  void (*tensor_unref) (SoraTensor *tensor);
  void (*tensor_view) (SoraTensor *tensor, SoraTensorView *view); /* caller sets view->struct_size */
  SoraTensor *(*make_writable) (SoraContext *ctx, SoraTensor *tensor); /* consumes; same buffer if sole owner */
  SoraTensor *(*tensor_slice) (SoraTensor *tensor, int64_t start, int64_t length); /* first axis, shares memory */

  /* -- Flow [run].  pull gives SORA_OK and a reference, SORA_EOS (also for an unconnected optional input) or
   * SORA_CANCELLED.  push consumes; what was pushed must not be written any more.  Both block.  Outputs close
   * by themselves when run returns. */
  int (*pull) (SoraContext *ctx, const char *port, SoraTensor **tensor);
  int (*push) (SoraContext *ctx, const char *port, SoraTensor *tensor);

  /* -- Work [run].  compute runs fn on the one compute thread of the process, with denormals flushed to zero,
   * and returns what it returned.  `threads` there is how many OpenMP threads may be used: results must not
   * depend on it. */
  int (*compute) (SoraContext *ctx, int (*fn) (SoraContext *ctx, void *data, int threads), void *data);
  int (*cancelled) (SoraContext *ctx); /* [run, any thread]: nonzero when the job was stopped; ask every 200 ms */
  /* [run, any thread] How far this run is: 0..1, and step of steps (0 of 0: not counted). */
  void (*progress) (SoraContext *ctx, double fraction, uint32_t step, uint32_t steps);

  /* -- Randomness [run].  seed: the job's seed, for the one stream that must equal the reference's generator.
   * random_key: 32 bytes that follow from (seed, run, stage, name) by SHA-256, for everything else. */
  int (*seed) (SoraContext *ctx, uint64_t *seed);
  int (*random_key) (SoraContext *ctx, const char *name, uint8_t key[32]);

  /* -- Models.  model_file [infer create run]: the bytes of a small file ("transformer/config.json",
   * "tokenizer/spiece.model"), at most 64 MiB; live as long as the instance or the infer call.
   * tensor_info [infer create run]: dtype and shape of one tensor, from the header alone; the caller sets
   * view->struct_size, here and for weights_tensor.
   * weights_* [run]: mapped, read-only, as stored; close drops the mapping.  weights_tensor_name gives the
   * index-th name (SORA_NOT_FOUND past the end).  weights_done says that one tensor's pages are not needed again. */
  int (*model_file) (SoraContext *ctx, const char *slot, const char *name, const void **data, size_t *size);
  int (*model_tensor_info) (SoraContext *ctx, const char *slot, const char *component, const char *tensor,
                            SoraTensorView *view); /* view->data is NULL */
  int (*weights_open) (SoraContext *ctx, const char *slot, const char *component, SoraWeights **weights);
  int (*weights_tensor) (SoraWeights *weights, const char *tensor, SoraTensorView *view);
  int (*weights_tensor_name) (SoraWeights *weights, size_t index, const char **name);
  void (*weights_done) (SoraWeights *weights, const char *tensor);
  void (*weights_close) (SoraWeights *weights);

  /* -- Memory [run].  reserve waits until the job's ledger has room, asking idle instances to release; a
   * request that can never fit fails the stage with both numbers. */
  int (*reserve) (SoraContext *ctx, int kind, uint64_t bytes);
  int (*unreserve) (SoraContext *ctx, int kind, uint64_t bytes);

  /* -- State [run].  A checkpoint is one blob, replaced atomically, durable when save returns; only for stages
   * whose inputs are stored, or whole and pulled before, else SORA_UNAVAILABLE.  load: the blob of an interrupted run of the same recipe,
   * living as long as the call, or SORA_NOT_FOUND.  scratch: a descriptor of an unlinked file, yours to close. */
  int (*checkpoint_save) (SoraContext *ctx, const void *data, size_t size);
  int (*checkpoint_load) (SoraContext *ctx, const void **data, size_t *size);
  int (*scratch) (SoraContext *ctx, uint64_t bytes, int *fd);

  /* -- Results [run].  preview: the newest picture, u8 [H,W,3]; keeps no reference.  preview_wanted: somebody
   * looks.  file_create: a new, empty, seekable file of a `sora.file/1` output; the host closes and publishes
   * it if and when the whole job succeeds, and nothing of it is seen before.  `name` is a plain file name,
   * "clip.mp4"; `media_type` "video/mp4". */
  int (*preview_wanted) (SoraContext *ctx);
  void (*preview) (SoraContext *ctx, SoraTensor *picture);
  int (*file_create) (SoraContext *ctx, const char *port, const char *name, const char *media_type, int *fd);

  /* -- Provenance [create run].  What is made here and by what: "model" ("name@digest"), "pipeline", "seed",
   * "version", "stages" ("text=text-umt5 0.1.0, ..."), "metadata" ("full", "minimal" or "none"), "prompt" (only
   * with metadata=full), "job".  SORA_NOT_FOUND where there is none; in create, since an instance outlives its
   * job, for all but "version".  "model" reads the models' files the first time: it may take a while and end with
   * SORA_CANCELLED, and it fails the stage if one was changed meanwhile. */
  int (*info) (SoraContext *ctx, const char *key, const char **value);

  /* -- Since 1.1.  memory_limit [infer run]: what all stages of the job and their queues may hold at one time,
   * in bytes: the same in infer and in the run that follows.  By it a stage chooses among ways that give the same
   * and take less memory for more time; infer tells the cost of the way that run will go. */
  int (*memory_limit) (SoraContext *ctx, uint64_t *bytes);

  /* -- Since 1.2.  Packed weights [run]: what a stage makes of a component's weights (another order, another
   * precision), kept as a file and mapped by later jobs, and by other processes at the same time, in place of the
   * weights.  `key` says all that the bytes depend on but the plugin's file, the host's version, the instruction
   * set, and which files the component has, all of which the host adds: precision, layout, versions of libraries;
   * at most 4,096 bytes.  What is kept may be gone at any time, so a stage that asks must be able to make it.
   * packed_open: what was sealed under this key: whole, checked, read-only and aligned to 64 bytes; SORA_NOT_FOUND:
   * make it.  packed_new: `size` zeroed bytes to be filled, aligned to 64; reserve them before.  Ask before
   * weights_open, so that the files are those that the key is made of.  packed_seal: they are whole and will not be
   * written any more; `data` stays good, for reading.  The host keeps them if it can, in its own time; that it could
   * not is told to the user and fails nothing.  packed_close [run, release, destroy]: the bytes are gone; what was
   * not sealed is thrown away.  What release leaves open the host closes. */
  int (*packed_open) (SoraContext *ctx, const char *slot, const char *component, const char *key,
                      SoraPacked **packed, const void **data, uint64_t *size);
  int (*packed_new) (SoraContext *ctx, const char *slot, const char *component, const char *key, uint64_t size,
                     SoraPacked **packed, void **data);
  int (*packed_seal) (SoraContext *ctx, SoraPacked *packed);
  void (*packed_close) (SoraPacked *packed);
};

/* Does this host have that function?  Needed for members added after 1.0 only. */
#define SORA_HOST_HAS(host, member)                                                                     \
  ((host)->struct_size >= offsetof (SoraHost, member) + sizeof ((host)->member)                         \
   && (host)->member != NULL)

#ifdef __cplusplus
}
#endif
#endif
