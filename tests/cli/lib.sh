# SPDX-License-Identifier: LGPL-2.1-or-later
# What the CLI tests share: the uninstalled soractl on the small golden models, in a folder of its own.
set -eu
src=$SORA_TEST_SRCDIR
bld=$SORA_TEST_BUILDDIR
export SORA_PLUGIN_PATH=$bld/stage/plugins SORA_PIPELINE_PATH=$src/pipelines SORA_MODEL_PATH=$src/tests/golden/models
soractl=$bld/tools/soractl
work=$(mktemp -d)
# A test that runs the same request twice means to compute it twice.
export XDG_CACHE_HOME=$work/cache SORA_CACHE_MAX=0
trap 'rm -rf "$work"' EXIT
mkdir "$work/out"
cd "$work/out"
fail=0

complain () { printf 'FAIL: %s\n' "$*"; fail=1; }

# The clip that tests make: small, few steps, a random model.
tiny=(-m small-a --width 32 --height 32 --frames 5 --steps 2 --seed 1)

nothing_left () {
  local left
  left=$(ls -A "$work/out")
  [ -z "$left" ] || { complain "$1: left behind: $left"; rm -rf "${work:?}/out/"* "$work"/out/.[!.]*; }
}

# refuses NAME CODE REGEX COMMAND...: one line of error that matches, that exit code, and no file.
refuses () {
  local name=$1 code=$2 regex=$3 got=0
  shift 3
  "$@" > "$work/stdout" 2> "$work/stderr" || got=$?
  [ "$got" -eq "$code" ] || complain "$name: exit code $got, expected $code: $(cat "$work/stderr")"
  grep -Eq -- "$regex" "$work/stderr" || complain "$name: expected '$regex', got: $(cat "$work/stderr")"
  [ "$(grep -c '^soractl: ' "$work/stderr")" -eq 1 ] || complain "$name: not one line: $(cat "$work/stderr")"
  nothing_left "$name"
}

# accepts NAME REGEX COMMAND...: succeeds, and says on stderr what matches.
accepts () {
  local name=$1 regex=$2
  shift 2
  "$@" > "$work/stdout" 2> "$work/stderr" || complain "$name: failed: $(cat "$work/stderr")"
  grep -Eq -- "$regex" "$work/stderr" || complain "$name: expected '$regex', got: $(cat "$work/stderr")"
}

# until_true SECONDS COMMAND...: asks again until it succeeds; the pause is a read that times out, not a guess.
until_true () {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $deadline ] || return 1
    read -rt 0.05 <> <(:) || true
  done
}
