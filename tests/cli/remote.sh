#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# soractl against a sorad of its own on a private bus: generate, jobs, show, wait, result, preview, cancel.
. "${SORA_TEST_SRCDIR:?make check sets it}/tests/cli/lib.sh" || exit 99

export DBUS_SESSION_BUS_ADDRESS=unix:path=$work/bus
dbus-daemon --session --nofork --nopidfile --address="$DBUS_SESSION_BUS_ADDRESS" 2> "$work/bus.log" &
bus=$!
daemon=
stop () { [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true; kill "$bus" 2>/dev/null || true; wait || true; rm -rf "$work"; }
trap stop EXIT

until_true 30 test -S "$work/bus" || { echo "no bus"; exit 1; }

ctl () { "$soractl" --session "$@"; }
# A bus without the service, and no bus.
for bus_address in "$DBUS_SESSION_BUS_ADDRESS" "unix:path=$work/none"; do
  for verb in jobs "show x" "wait x" "cancel x" "delete x" "result x" "preview x" "generate ball"; do
    code=0; DBUS_SESSION_BUS_ADDRESS=$bus_address ctl $verb 2> "$work/stderr" || code=$?
    [ $code -eq 4 ] || complain "$verb without a service: $code, expected 4: $(cat "$work/stderr")"
  done
done

# A model that is one file: what fills the slot of a stage that was put in.
mkdir "$work/parts" && cp "$src/tests/golden/tiny/taew2_1-a.safetensors" "$work/parts/"
export SORA_MODEL_PATH=$SORA_MODEL_PATH:$work/parts

# What the build made is no third party's.
printf '[Worker]\nTrustedPluginFolders=%s;%s\n' "$bld" "$src" > "$work/sorad.conf"

# A limit on the size of files stands in for a full disk; the table of jobs and its log of a megabyte find room.
(trap '' XFSZ; ulimit -f 1500; exec "$bld/dbus/sorad" --session --config="$work/sorad.conf" --plugin-dir="$bld/stage/plugins" --pipeline-dir="$src/pipelines" \
  --model-dir="$src/tests/golden/models" --model-dir="$work/parts" --state-dir="$work/state" --worker="$bld/dbus/sora-worker" \
  2> "$work/sorad.log") &
daemon=$!
gdbus wait --session --timeout 60 org.sorad.Sora1 || { cat "$work/sorad.log"; exit 1; }

# -- The same clip over the bus as in process, byte for byte.
ctl generate "${tiny[@]}" -o remote.mp4 "a red ball" > paths 2> progress || complain "generate: $(cat progress)"
[ "$(cat paths)" = remote.mp4 ] || complain "generate printed '$(cat paths)'"
grep -q denoise progress || complain "no progress: $(cat progress)"
! grep -q note: progress || complain "notes without --verbose: $(cat progress)"
"$soractl" generate --local -q "${tiny[@]}" -o local.mp4 "a red ball" > /dev/null
ctl generate -v "${tiny[@]}" -o noted.mp4 "a red ball" > /dev/null 2> progress || complain "generate -v: $(cat progress)"
grep -q "note: stage 'decode': decoding whole frames" progress || complain "no note over the bus: $(cat progress)"
"$soractl" generate --local --verbose "${tiny[@]}" -o noted-local.mp4 "a red ball" > /dev/null 2> progress
grep -q "note: stage 'decode': decoding whole frames" progress || complain "no note of --local: $(cat progress)"
cmp remote.mp4 local.mp4 || complain "the service made other bytes than --local"

# -- A stage put in for another, with a model that the pipeline has no role for.
swap=(-m small-b --stage decode=vae-tiny -m tiny=taew2_1-a --width 32 --height 32 --frames 5 --steps 2 --seed 1)
ctl generate -q "${swap[@]}" -o swapped.mp4 ball > /dev/null || complain "generate with vae-tiny"
"$soractl" generate --local -q "${swap[@]}" -o swapped-local.mp4 ball > /dev/null
cmp swapped.mp4 swapped-local.mp4 || complain "vae-tiny in the service made other bytes than with --local"

# -- A detached job: jobs, wait, show, result.
job=$(ctl generate -q -d "${tiny[@]}" "a blue star") || complain "generate --detach"
[ "$(ctl wait "$job")" = done ] || complain "wait"
ctl jobs | grep -q "^$job  *done" || complain "jobs: $(ctl jobs)"
ctl jobs --json | grep -q '"State": "done"' || complain "jobs --json"
[ -z "$(ctl jobs --quiet --state failed)" ] || complain "jobs --state failed: $(ctl jobs --state failed)"
ctl show "$job" | grep -q 'a blue star' || complain "show: $(ctl show "$job")"
ctl show "$job" --json | grep -q '"Files"' || complain "show --json"
ctl result -q "$job" -o star.mp4 > /dev/null || complain "result"
head -c 12 star.mp4 | grep -q ftyp || complain "star.mp4 is no MP4"
code=0; ctl result -q "$job" -o star.mp4 > /dev/null 2>&1 || code=$?
[ $code -eq 1 ] || complain "result replaced a file: $code"
ctl result -q -f "$job" -o star.mp4 > /dev/null || complain "result --overwrite"

# -- What cannot be sent is refused before it is.
rm -f ./*
refuses "a slot that no plugin has" 2 "no role 'tinny'" ctl generate -q "${tiny[@]}" -m tinny=taew2_1-a -o no.mp4 ball
refuses "prompt that is not UTF-8" 2 "UTF-8" ctl generate -q "${tiny[@]}" $'caf\xe9'
refuses "name that is not UTF-8" 2 "UTF-8" ctl generate -q "${tiny[@]}" -o $'caf\xe9.mp4' ball
refuses "detached name that is hidden" 2 "named '.x'" ctl generate -q -d "${tiny[@]}" -o .x.mp4 ball
refuses "memory" 2 "--memory.*soractl generate --help" ctl generate -q "${tiny[@]}" --memory 4G ball
refuses "no prompt" 2 "what shall the clip show" ctl generate -q "${tiny[@]}" --steps 3
refuses "a folder that is not there" 3 "no such folder" ctl generate -q "${tiny[@]}" -o missing/clip.mp4 ball
printf kept > clip.mp4
code=0; ctl generate -q "${tiny[@]}" -o clip ball 2> "$work/stderr" || code=$?
[ $code -eq 1 ] && grep -q "'clip.mp4' exists" "$work/stderr" && [ "$(cat clip.mp4)" = kept ] || complain "taken name: $code, $(cat "$work/stderr")"
ctl jobs | grep -q ' clip ' && complain "a job was submitted for a name that is taken"
rm clip.mp4

# -- Parameters of stages have their declared types, as in process.
odd=(-p mark.text=2026 -p text.max-tokens=64 -p encode.preset=fast -p denoise.forward-timestep= --seed 3 "${tiny[@]}")
ctl generate -q "${odd[@]}" -o remote.webm ball > /dev/null || complain "stage parameters"
"$soractl" generate --local -q "${odd[@]}" -o local.webm ball > /dev/null || complain "stage parameters in process"
cmp remote.webm local.webm || complain "stage parameters gave other bytes than --local"
rm -f ./*
refuses "a stage's number beyond 64 bits" 2 "18446744073709551615" ctl generate -q "${tiny[@]}" -p denoise.steps=18446744073709551615 ball
refuses "a stage's number that is none" 2 "whole number" ctl generate -q "${tiny[@]}" -p denoise.steps=0x10 ball
refuses "unknown stage parameter" 2 "no parameter 'denoise.stepz'" ctl generate -q "${tiny[@]}" -p denoise.stepz=3 ball
[ "$(ctl generate -q "${tiny[@]}" --no-mark.enabled --mark-size 0.2 "no mark")" = no-mark.mp4 ] || complain "--no-mark.enabled"

# -- JSON of a job that is left, and its end.
job=$(ctl generate -d --json "${tiny[@]}" "gone soon" | sed -n 's/.*"job": "\(.*\)".*/\1/p')
[ "$(ctl wait "$job")" = done ] || complain "generate --detach --json gave '$job'"
code=0; ctl delete "$job" nonsense 2> "$work/stderr" || code=$?
[ $code -eq 3 ] || complain "delete of one that is not there: $code, $(cat "$work/stderr")"
! ctl jobs | grep -q "$job" || complain "delete left the job"

# -- A job that fails tells why: before it is made ...
code=0; ctl generate -q "${tiny[@]}" -m no-such-model ball 2> "$work/stderr" || code=$?
[ $code -eq 3 ] && grep -q no-such-model "$work/stderr" || complain "unknown model: $code, $(cat "$work/stderr")"
code=0; ctl generate -q "${tiny[@]}" --stepz 3 ball 2> "$work/stderr" || code=$?
[ $code -eq 2 ] && grep -q stepz "$work/stderr" || complain "unknown parameter: $code, $(cat "$work/stderr")"
code=0; ctl show nonsense 2> "$work/stderr" || code=$?
[ $code -eq 3 ] || complain "unknown job: $code, $(cat "$work/stderr")"

# ... and in its stage.
rm -f ./*
refuses "failing stage" 1 "stage 'encode'.*(space|too large)" ctl generate -q "${tiny[@]}" --width 256 --height 256 --frames 33 --crf 0 -p encode.preset=ultrafast ball

# -- Cancel: a job that would take long, stopped while it runs; its waiter is told.
long=$(ctl generate -q -d -m small-a --width 256 --height 256 --frames 65 --steps 1000 --seed 1 ball)
running () { ctl jobs --json --state running | grep -q "\"$long\""; }
until_true 60 running || complain "the long job did not start: $(ctl jobs)"
# -- Pause, resume, priority, keep.
ctl pause "$long" || complain "pause"
ctl jobs | grep -q "^$long  *queued" || complain "jobs after pause: $(ctl jobs)"
ctl priority -7 "$long" && ctl show "$long" --json | grep -q '"Priority": -7' || complain "priority: $(ctl show --json "$long")"
refuses "a priority that is none" 2 "no whole number" ctl priority high "$long"
refuses "a priority beyond" 2 "expected -100 to 100" ctl priority 101 "$long"
ctl keep "$long" && ctl show "$long" --json | grep -q '"Kept": true' || complain "keep: $(ctl show --json "$long")"
ctl keep --not "$long" && ctl show "$long" --json | grep -q '"Kept": false' || complain "keep --not"
ctl resume "$long" || complain "resume"
until_true 60 running || complain "the resumed job did not start: $(ctl jobs)"
ctl cancel "$long" || complain "cancel"
code=0; ctl wait -q "$long" 2> "$work/stderr" || code=$?
[ $code -eq 130 ] || complain "wait of a cancelled job: $code, $(cat "$work/stderr")"
ctl jobs | grep -q "^$long  *cancelled" || complain "jobs after cancel: $(ctl jobs)"

# -- Ctrl-C in generate stops the job.
"$soractl" --session generate -m small-a --width 256 --height 256 --frames 65 --steps 1000 "interrupted" > /dev/null 2>&1 &
client=$!
running () { ctl jobs --json --state running | grep -q interrupted; }
until_true 60 running || complain "the interrupted job did not start"
kill -INT "$client"
code=0; wait "$client" || code=$?
[ $code -eq 130 ] || complain "generate after Ctrl-C: $code"
ctl jobs --json --state cancelled | grep -q interrupted || complain "Ctrl-C left the job: $(ctl jobs)"

# -- Preview: a job that decodes for a while.
shown=$(ctl generate -q -d -m small-a --width 128 --height 128 --frames 97 --steps 1 --seed 1 ball)
preview () { ctl preview -o preview.png "$shown" > /dev/null 2> "$work/stderr"; }
until_true 60 preview || complain "preview: $(cat "$work/stderr")"
head -c 4 preview.png | grep -q PNG || complain "the preview is no PNG"
printf kept > preview.png
code=0; ctl preview -o preview.png "$shown" > /dev/null 2> "$work/stderr" || code=$?
[ $code -eq 1 ] && [ "$(cat preview.png)" = kept ] || complain "preview replaced a file: $code, $(cat "$work/stderr")"
ctl preview -f -o preview.png "$shown" > /dev/null || complain "preview --overwrite"
head -c 4 preview.png | grep -q PNG || complain "preview --overwrite replaced nothing"
ctl cancel "$shown"

kill -0 "$daemon" || complain "sorad died: $(cat "$work/sorad.log")"

# -- The service ends under a job that is waited for: one clear line, and which job it was.
"$soractl" --session generate -m small-a --width 256 --height 256 --frames 65 --steps 1000 "orphaned" > /dev/null 2> "$work/stderr" &
client=$!
running () { ctl jobs --json --state running | grep -q orphaned; }
until_true 60 running || complain "the orphaned job did not start"
job=$(ctl jobs --quiet --state running | awk '/orphaned/ { print $1 }')
until_true 60 grep -q denoise "$work/stderr" || complain "no progress: $(cat "$work/stderr")"
kill -KILL "$daemon"
daemon=
code=0; wait "$client" || code=$?
[ $code -eq 4 ] || complain "generate when sorad ended: $code, $(cat "$work/stderr")"
[ "$(grep -c '^soractl: sorad has ended' "$work/stderr")" -eq 1 ] && grep -q "^soractl: the job is $job" "$work/stderr" && ! grep -q 'GLib' "$work/stderr" \
  || complain "generate when sorad ended said: $(cat "$work/stderr")"

# -- What happens between a follower's first look and its subscription is told too.
"$bld/tests/cli/late-job" &
daemon=$!
gdbus wait --session --timeout 60 org.sorad.Sora1 || complain "late-job did not start"
[ "$(ctl wait late 2> "$work/stderr")" = done ] || complain "wait for the late job: $(cat "$work/stderr")"
grep -q 'warning: told while nobody listened' "$work/stderr" || complain "a warning before Subscribe was lost: $(cat "$work/stderr")"
grep -q denoise "$work/stderr" || complain "a stage before Subscribe was lost: $(cat "$work/stderr")"

exit $fail
