#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Packed weights of the denoiser: a second job maps what the first one wrote, in both precisions, and gives the same bytes.
. "${SORA_TEST_SRCDIR:?make check sets it}/tests/cli/lib.sh" || exit 99
unset SORA_PACKED_MAX
cache=$XDG_CACHE_HOME/sorad/packed
# The folder has fresh files in a checkout that was made just now: they count when they are two seconds old.
cp -rL "$src/tests/golden/models/small-a" "$work/model"
settled () { [ -z "$(find "$work/model" -type f -newerct '3 seconds ago')" ]; }
until_true 20 settled || complain "the model's files do not grow old"
taken='the packed weights of the transformer, .* were mapped'
packed='the weights of the transformer were packed'
make_clip () { "$soractl" generate --local -v -m "$work/model" --width 32 --height 32 --frames 5 --steps 2 --seed 1 "$@" "a red ball" > "$work/stdout" 2> "$work/said"; }
has () { grep -q "denoise.*$1" "$work/said" || complain "$2: $(cat "$work/said")"; }
files () { find "$cache" -name '*.packed' 2> /dev/null | wc -l; }

for precision in exact fast; do
  SORA_PACKED_MAX=0 make_clip -p "precision=$precision" -o "$precision-0.mp4" || complain "$precision: $(cat "$work/said")"
  has 'packed weights are not kept: .* is more than the 0 bytes' "$precision without"
  make_clip -p "precision=$precision" -o "$precision-1.mp4" || complain "$precision, first: $(cat "$work/said")"
  has "$packed" "$precision, first"
  for threads in 1 2 3; do
    make_clip -p "precision=$precision" --threads $threads -o "$precision-2.mp4" --overwrite || complain "$precision, again: $(cat "$work/said")"
    has "$taken" "$precision, again"
    cmp "$precision-0.mp4" "$precision-2.mp4" || complain "$precision: mapped weights give other bytes at $threads threads"
  done
  cmp "$precision-0.mp4" "$precision-1.mp4" || complain "$precision: weights that are kept give other bytes"
done
[ "$(files)" = 2 ] || complain "two precisions made $(files) files"
[ -z "$(find "$cache" -type f ! -perm 600)" ] || complain "others can read: $(ls -l "$cache")"
[ "$(stat -c %a "$cache")" = 700 ] || complain "the folder is open: $(stat -c %a "$cache")"
! cmp -s exact-0.mp4 fast-0.mp4 || complain "both precisions give the same bytes: one of them was not used"

# -- Each is told, and made anew.
for harm in 'truncate -s 5000' 'truncate -s 0' 'chmod g+w' "dd bs=1 count=1 seek=9000 conv=notrunc if=$src/README.md status=none of="; do
  file=$(ls -t "$cache"/*.packed | head -n 1)
  case $harm in dd*) $harm"$file" ;; *) $harm "$file" ;; esac || complain "$harm"
  make_clip -p precision=fast -o fast-3.mp4 --overwrite || complain "$harm: $(cat "$work/said")"
  has 'packed weights are not used: ' "$harm"
  has "$packed" "$harm"
  cmp fast-0.mp4 fast-3.mp4 || complain "$harm: other bytes"
  make_clip -p precision=fast -o fast-3.mp4 --overwrite && has "$taken" "not made anew after $harm"
done

# -- Another file of the component; one of another component is nothing to it.
touch "$work/model/tokenizer/spiece.model"
make_clip -o exact-4.mp4 && has "$taken" "after a change of the tokenizer"
touch "$work/model/transformer/config.json"
make_clip -o exact-5.mp4 && has "$packed" "after a change of the transformer"
[ "$(files)" = 2 ] || complain "kept of a file that may still change"

# -- Looking and clearing.
"$soractl" cache | grep -q '2 files of packed weights, ' || complain "cache: $("$soractl" cache)"
"$soractl" cache | grep -q 'dit-wan: transformer of model, ' || complain "cache: $("$soractl" cache)"
"$soractl" cache --json | grep -q '"label": "dit-wan: transformer of model"' || complain "cache --json: $("$soractl" cache --json)"
"$soractl" cache clear results -q && [ "$(files)" = 2 ] || complain "clear results left $(files) files"
"$soractl" cache clear packed -q && [ "$(files)" = 0 ] || complain "clear packed left $(files) files"

# -- A folder that cannot be written, and a limit that is none.
until_true 20 settled || complain "the transformer's files do not grow old"
rm -r "$cache"
: > "$cache"
make_clip -o exact-6.mp4 && has "packed weights are not kept: the folder '" "no folder"
cmp exact-0.mp4 exact-6.mp4 || complain "no folder: other bytes"
rm "$cache"
SORA_PACKED_MAX=lots make_clip -o exact-7.mp4 && has "not kept: SORA_PACKED_MAX is 'lots', expected bytes" "a limit of no number"
[ "$(files)" = 0 ] || complain "kept with a limit of no number"
exit $fail
