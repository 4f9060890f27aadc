#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The tutorial tells the truth: its code blocks are the files of docs/examples/sepia, its one line of cc builds the plugin with
# nothing but the header, the result links to nothing of ours, and a pipeline runs it from SORA_PLUGIN_PATH.  And the
# header that the frozen plugin is built with says what ABI 1.0 says, as long as that is what core has.
set -eu
src=$SORA_TEST_SRCDIR
build=$SORA_TEST_BUILDDIR
howto=$src/docs/plugin-howto.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail () {
  echo "plugin-howto: $*" >&2
  exit 1
}

block () { # block MARKER: the code block that follows it
  awk -v marker="<!-- $1 -->" '$0 == marker { found = 1; next }
    found && /^```/ { if (inside) exit; inside = 1; next }
    inside { print }' "$howto"
}

for file in docs/examples/sepia/sepia.c docs/examples/sepia/sepia.plugin; do
  block "file: $file" | diff -u "$src/$file" - || fail "docs/plugin-howto.md does not quote $file as it is"
done

# The header is found through pkg-config where it is installed; here by CPATH.
cp "$src/docs/examples/sepia/sepia.c" "$src/docs/examples/sepia/sepia.plugin" "$work"
block run >"$work/build.sh"
grep -q '^cc ' "$work/build.sh" || fail "docs/plugin-howto.md has no line of cc"
[ "$(wc -l <"$work/build.sh")" = 1 ] || fail "docs/plugin-howto.md takes more than one line to build"
(cd "$work" && CPATH="$src/core" PKG_CONFIG_PATH="$build/core" sh -eu ./build.sh) || fail "the line of cc fails"

exported=$(nm -D --defined-only "$work/sepia.so" | awk '{ print $3 }')
[ "$exported" = sora_plugin ] || fail "the example exports '$exported', expected 'sora_plugin' alone"
! nm -D --undefined-only "$work/sepia.so" | grep -w 'sora_[a-z_]*' || fail "the example links to something of ours"

mkdir "$work/stages"
ln -s "$src/tests/fixtures/stages/stages.plugin" "$build/tests/fixtures/stages/.libs/stages.so" "$work/stages"
SORA_PLUGIN_PATH="$work:$work/stages" "$build/tests/core/test-outside" || fail "the example does not run"

code () { # code FILE: without comments
  cc -fpreprocessed -dD -E -P "$1" 2>/dev/null
}
if grep -q '^#define SORA_ABI_MINOR 0u' "$src/core/sora-plugin.h"; then
  code "$src/tests/fixtures/frozen-1.0/sora-plugin.h" >"$work/frozen.h"
  code "$src/core/sora-plugin.h" | diff -u "$work/frozen.h" - \
    || fail "core/sora-plugin.h says it is 1.0, but differs from tests/fixtures/frozen-1.0/sora-plugin.h"
fi
