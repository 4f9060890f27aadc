#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Packed weights of the machine: its service maps what root made ahead, writes none, and takes nothing from a folder that others can write.
. "${SORA_TEST_SRCDIR:?make check sets it}/tests/cli/lib.sh" || exit 99
unset SORA_PACKED_MAX
export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$work/bus DBUS_SESSION_BUS_ADDRESS=unix:path=$work/bus
dbus-daemon --session --nofork --nopidfile --address="$DBUS_SYSTEM_BUS_ADDRESS" 2> "$work/bus.log" &
bus=$!
daemon=
stop () { [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true; kill "$bus" 2>/dev/null || true; wait || true; rm -rf "$work"; }
trap stop EXIT
until_true 30 test -S "$work/bus" || { echo "no bus"; exit 1; }
ctl () { "$soractl" --system "$@"; }
packed=$XDG_CACHE_HOME/sorad/packed
files () { find "$packed" -name '*.packed' 2> /dev/null | wc -l; }

# The folder has fresh files in a checkout that was made just now: they count when they are two seconds old.
mkdir "$work/models"
cp -rL "$src/tests/golden/models/small-a" "$work/models/small-a"
settled () { [ -z "$(find "$work/models" -type f -newerct '3 seconds ago')" ]; }
until_true 20 settled || complain "the model's files do not grow old"

serve () {
  [ -z "$daemon" ] || { kill "$daemon"; wait "$daemon" || complain "the service did not end well"; }
  printf '[Worker]\nPackedFolder=%s\nTrustedPluginFolders=%s;%s\n' "$packed" "$bld" "$src" > "$work/sorad.conf"
  # Its own cache is elsewhere, and stays empty of packed weights.
  XDG_CACHE_HOME=$work/own "$bld/dbus/sorad" --system --config="$work/sorad.conf" --plugin-dir="$bld/stage/plugins" \
    --pipeline-dir="$src/pipelines" --model-dir="$work/models" --state-dir="$work/state" --worker="$bld/dbus/sora-worker" 2> "$work/sorad.log" &
  daemon=$!
  gdbus wait --session --timeout 60 org.sorad.Sora1 || { cat "$work/sorad.log"; exit 1; }
}
said () { # said FILE REGEX: makes a clip on the service; its notes must match
  local job
  job=$(ctl generate -q -d "${tiny[@]}" "a red ball") || complain "generate"
  [ "$(ctl wait "$job")" = done ] || complain "wait: $(ctl show "$job")"
  ctl result "$job" -o "$1" > /dev/null || complain "result"
  ctl show "$job" | grep -Eq "stage 'denoise': $2" || complain "$1: expected '$2': $(ctl show "$job")"
}
made='the weights of the transformer were packed'
mapped='the packed weights of the transformer, .* were mapped'

serve
said before.mp4 "$made"
"$soractl" cache pack "$work/models/small-a" -q || complain "cache pack"
[ "$(files)" = 1 ] || complain "cache pack made $(files) files"
[ -z "$(find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'soractl-*' -newer "$work/sorad.conf" 2> /dev/null)" ] || complain "cache pack left a folder"
serve
if [ "$(id -u)" = 0 ]; then
  said after.mp4 "$mapped"
  # A folder that another could have filled.
  chmod 777 "$packed"
  serve
  said others.mp4 "$made"
  grep -q "is no folder that root alone can write: expected owner root and mode 0755" "$work/sorad.log" || complain "log: $(cat "$work/sorad.log")"
else # what belongs to a user is not the machine's
  said after.mp4 "$made"
  said others.mp4 "$made"
  refuses "pack for the machine" 1 "are root's" "$soractl" cache pack --system "$work/models/small-a"
fi
cmp before.mp4 after.mp4 && cmp before.mp4 others.mp4 || complain "mapped weights give other bytes"
[ "$(files)" = 1 ] && [ -z "$(find "$work/own" -name '*.packed')" ] || complain "the service wrote packed weights"

# In any words but these it is refused, and nothing is made.
rm -f before.mp4 after.mp4 others.mp4
refuses "no model" 2 "pack takes a model" "$soractl" cache pack
refuses "another word" 2 "unexpected word 'pak'" "$soractl" cache pak
refuses "a parameter of show" 2 "are for 'soractl cache pack MODEL'" "$soractl" cache -p precision=fast
refuses "no such model" 3 "there is no model 'nope'" "$soractl" cache pack nope
refuses "no such parameter" 2 "nonsense" "$soractl" cache pack small-a -p nonsense=1
exit $fail
