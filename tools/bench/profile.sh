#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# profile.sh [CASE [OPTION...]]: where the processor time of a case of sora-bench goes (embedded), by perf: matrix and
# convolution kernels, work on elements, moving data into order, oneDNN's way to its kernels, and overheads, which are all
# else: the kernel, the C library, OpenMP, and the stages' own calls.  A function that no list names is an overhead.
# The bench's own loops are left out.  SORA_BENCH names the program.
set -eu
bench=${SORA_BENCH:-sora-bench}
case=${1:-embedded}
[ $# -eq 0 ] || shift
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
data=$folder/perf.data
# oneDNN tells perf which code it has written (DNNL_JIT_PROFILE is 2.x's name of it too).
ONEDNN_JIT_PROFILE=6 DNNL_JIT_PROFILE=6 JITDUMPDIR=$folder \
  perf record -q -e cpu-clock -F 1999 -o "$data" "$bench" --quiet --threads 1 --repeat 20 "$@" "$case" > /dev/null
perf report -i "$data" --sort dso,sym --percent-limit 0 2> /dev/null | awk '
  BEGIN {
    # Of the plugins; what a compiler adds to a name for an instruction set is cut off first.
    product = "^(avx512|avx2|sse|base|scalar)_[0-9]+_[0-9]+$|^(few_task|product_task|run_few|point_task)$|gemm_kernel|_kernel$|^dot_|_dot$|winograd"
    element = "norm|softmax|scale_rows|gate|rope|picture|unipc|guide|sincos|kit_log|kit_exp|f16|modulat|attention|silu|gelu|embed|rng|normal|upsample|add_rows|bias|quanti|bucket|sampler"
    order = "patch_in|patch_out|input_task|output_task|pack|turn_rows|joint_rows|gather|scatter|transform|shift|copy|interleave|sora_vae_plane"
  }
  /^#/ || NF < 3 { next }
  {
    share = $1 + 0; sub (/%/, "", share)
    name = $0; sub (/^.*\[[.k]\] */, "", name); sub (/\.(arch|constprop|isra|part|cold|_omp_fn|default|avx).*$/, "", name)
    if (/sora-bench/) next
    kind = "overheads"
    if (/\[JIT\]|\[anon\]|\/\/anon|jitted-/) kind = "oneDNN: kernels"
    else if (/libdnnl/) kind = "oneDNN: the way to them"
    else if ($2 ~ /^(dit-wan|vae-wan|vae-tiny|text-umt5)\.so$/)
      {
        if (name ~ product) kind = "own kernels of products"
        else if (name ~ element) kind = "work on elements"
        else if (name ~ order) kind = "moving data into order"
        else rest[name] += share
      }
    else rest["(" $2 ")"] += share
    sum[kind] += share; all += share
  }
  END {
    if (all == 0) { print "perf has seen nothing"; exit 1 }
    n = split ("oneDNN: kernels;own kernels of products;work on elements;moving data into order;oneDNN: the way to them;overheads", kinds, ";")
    for (i = 1; i <= n; i++) printf "%-28s %5.1f %%\n", kinds[i], 100 * sum[kinds[i]] / all
    print "\nof the overheads:"
    for (name in rest) if (rest[name] / all >= 0.002) printf "  %-40s %5.1f %%\n", name, 100 * rest[name] / all | "sort -k2 -rn"
  }'
