#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What stages gave, of the machine's service: kept for the same user's next job, and removed when its owner says so.
. "${SORA_TEST_SRCDIR:?make check sets it}/tests/cli/lib.sh" || exit 99
unset SORA_CACHE_MAX
export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$work/bus DBUS_SESSION_BUS_ADDRESS=unix:path=$work/bus
dbus-daemon --session --nofork --nopidfile --address="$DBUS_SYSTEM_BUS_ADDRESS" 2> "$work/bus.log" &
bus=$!
daemon=
stop () { [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true; kill "$bus" 2>/dev/null || true; wait || true; rm -rf "$work"; }
trap stop EXIT
until_true 30 test -S "$work/bus" || { echo "no bus"; exit 1; }
ctl () { "$soractl" --system "$@"; }

mkdir "$work/models"
cp -rL "$src/tests/golden/models/small-a" "$work/models/small-a"
settled () { [ -z "$(find "$work/models" -type f -newerct '3 seconds ago')" ]; }
until_true 20 settled || complain "the model's files do not grow old"
printf '[Worker]\nTrustedPluginFolders=%s;%s\n' "$bld" "$src" > "$work/sorad.conf"
XDG_CACHE_HOME=$work/own "$bld/dbus/sorad" --system --config="$work/sorad.conf" --plugin-dir="$bld/stage/plugins" \
  --pipeline-dir="$src/pipelines" --model-dir="$work/models" --state-dir="$work/state" --worker="$bld/dbus/sora-worker" 2> "$work/sorad.log" &
daemon=$!
gdbus wait --session --timeout 60 org.sorad.Sora1 || { cat "$work/sorad.log"; exit 1; }

taken="stage 'denoise': it is taken from the cache"
clip () { # clip FILE WORD...: makes one on the service; its notes are in $notes
  local job file=$1
  shift
  job=$(ctl generate -q -d "${tiny[@]}" "$@" "a red ball") || complain "generate"
  [ "$(ctl wait "$job")" = done ] || complain "wait: $(ctl show "$job")"
  ctl result "$job" -o "$file" > /dev/null || complain "result"
  notes=$(ctl show "$job")
}
clip a.mp4
[[ $notes != *"$taken"* ]] || complain "taken from an empty cache: $notes"
[[ $notes != *"basic"* ]] || { echo "workers reach the level basic alone: nothing is kept"; exit $fail; }
clip b.mp4 -p encode.crf=40
[[ $notes == *"$taken"* ]] || complain "another quality: sampled anew: $notes"
clip c.mp4 -p encode.crf=40 --no-cache
[[ $notes != *"$taken"* ]] || complain "--no-cache: $notes"
cmp b.mp4 c.mp4 || complain "from the cache come other bytes"
[ -n "$(ls "$work/own/sorad-users/$(id -u)/stages/"*.checkpoint)" ] || complain "it is kept elsewhere"
"$soractl" cache clear results --system > "$work/said" 2>&1 || complain "clear: $(cat "$work/said")"
[ -z "$(ls -A "$work/own/sorad-users/$(id -u)/stages")" ] || complain "clear left something"
clip d.mp4
[[ $notes != *"$taken"* ]] || complain "after clear: $notes"
cmp a.mp4 d.mp4 || complain "other bytes after clear"
kill "$daemon"
wait "$daemon" || complain "the service did not end well"
daemon=
rm -f *.mp4
refuses "no service" 4 "does not run on this bus" "$soractl" cache clear results --system
exit $fail
