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

# until_true SECONDS COMMAND...: asks again until it succeeds; the pause is a read that times out, not a guess.
until_true () {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $deadline ] || return 1
    read -rt 0.05 <> <(:) || true
  done
}
until_true 30 test -S "$work/bus" || { echo "no bus"; exit 1; }

ctl () { "$soractl" --session "$@"; }
code=0; ctl jobs 2> "$work/stderr" || code=$?
[ $code -eq 4 ] || complain "without a service: $code, expected 4: $(cat "$work/stderr")"

"$bld/dbus/sorad" --session --plugin-dir="$bld/stage/plugins" --pipeline-dir="$src/pipelines" \
  --model-dir="$src/tests/golden/models" --state-dir="$work/state" --worker="$bld/dbus/sora-worker" \
  2> "$work/sorad.log" &
daemon=$!
gdbus wait --session --timeout 60 org.sorad.Sora1 || { cat "$work/sorad.log"; exit 1; }

# -- The same clip over the bus as in process, byte for byte.
ctl generate "${tiny[@]}" -o remote.mp4 "a red ball" > paths 2> progress || complain "generate: $(cat progress)"
[ "$(cat paths)" = remote.mp4 ] || complain "generate printed '$(cat paths)'"
grep -q denoise progress || complain "no progress: $(cat progress)"
"$soractl" generate --local -q "${tiny[@]}" -o local.mp4 "a red ball" > /dev/null
cmp remote.mp4 local.mp4 || complain "the service made other bytes than --local"

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

# -- A job that fails tells why, with the stage.
code=0; ctl generate -q "${tiny[@]}" -m no-such-model ball 2> "$work/stderr" || code=$?
[ $code -eq 3 ] && grep -q no-such-model "$work/stderr" || complain "unknown model: $code, $(cat "$work/stderr")"
code=0; ctl generate -q "${tiny[@]}" --stepz 3 ball 2> "$work/stderr" || code=$?
[ $code -eq 2 ] && grep -q stepz "$work/stderr" || complain "unknown parameter: $code, $(cat "$work/stderr")"
code=0; ctl show nonsense 2> "$work/stderr" || code=$?
[ $code -eq 3 ] || complain "unknown job: $code, $(cat "$work/stderr")"

# -- Cancel: a job that would take long, stopped while it runs; its waiter is told.
long=$(ctl generate -q -d -m small-a --width 256 --height 256 --frames 65 --steps 1000 --seed 1 ball)
running () { ctl jobs --json --state running | grep -q "\"$long\""; }
until_true 60 running || complain "the long job did not start: $(ctl jobs)"
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
ctl cancel "$shown"

kill -0 "$daemon" || complain "sorad died: $(cat "$work/sorad.log")"
exit $fail
