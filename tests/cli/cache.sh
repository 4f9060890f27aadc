#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The cache of prompts: a second job takes the embedding from it, gives the same bytes, and nobody else reads it.
. "${SORA_TEST_SRCDIR:?make check sets it}/tests/cli/lib.sh" || exit 99
cache=$XDG_CACHE_HOME/sorad/stages
# The folder has fresh files in a checkout that was made just now: they count when they are two seconds old.
cp -rL "$src/tests/golden/models/small-a" "$work/model"
find "$work/model" -exec touch -h -d '2020-01-01' {} +
settled () { [ -z "$(find "$work/model" -type f -newerct '3 seconds ago')" ]; }
until_true 20 settled || complain "the model's files do not grow old"
clip=(-m "$work/model" --width 32 --height 32 --frames 5 --steps 1 --seed 1)
taken='taken from the cache'
make_clip () { "$soractl" generate --local -v "${clip[@]}" "$@" > "$work/stdout" 2> "$work/said"; }
entries () { "$soractl" cache --json | sed -n 's/.*"entries": *\([0-9]*\).*/\1/p'; }

[ "$(entries)" = 0 ] || complain "it is not empty at first: $(entries)"
make_clip -o a.mp4 "a red ball" || complain "generate: $(cat "$work/said")"
! grep -q "$taken" "$work/said" || complain "taken from an empty cache"
[ "$(entries)" = 1 ] || complain "one job made $(entries) entries"
[ -z "$(find "$cache" -type f ! -perm 600)" ] || complain "others can read: $(ls -l "$cache")"
[ "$(stat -c %a "$cache")" = 700 ] || complain "the folder is open: $(stat -c %a "$cache")"
make_clip -o b.mp4 "a red ball" || complain "generate again: $(cat "$work/said")"
grep -q "text.*$taken" "$work/said" || complain "not taken: $(cat "$work/said")"
cmp a.mp4 b.mp4 || complain "from the cache come other bytes"
make_clip --seed 2 --width 64 --threads 3 -o c.mp4 "a red ball" || complain "another seed: $(cat "$work/said")"
grep -q "$taken" "$work/said" || complain "another seed and size: not taken"
[ "$(entries)" = 1 ] || complain "another seed made an entry"

# -- What changes the embedding is another entry: prompt, negative prompt, tokens, the model's files.
make_clip -o d.mp4 "a blue ball" && ! grep -q "$taken" "$work/said" || complain "another prompt"
make_clip -o e.mp4 --negative-prompt grey "a red ball" && ! grep -q "$taken" "$work/said" || complain "another negative prompt"
make_clip -o f.mp4 -p text.max-tokens=4 "a red ball" && ! grep -q "$taken" "$work/said" || complain "other max-tokens"
[ "$(entries)" = 4 ] || complain "$(entries) entries of four prompts"
touch "$work/model/tokenizer/spiece.model"
make_clip -o g.mp4 "a red ball" && ! grep -q "$taken" "$work/said" || complain "a file that was changed just now"
[ "$(entries)" = 4 ] || complain "kept of a file that may still change"
until_true 20 settled || complain "the tokenizer does not grow old"
make_clip -o h.mp4 "a red ball" && ! grep -q "$taken" "$work/said" || complain "another tokenizer"
cmp a.mp4 h.mp4 || complain "the same tokenizer with another time gives other bytes"

# -- Privacy: no name has the prompt's digest, metadata=none keeps nothing, clear leaves nothing.
! ls "$cache" | grep -q "$(printf 'a red ball' | sha256sum | cut -c1-16)" || complain "a name tells the prompt"
make_clip --metadata none -o i.mp4 "a green ball" || complain "metadata none: $(cat "$work/said")"
[ "$(entries)" = 5 ] || complain "metadata=none was kept"
make_clip --metadata none -o j.mp4 "a red ball" && ! grep -q "$taken" "$work/said" || complain "metadata=none was taken"

# -- Damage: a bit, half a file, an empty one, and the secret.  Each is made anew.
"$soractl" cache clear -q || complain "clear"
[ "$(entries)" = 0 ] || complain "clear left $(entries)"
[ -z "$(ls -A "$cache")" ] || complain "clear left $(ls -A "$cache")"
make_clip -o k.mp4 "a red ball"
entry=$(ls "$cache"/*.checkpoint)
size=$(stat -c %s "$entry")
for harm in "dd if=/dev/zero of=$entry bs=1 count=9 conv=notrunc seek=$((size - 500))" "truncate -s $((size / 2)) $entry" \
  "truncate -s 0 $entry" "dd if=/dev/zero of=$entry bs=1 count=4 conv=notrunc" "truncate -s 3 $cache/secret" "rm $cache/secret"; do
  $harm 2> /dev/null
  rm -f l.mp4
  make_clip -o l.mp4 "a red ball" || complain "$harm: $(cat "$work/said")"
  ! grep -q "$taken" "$work/said" || complain "$harm: taken all the same"
  cmp a.mp4 l.mp4 || complain "$harm: other bytes"
done
make_clip -o m.mp4 "a red ball" && grep -q "$taken" "$work/said" || complain "it was not made anew"

# -- A folder that cannot be written costs time and no job.
"$soractl" cache clear -q
rm -r "$cache"
: > "$cache"
make_clip -o o.mp4 "a red ball" || complain "no folder: $(cat "$work/said")"
cmp a.mp4 o.mp4 || complain "no folder: other bytes"
rm "$cache"
rm -f ./*.mp4
refuses 'cache of a word' 2 "unexpected word 'all'; it goes 'soractl cache" "$soractl" cache all
exit $fail
