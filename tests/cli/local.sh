#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# soractl in process: clips, one stage alone, listings, check, bench; what it prints for programs is JSON.
. "${SORA_TEST_SRCDIR:?make check sets it}/tests/cli/lib.sh" || exit 99

# -- A clip: named after its prompt, the second numbered; the same seed gives the same bytes at any thread count.
"$soractl" generate --local -q "${tiny[@]}" "A red ball!" > paths || complain "generate failed"
"$soractl" generate --local -q "${tiny[@]}" --threads 3 "A red ball!" >> paths || complain "generate failed again"
[ "$(tr '\n' ' ' < paths)" = "a-red-ball.mp4 a-red-ball-2.mp4 " ] || complain "paths: $(cat paths)"
cmp a-red-ball.mp4 a-red-ball-2.mp4 || complain "the same request gave other bytes"
"$soractl" generate --local -q "${tiny[@]}" --seed 2 -o other.mp4 "A red ball!" > /dev/null
! cmp -s a-red-ball.mp4 other.mp4 || complain "another seed gave the same bytes"
head -c 12 other.mp4 | grep -q ftyp || complain "other.mp4 is no MP4"
"$soractl" generate --local --json "${tiny[@]}" --no-mark -o json.mp4 ball > result.json 2> progress
python=$(command -v python3 || true)
[ -z "$python" ] || "$python" - result.json <<'EOF' || complain "the JSON of generate is wrong: $(cat result.json)"
import json, sys
r = json.load(open(sys.argv[1]))
assert r["files"] == ["json.mp4"] and r["seed"] == "1", r
assert [s["stage"] for s in r["stages"]] and all(s["wall"] >= 0 for s in r["stages"]), r
assert all(s["peak_resident"] > 1 << 20 for s in r["stages"]), r
EOF
grep -q '^100 %\|^ *[0-9]* % denoise' progress || complain "no plain progress lines: $(cat progress)"

# -- Words and options: a switch gives the prompt back, a value may begin with a hyphen.
[ "$("$soractl" generate --local -q "${tiny[@]}" --mark "a cube")" = a-cube.mp4 ] || complain "--mark took the prompt"
[ "$("$soractl" generate --local -q "${tiny[@]}" --mark off "a cone")" = a-cone.mp4 ] || complain "--mark off"
[ "$("$soractl" generate --local -q "${tiny[@]}" --prompt "a cube")" = a-cube-2.mp4 ] || complain "--prompt"
cmp a-cube.mp4 a-cube-2.mp4 || complain "--mark is not the default"
"$soractl" generate --local -q "${tiny[@]}" --negative-prompt -dark --memory 3GiB -o dark.mp4 ball > /dev/null || complain "a value that begins with a hyphen"
"$soractl" generate --local -q "${tiny[@]}" --negative-prompt=-dark -o dark-2.mp4 ball > /dev/null
"$soractl" generate --local -q "${tiny[@]}" -o light.mp4 ball > /dev/null
cmp dark.mp4 dark-2.mp4 || complain "--negative-prompt -dark is another request than --negative-prompt=-dark"
! cmp -s dark.mp4 light.mp4 || complain "--negative-prompt -dark was dropped"

# -- Few steps.
# A letter and its value in one word.
"$soractl" generate --local -q -msmall-a -pwidth=32 -pheight=32 -pframes=5 -psteps=2 -s1 -oshort.mp4 "a red ball" > /dev/null || complain "values behind letters"
"$soractl" generate --local -q "${tiny[@]}" -o long.mp4 "a red ball" > /dev/null && cmp short.mp4 long.mp4 || complain "values behind letters are others"
"$soractl" generate --local -q "${tiny[@]}" --sampler dmd -o few.mp4 --turbo ball > /dev/null || complain "generate --turbo"
"$soractl" check --json "${tiny[@]}" --sampler distill --timesteps 1000,600 --turbo ball > few.json || complain "check --turbo: $(cat few.json)"

# -- Swapping one line: another encoder.
"$soractl" run --local -q "${tiny[@]}" text-to-frames -o sheet.png ball > paths || complain "text-to-frames failed"
head -c 4 "$(head -n 1 paths)" | grep -q PNG || complain "text-to-frames made no PNG: $(cat paths)"

# -- One stage alone, twice: tensors go through files.
"$soractl" stage run text-umt5 -m small-a -p "prompt=a red ball" -o text.safetensors -q > /dev/null || complain "stage run text-umt5"
"$soractl" inspect text.safetensors | grep -q '^embedding *f32' || complain "inspect: $("$soractl" inspect text.safetensors)"
denoise=(stage run dit-wan -m small-a -i text=text.safetensors:embedding -i negative=text.safetensors:negative
  -p width=32 -p height=32 -p frames=5 -p steps=2 -q)
"$soractl" "${denoise[@]}" -o latents=a.safetensors > /dev/null || complain "stage run dit-wan"
"$soractl" "${denoise[@]}" --threads 1 -o latents=b.safetensors > /dev/null
cmp a.safetensors b.safetensors || complain "one thread gave other latents"
"$soractl" stage run vae-wan -m small-a -i latents=a.safetensors -o frames.safetensors -q > /dev/null || complain "stage run vae-wan"
"$soractl" inspect frames.safetensors | grep -q 'u8 *\[5,32,32,3\]' || complain "frames: $("$soractl" inspect frames.safetensors)"

# -- What there is.
for plugin in text-umt5 dit-wan vae-wan vae-tiny watermark encode-av encode-png; do
  "$soractl" plugins | grep -q "^$plugin " || complain "plugins does not list $plugin"
  "$soractl" inspect "$plugin" | grep -q '^Parameters' || complain "inspect $plugin"
done
"$soractl" pipelines | grep -q '^text-to-video ' || complain "pipelines"
"$soractl" models | grep -q '^small-a ' || complain "models"
"$soractl" inspect text-to-video | grep -q 'guidance-scale' || complain "inspect text-to-video"
"$soractl" inspect small-a | grep -q WanTransformer3DModel || complain "inspect small-a"
for verb in plugins pipelines models "check -m small-a ball"; do
  "$soractl" $verb --json > out.json || complain "$verb --json"
  [ -z "$python" ] || "$python" -m json.tool out.json > /dev/null || complain "$verb --json is no JSON"
done

# -- check, also of a pipeline that takes no prompt (test-weightless shows that it touches no weights).
"$soractl" check -m small-a --width 64 ball > table || complain "check"
grep -q 'denoise.*latents f32\[4,' table || complain "check's table: $(cat table)"
grep -q 'peak memory' table || complain "check's sum: $(cat table)"

sed '/^prompt=/d; s/^Plugin=text-umt5/&\nParam.prompt=a ball/' "$src/pipelines/text-to-video.pipeline" > silent.pipeline
"$soractl" check --pipeline ./silent.pipeline -m small-a > table || complain "check of a pipeline without a prompt"

# -- bench --request: what it measures is of its number of threads; Ctrl-C leaves nothing.
export XDG_CACHE_HOME=$work/cache TMPDIR=$work/tmp
mkdir "$TMPDIR"
"$soractl" bench --request "${tiny[@]}" --threads 1 --repeat 1 --json ball > bench.json || complain "bench"
grep -q '"flops_per_second"' bench.json || complain "bench: $(cat bench.json)"
"$soractl" check "${tiny[@]}" --threads 1 ball | grep -q 'measured here' || complain "check knows nothing of bench"
"$soractl" check "${tiny[@]}" --threads 1 -p precision=fast ball | grep -q 'nominal' || complain "check takes one precision's rate for another's"
"$soractl" check "${tiny[@]}" ball | grep -q nominal || complain "the rates of one thread were taken for those of all"
"$soractl" bench --request -m small-a --width 256 --height 256 --frames 65 --steps 1000 ball > /dev/null 2>&1 &
client=$!
until_true 60 eval '[ -n "$(ls "$TMPDIR")" ]' || complain "bench made no folder"
# Again, if it did not listen yet.
stopped () { kill -INT "$client" 2>/dev/null || true; [ -z "$(jobs -r)" ]; }
until_true 60 stopped || complain "bench did not stop"
code=0; wait "$client" || code=$?
[ $code -eq 130 ] || complain "bench after Ctrl-C: $code"
[ -z "$(ls "$TMPDIR")" ] || complain "bench left $(ls "$TMPDIR")"
exit $fail
