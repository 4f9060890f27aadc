#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A stage that was not installed with the service: jobs, show and check tell which it is and what confines it.
. "${SORA_TEST_SRCDIR:?make check sets it}/tests/cli/lib.sh" || exit 99

# What the trusted denoiser gives is kept, and is no answer of the other one, whose bytes are the same.
unset SORA_CACHE_MAX
export DBUS_SESSION_BUS_ADDRESS=unix:path=$work/bus
dbus-daemon --session --nofork --nopidfile --address="$DBUS_SESSION_BUS_ADDRESS" 2> "$work/bus.log" &
bus=$!
daemon=
stop () { [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true; kill "$bus" 2>/dev/null || true; wait || true; rm -rf "$work"; }
trap stop EXIT
until_true 30 test -S "$work/bus" || { echo "no bus"; exit 1; }
ctl () { "$soractl" --session "$@"; }

# The denoiser is a copy in a folder of nobody's trust, the others lead to where the build made them.
mkdir "$work/plugins"
for file in "$bld"/stage/plugins/*; do
  case ${file##*/} in
    dit-wan.*) cp -L "$file" "$work/plugins/" ;;
    *) ln -s "$(readlink -f "$file")" "$work/plugins/${file##*/}" ;;
  esac
done

serve () { # serve LEVEL: with that ThirdPartySandbox
  [ -z "$daemon" ] || { kill "$daemon"; wait "$daemon" || complain "the service did not end well"; }
  printf '[Worker]\nThirdPartySandbox=%s\nTrustedPluginFolders=%s;%s\n' "$1" "$bld" "$src" > "$work/sorad.conf"
  "$bld/dbus/sorad" --session --config="$work/sorad.conf" --plugin-dir="$work/plugins" --pipeline-dir="$src/pipelines" \
    --model-dir="$src/tests/golden/models" --state-dir="$work/state" --worker="$bld/dbus/sora-worker" 2>> "$work/sorad.log" &
  daemon=$!
  gdbus wait --session --timeout 60 org.sorad.Sora1 || { cat "$work/sorad.log"; exit 1; }
}

"$soractl" generate --local -q "${tiny[@]}" -o local.mp4 "a red ball" > /dev/null

# A level that every machine has: its process is one, and its walls are none.
serve basic
job=$(ctl generate -q -d "${tiny[@]}" "a red ball") || complain "generate --detach"
[ "$(ctl wait "$job")" = done ] || complain "wait: $(ctl show "$job")"
ctl result "$job" -o remote.mp4 > /dev/null || complain "result"
cmp remote.mp4 local.mp4 || complain "the third-party denoiser made other bytes than --local"
ctl jobs | grep -q "^JOB .* SANDBOX" || complain "jobs: $(ctl jobs)"
ctl jobs | grep -Eq "^$job  *done .* (full|filtered|basic), denoise \(basic\)" || complain "jobs: $(ctl jobs)"
ctl jobs --json | tr -d '\n ' | grep -q '"ThirdPartyStages":{"denoise":"basic"}' || complain "jobs --json: $(ctl jobs --json)"
ctl show "$job" | grep -q "^ThirdPartyStages .*'denoise': 'basic'" || complain "show: $(ctl show "$job")"
ctl show "$job" | grep -q "stage 'denoise': plugin 'dit-wan' is third-party: it runs in a process of its own, sandbox level 'basic'" \
  || complain "show: $(ctl show "$job")"

again=$(ctl generate -q -d "${tiny[@]}" "a red ball") || complain "generate --detach"
[ "$(ctl wait "$again")" = done ] || complain "wait: $(ctl show "$again")"
! ctl show "$again" | grep -q "stage 'denoise': it is taken from the cache" || complain "what a third party gave is kept: $(ctl show "$again")"

# In the worker itself: it is told all the same.
serve none
job=$(ctl generate -q -d "${tiny[@]}" "a red ball") || complain "generate --detach"
[ "$(ctl wait "$job")" = done ] || complain "wait: $(ctl show "$job")"
ctl jobs | grep -Eq "^$job  *done .* (full|filtered|basic), denoise \((full|filtered|basic)\)" || complain "jobs: $(ctl jobs)"
ctl show "$job" | grep -q "(ThirdPartySandbox=none)" || complain "show: $(ctl show "$job")"

# check runs in its own process, and says so.
export SORA_PLUGIN_PATH=$work/plugins
"$soractl" check "${tiny[@]}" ball > table || complain "check"
grep -q '^third-party: .*denoise.* (with --local in this process, sandbox none' table || complain "check: $(cat table)"
"$soractl" check --json "${tiny[@]}" ball | tr -d '\n ' | grep -q '"third_party":true,"sandbox":"none"' \
  || complain "check --json: $("$soractl" check --json "${tiny[@]}" ball)"
exit $fail
