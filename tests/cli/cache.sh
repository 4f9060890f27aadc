#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What stages gave: a second job takes embedding and latents from it, gives the same bytes, and nobody else reads it.
. "${SORA_TEST_SRCDIR:?make check sets it}/tests/cli/lib.sh" || exit 99
unset SORA_CACHE_MAX
cache=$XDG_CACHE_HOME/sorad/stages
# The folder has fresh files in a checkout that was made just now: they count when they are two seconds old.
cp -rL "$src/tests/golden/models/small-a" "$work/model"
find "$work/model" -exec touch -h -d '2020-01-01' {} +
settled () { [ -z "$(find "$work/model" -type f -newerct '3 seconds ago')" ]; }
until_true 20 settled || complain "the model's files do not grow old"
clip=(-m "$work/model" --width 32 --height 32 --frames 5 --steps 1 --seed 1)
taken='taken from the cache'
make_clip () { "$soractl" generate --local -v "${clip[@]}" "$@" > "$work/stdout" 2> "$work/said"; }
ran () { grep -q "^$1 .* s .* s" "$work/stdout" "$work/said"; } # its row in the table of times
entries () { "$soractl" cache --json | sed -n 's/.*"entries": *\([0-9]*\).*/\1/p'; }

[ "$(entries)" = 0 ] || complain "it is not empty at first: $(entries)"
make_clip -o a.mp4 "a red ball" || complain "generate: $(cat "$work/said")"
! grep -q "$taken" "$work/said" || complain "taken from an empty cache"
[ "$(entries)" = 2 ] || complain "one job made $(entries) entries, not those of text and denoise"
[ -z "$(find "$cache" -type f ! -perm 600)" ] || complain "others can read: $(ls -l "$cache")"
[ "$(stat -c %a "$cache")" = 700 ] || complain "the folder is open: $(stat -c %a "$cache")"
make_clip -o b.mp4 "a red ball" || complain "generate again: $(cat "$work/said")"
grep -q "denoise.*$taken" "$work/said" || complain "not taken: $(cat "$work/said")"
ran text && complain "the text encoder ran for latents that were there"
grep -q "text.*it is not run: what would come of it is there already" "$work/said" || complain "not told that it is not run: $(cat "$work/said")"
cmp a.mp4 b.mp4 || complain "from the cache come other bytes"
make_clip --seed 2 --width 64 --threads 3 -o c.mp4 "a red ball" || complain "another seed: $(cat "$work/said")"
grep -q "text.*$taken" "$work/said" || complain "another seed and size: the embedding is not taken"
! grep -q "denoise.*$taken" "$work/said" || complain "another seed and size: latents are taken"
[ "$(entries)" = 3 ] || complain "another seed made not one entry, of its latents: $(entries)"

# -- Another encoding needs no new sampling, and has the bytes that it has without a cache.
i=0
for words in "-p encode.crf=40" "--no-mark" "--fps 12" "-p mark-opacity=0.5"; do
  i=$((i + 1))
  make_clip $words --threads 2 -o "again-$i.mp4" "a red ball" || complain "$words: $(cat "$work/said")"
  grep -q "denoise.*$taken" "$work/said" || complain "$words: sampled anew: $(cat "$work/said")"
  ran text && complain "$words: the text encoder ran"
  ran decode || complain "$words: nothing was decoded: $(cat "$work/said")"
  make_clip $words --no-cache -o "anew-$i.mp4" "a red ball" || complain "$words --no-cache: $(cat "$work/said")"
  ! grep -q "$taken" "$work/said" || complain "$words --no-cache: taken"
  cmp "again-$i.mp4" "anew-$i.mp4" || complain "$words: other bytes from the cache"
  ! cmp -s "again-$i.mp4" a.mp4 || complain "$words changed nothing"
done
make_clip --no-cache -o no.mp4 "a grey ball" || complain "--no-cache: $(cat "$work/said")"
[ "$(entries)" = 3 ] || complain "other encodings, or --no-cache, made entries: $(entries)"
SORA_CACHE_MAX=0 make_clip -o none.mp4 "a red ball" && ! grep -q "$taken" "$work/said" || complain "SORA_CACHE_MAX=0"
SORA_CACHE_MAX=lots make_clip -o lots.mp4 "a red ball" && ! grep -q "$taken" "$work/said" || complain "SORA_CACHE_MAX=lots"
grep -q "nothing is kept for later jobs: SORA_CACHE_MAX is 'lots', expected bytes" "$work/said" || complain "SORA_CACHE_MAX=lots: $(cat "$work/said")"
cmp a.mp4 none.mp4 && cmp a.mp4 lots.mp4 || complain "without a cache come other bytes"
# What changes the latents: steps, guidance, sampler, precision; and so the same prompt has other ones.
for words in "--steps 2" "--guidance-scale 2" "--sampler euler" "-p precision=fast"; do
  make_clip $words -o "other.mp4" -f "a red ball" || complain "$words: $(cat "$work/said")"
  ! grep -q "denoise.*$taken" "$work/said" || complain "$words: latents are taken"
done
[ "$(entries)" = 7 ] || complain "four ways to sample made not four entries: $(entries)"
# The least that there is room for is the newest.
SORA_CACHE_MAX=5K make_clip --seed 3 -o few.mp4 "a red ball" || complain "SORA_CACHE_MAX=5K: $(cat "$work/said")"
[ "$(du -bc "$cache"/*.checkpoint | tail -n 1 | cut -f 1)" -le 5120 ] || complain "more than SORA_CACHE_MAX is kept"
make_clip --seed 3 -o newest.mp4 "a red ball" && grep -q "denoise.*$taken" "$work/said" || complain "the newest did not stay"
"$soractl" cache clear -q && make_clip -o a2.mp4 "a red ball" && cmp a.mp4 a2.mp4 || complain "after clear"

# -- What changes the embedding is another entry: prompt, negative prompt, tokens, the model's files.
make_clip -o d.mp4 "a blue ball" && ! grep -q "$taken" "$work/said" || complain "another prompt"
make_clip -o e.mp4 --negative-prompt grey "a red ball" && ! grep -q "$taken" "$work/said" || complain "another negative prompt"
make_clip -o f.mp4 -p text.max-tokens=4 "a red ball" && ! grep -q "$taken" "$work/said" || complain "other max-tokens"
[ "$(entries)" = 8 ] || complain "$(entries) entries of four prompts"
touch "$work/model/tokenizer/spiece.model"
make_clip -o g.mp4 "a red ball" && ! grep -q "$taken" "$work/said" || complain "a file that was changed just now"
[ "$(entries)" = 8 ] || complain "kept of a file that may still change"
until_true 20 settled || complain "the tokenizer does not grow old"
make_clip -o h.mp4 "a red ball" && ! grep -q "$taken" "$work/said" || complain "another tokenizer"
cmp a.mp4 h.mp4 || complain "the same tokenizer with another time gives other bytes"

# -- Privacy: no name has the prompt's digest, metadata=none keeps nothing, clear leaves nothing.
! ls "$cache" | grep -q "$(printf 'a red ball' | sha256sum | cut -c1-16)" || complain "a name tells the prompt"
make_clip --metadata none -o i.mp4 "a green ball" || complain "metadata none: $(cat "$work/said")"
[ "$(entries)" = 10 ] || complain "metadata=none was kept"
make_clip --metadata none -o j.mp4 "a red ball" && ! grep -q "$taken" "$work/said" || complain "metadata=none was taken"

# -- Damage: a bit, half a file, an empty one, and the secret.  Each is made anew.
"$soractl" cache clear -q || complain "clear"
[ "$(entries)" = 0 ] || complain "clear left $(entries)"
[ -z "$(ls -A "$cache")" ] || complain "clear left $(ls -A "$cache")"
make_clip -o k.mp4 "a red ball"
for harm in "dd if=/dev/zero of=ENTRY bs=1 count=9 conv=notrunc seek=500" "truncate -s 300 ENTRY" "truncate -s 0 ENTRY" \
  "dd if=/dev/zero of=ENTRY bs=1 count=4 conv=notrunc" "truncate -s 3 $cache/secret" "rm $cache/secret"; do
  for entry in "$cache"/*.checkpoint; do
    case $harm in *ENTRY*) ${harm/ENTRY/$entry} 2> /dev/null ;; esac
  done
  case $harm in *secret) $harm ;; esac
  rm -f l.mp4
  make_clip -o l.mp4 "a red ball" || complain "$harm: $(cat "$work/said")"
  ! grep -q "$taken" "$work/said" || complain "$harm: taken all the same"
  case $harm in *ENTRY*) grep -q "denoise.*what an earlier job left in the cache is made anew: it is damaged" "$work/said" || complain "$harm: not told: $(cat "$work/said")" ;; esac
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
