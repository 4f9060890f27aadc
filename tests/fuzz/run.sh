#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Runs the libFuzzer programs that `make fuzz` made, a while each in turn, until each has made its number of runs.
# What is kept in the state folder is enough to go on after an interruption: a corpus for each target, what was found,
# and a line in `log` for each turn, of which `--report` makes the table in docs/testing.md.
#
#   run.sh --programs DIR --state DIR [--turn RUNS | --seconds N] TARGET[=RUNS]...
#   run.sh --state DIR --report
#
# With --seconds each target is run once, for so long.  TARGET=RUNS is a total over all turns, also earlier ones.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
programs= state= turn=1000000 seconds= report=
longest=120 # seconds of a turn: slow targets make fewer runs in it

fail () {
  echo "run.sh: $*" >&2
  exit 1
}

while [ $# -gt 0 ]; do
  case $1 in
    --programs) programs=$2; shift 2 ;;
    --state) state=$2; shift 2 ;;
    --turn) turn=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --report) report=yes; shift ;;
    -*) fail "unknown option '$1'" ;;
    *) break ;;
  esac
done
[ -n "$state" ] || fail "--state DIR is missing"

done_of () { # runs that the log tells of a target
  [ -e "$state/log" ] || { echo 0; return; }
  awk -v t="$1" '$1 == t { n += $2 } END { printf "%.0f\n", n }' "$state/log"
}

if [ -n "$report" ]; then
  [ -e "$state/log" ] || fail "'$state/log' is missing: nothing was run"
  echo '| target | executions | a second | edges covered | findings |'
  echo '| --- | ---: | ---: | ---: | ---: |'
  # Edges are of the newest programs: others may have had other code.
  awk '{ if ($5 != of[$1]) { of[$1] = $5; edges[$1] = 0 }
      runs[$1] += $2; spent[$1] += $3; found[$1] += $6; if ($4 > edges[$1]) edges[$1] = $4 }
    END { for (t in runs) printf "| `%s` | %.0f | %.0f | %d of %d | %d |\n", t, runs[t],
      (spent[t] > 0 ? runs[t] / spent[t] : 0), edges[t], of[t], found[t] }' "$state/log" | LC_ALL=C sort
  awk '{ n += $2 } END { printf "\n%.0f executions in all\n", n }' "$state/log"
  exit
fi
[ -d "$programs" ] || fail "--programs DIR is missing: the folder that 'make fuzz' filled"
mkdir -p "$state"

# Short: what the formats need to be tried in all their parts, since runs of long inputs are few.
max_len () {
  case $1 in
    model-json | weight-map | param) echo 256 ;;
    safetensors | config) echo 384 ;;
    wan-names | pipeline | manifest) echo 512 ;;
    packed) echo 400 ;;
    *) echo 3072 ;;
  esac
}

dictionary () {
  case $1 in
    safetensors | header | model-json | weight-map | config) echo json ;;
    wan-names | tiny) echo wan-names ;;
    manifest | pipeline) echo keyfile ;;
  esac
}

# Half of the time of such short runs is the allocator's: no stacks are kept of allocations (a find is run again with
# them), freed blocks wait in a megabyte.  G_SLICE: GLib's own pools would hide faults from AddressSanitizer.
export G_SLICE=always-malloc
export ASAN_OPTIONS=malloc_context_size=0:quarantine_size_mb=1:thread_local_quarantine_size_kb=64:max_redzone=64:max_malloc_fill_size=64:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1

interrupted=72 # libFuzzer's own status for it

one () { # one TARGET LIMITS: a turn
  corpus=$state/corpus-$1 out=$state/last-$1
  mkdir -p "$corpus"
  status=0 begun=$(date +%s)
  # shellcheck disable=SC2086
  "$programs/fuzz-$1" $2 -max_len="$(max_len "$1")" -len_control=0 -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 \
    $(dictionary "$1" | sed "s,.*,-dict=$here/&.dict,") -artifact_prefix="$state/found-$1-" "$corpus" "$here/seeds/$1" >"$out" 2>&1 \
    || status=$?
  runs=$(awk '/^stat::number_of_executed_units:/ { print $2 }' "$out")
  spent=$(($(date +%s) - begun))
  edges=$(awk '{ for (i = 1; i < NF; i++) if ($i == "cov:") n = $(i + 1) } END { print n + 0 }' "$out")
  of=$(sed -n 's/^INFO: Loaded 1 modules *(\([0-9]*\) .*/\1/p' "$out")
  found=$([ $status = 0 ] || [ $status = $interrupted ] && echo 0 || echo 1)
  echo "$1 ${runs:-0} $spent $edges ${of:-0} $found" >>"$state/log"
  [ $status != $interrupted ] || exit $status
  [ $status = 0 ] || { tail -n 40 "$out" >&2; fail "fuzz-$1 found something: see '$out' and '$state/found-$1-'*"; }
}

if [ -n "$seconds" ]; then
  for each in "$@"; do
    echo "fuzz-${each%%=*}, $seconds s"
    one "${each%%=*}" "-max_total_time=$seconds"
  done
  exit
fi
left=yes
while [ -n "$left" ]; do
  left=
  for each in "$@"; do
    target=${each%%=*} wanted=${each#*=}
    [ "$wanted" != "$each" ] || fail "'$each': expected TARGET=RUNS, or --seconds"
    missing=$((wanted - $(done_of "$target")))
    [ "$missing" -gt 0 ] || continue
    left=yes
    one "$target" "-runs=$([ "$missing" -lt "$turn" ] && echo "$missing" || echo "$turn") -max_total_time=$longest"
  done
done
