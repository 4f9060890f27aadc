#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Does the fuzzing find what it is there for?  Copies of the reader of safetensors are given a fault each, off by one,
# and libFuzzer has to find each of them from the usual seeds within PLANTED_RUNS runs; the copy without a fault has to
# pass as many.
set -eu
srcdir=${SORA_TEST_SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
builddir=${SORA_TEST_BUILDDIR:-.}
clang=${CLANG:-clang}
runs=${PLANTED_RUNS:-50000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

skip () {
  echo "planted: skipped: $*"
  exit 77
}
"$clang" --version >/dev/null 2>&1 || skip "'$clang' is missing: libFuzzer comes with it"
cc="$clang -std=gnu11 -g -O1 -fno-omit-frame-pointer -fno-sanitize-recover=undefined"
echo 'int LLVMFuzzerTestOneInput (const char *data, unsigned long size) { return 0; }' >"$work/none.c"
$cc -fsanitize=fuzzer,address,undefined -o "$work/none" "$work/none.c" 2>/dev/null \
  || skip "'$clang' has no libFuzzer with sanitizers (on Debian: libclang-rt-dev)"

flags="-DHAVE_CONFIG_H -DG_LOG_DOMAIN=\"fuzz\" -I$builddir -I$srcdir -I$srcdir/core -I$srcdir/tests/fuzz"
flags="$flags $(pkg-config --cflags glib-2.0 jansson)"
libs=$(pkg-config --libs glib-2.0 jansson)
objects=
compile () { # compile SOURCE OBJECT COVERAGE
  # shellcheck disable=SC2086
  $cc $flags -fsanitize=address,undefined $3 -c -o "$2" "$1"
}
counted=-fsanitize-coverage=inline-8bit-counters,pc-table
for name in sora-error sora-file sora-tensor; do
  compile "$srcdir/core/$name.c" "$work/$name.o" $counted
  objects="$objects $work/$name.o"
done
for name in fuzz-safetensors arena mutate; do
  compile "$srcdir/tests/fuzz/$name.c" "$work/$name.o" ""
  objects="$objects $work/$name.o"
done

build () { # build NAME FILE SED: the reader with FILE changed
  mkdir -p "$work/$1"
  for name in sora-safetensors-header sora-safetensors; do
    cp "$srcdir/core/$name.c" "$work/$1/$name.c"
    chmod u+w "$work/$1/$name.c"
    if [ "$name" = "$2" ]; then
      sed "$3" "$srcdir/core/$name.c" >"$work/$1/$name.c"
      ! cmp -s "$srcdir/core/$name.c" "$work/$1/$name.c" || { echo "planted: $1: nothing was changed in $2.c" >&2; exit 1; }
    fi
    compile "$work/$1/$name.c" "$work/$1/$name.o" $counted
  done
  # shellcheck disable=SC2086
  $cc -fsanitize=fuzzer,address,undefined -o "$work/$1/fuzz" "$work/$1"/*.o $objects $libs
}

try () { # try NAME: a run over the seeds and what is made of them
  mkdir "$work/$1/corpus"
  status=0
  G_SLICE=always-malloc ASAN_OPTIONS=detect_leaks=0 "$work/$1/fuzz" -runs="$runs" -seed=1 -max_len=512 -len_control=0 \
    -artifact_prefix="$work/$1/found-" "$work/$1/corpus" "$srcdir/tests/fuzz/seeds/safetensors" >"$work/$1/out" 2>&1 \
    || status=$?
}

failed=0
build sound none ''
try sound
[ $status = 0 ] || { tail -n 20 "$work/sound/out"; echo "planted: found something without a fault" >&2; failed=1; }

find_it () { # find_it NAME FILE SED SIGN
  begun=$(date +%s)
  build "$1" "$2" "$3"
  try "$1"
  took=$(($(date +%s) - begun))
  if [ $status = 0 ] || ! grep -q "$4" "$work/$1/out"; then
    tail -n 20 "$work/$1/out"
    echo "planted: $1 was not found in $runs runs" >&2
    failed=1
  else
    after=$(grep -o '^#[0-9]*' "$work/$1/out" | tail -n 1 | tr -d '#')
    echo "planted: $1: found after ${after:-no} runs beyond the seeds, $took s with the build"
  fi
}
# A tensor may end one byte behind the file.
find_it end sora-safetensors-header \
  's/entry->end > data_size/entry->end > data_size + 1/; s/at != data_size)/at != data_size \&\& at != data_size + 1)/' \
  'does not hold'
# Room for shape and strides is one number short, where there are more axes than any seed has.
find_it room sora-safetensors-header 's/g_new0 (int64_t, 2 \* ndim + 1)/g_new0 (int64_t, ndim > 3 ? 2 * ndim - 1 : 8)/' \
  'heap-buffer-overflow'
# A copy that is made for alignment begins one byte too far in the file.
find_it copy sora-safetensors 's/return memcpy (entry->copy, data, size)/return memcpy (entry->copy, data + 1, size)/' \
  'does not hold'
exit $failed
