#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Where results go: what -o means, names that are taken, and what may be replaced.
. "${SORA_TEST_SRCDIR:?make check sets it}/tests/cli/lib.sh" || exit 99

generate () { "$soractl" generate --local -q "${tiny[@]}" "$@"; }
# writes NAME PATH COMMAND...: succeeds, prints that path alone, and the file is there.
writes () {
  local name=$1 path=$2
  shift 2
  "$@" > "$work/stdout" 2> "$work/stderr" || complain "$name: failed: $(cat "$work/stderr")"
  [ "$(cat "$work/stdout")" = "$path" ] || complain "$name: printed '$(cat "$work/stdout")', expected '$path'"
  [ -s "$path" ] || complain "$name: there is no '$path'"
}

# -- Names
refuses "hidden name" 2 "named '.hidden'" generate -o .hidden.mp4 ball
refuses "name like an option" 2 "named '-x'" generate -o -x.mp4 ball
refuses "name that is not UTF-8" 2 "UTF-8" generate -o $'caf\xe9.mp4' ball
refuses "long name" 2 "1 to 128 bytes" generate -o "$(printf 'x%.0s' $(seq 200)).mp4" ball
refuses "format that the name denies" 2 "clip.webm.*format is mp4" generate --format mp4 -o clip.webm ball
refuses "a folder that is not there" 3 "no such folder" generate -o out/ ball

printf kept > scene.mp4
writes "a dot that is no ending" scene.02.mp4 generate -f -o scene.02 ball
[ "$(cat scene.mp4)" = kept ] || complain "-o scene.02 replaced scene.mp4"
writes "no ending" shot.mp4 generate -o shot ball
code=0; generate -o shot ball 2> "$work/stderr" || code=$?
[ $code -eq 1 ] && grep -q "'shot.mp4' exists; --overwrite" "$work/stderr" || complain "taken without ending: $code, $(cat "$work/stderr")"
writes "an ending that is the format" clip.webm generate -o clip.webm ball
[ "$(head -c 4 clip.webm | od -An -tx1 | tr -d ' ')" = 1a45dfa3 ] || complain "clip.webm is no WebM"
writes "an ending of another kind" still.mp4 generate -o still.png ball
grep -q "warning: 'still.mp4' is written, not 'still.png'" "$work/stderr" || complain "another ending: $(cat "$work/stderr")"

# -- Folders
mkdir folder
writes "a folder" folder/a-ball.mp4 generate -o folder "A ball"
writes "a folder again" folder/a-ball-2.mp4 generate -f -o folder/ "A ball"
[ ! -e folder.mp4 ] && [ ! -e folder/folder.mp4 ] || complain "a folder was taken for a file"

# -- One stage
"$soractl" stage run text-umt5 -m small-a -p "prompt=ball" -o text.safetensors -q > /dev/null
cp text.safetensors before
again=("$soractl" stage run text-umt5 -q -m small-a -p "prompt=cube")
code=0; "${again[@]}" -o text.safetensors > /dev/null 2> "$work/stderr" || code=$?
[ $code -eq 1 ] && cmp -s before text.safetensors || complain "stage run replaced a file: $code, $(cat "$work/stderr")"
"${again[@]}" -f -o text.safetensors > /dev/null || complain "stage run -f"
! cmp -s before text.safetensors || complain "stage run -f replaced nothing"
code=0; "${again[@]}" -o missing/text.safetensors 2> "$work/stderr" || code=$?
[ $code -eq 3 ] || complain "stage run into a missing folder: $code, $(cat "$work/stderr")"
"$soractl" stage run dit-wan -q -m small-a -i text=before:embedding -i negative=before:negative \
  -p width=32 -p height=32 -p frames=5 -p steps=1 -o latents.safetensors > /dev/null
"$soractl" stage run vae-wan -q -m small-a -i latents=latents.safetensors -o frames.safetensors > /dev/null
png=("$soractl" stage run encode-png -q -i frames=frames.safetensors)
"${png[@]}" -o file=picture.png > "$work/stdout" || complain "stage run encode-png"
[ -s picture.png ] || complain "-o PORT=FILE of an encoder: $(cat "$work/stdout")"
code=0; "${png[@]}" -o picture.png 2> "$work/stderr" || code=$?
[ $code -eq 1 ] || complain "an encoder replaced a file: $code, $(cat "$work/stderr")"
code=0; "${png[@]}" -o one.png -o two.png 2> "$work/stderr" || code=$?
[ $code -eq 2 ] || complain "two files for an encoder: $code, $(cat "$work/stderr")"
code=0; "${png[@]}" -o frames=one.png 2> "$work/stderr" || code=$?
[ $code -eq 2 ] && grep -q "'file', not 'frames'" "$work/stderr" || complain "a port that there is not: $code, $(cat "$work/stderr")"
exit $fail
