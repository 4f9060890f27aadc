#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What libsora-core exports is what its map lists, each of it is declared in an installed header under a GTK-Doc
# comment of its name, and every plugin exports its descriptor alone.
set -eu
srcdir=${SORA_TEST_SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
builddir=${SORA_TEST_BUILDDIR:-.}
library=$builddir/core/.libs/libsora-core.so
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

fail () {
  echo "symbols: $*" >&2
  status=1
}

sed -n 's/^  *\([a-z][a-z0-9_]*\);$/\1/p' "$srcdir/core/sora-core.map" >"$work/listed"
LC_ALL=C sort -u "$work/listed" | cmp -s - "$work/listed" || fail "core/sora-core.map is not sorted, or lists a name twice"
nm -D --defined-only "$library" | sed -n 's/^[0-9a-f]* [A-Z] \([a-z][a-zA-Z0-9_]*\)@@SORA_CORE_.*/\1/p' \
  | LC_ALL=C sort >"$work/exported"
[ -s "$work/exported" ] || fail "$library exports nothing"

# Declarations begin in the first column: TYPE name (...
for header in $(sed -n 's/^sorainclude_HEADERS += *//p' "$srcdir/core/Makefile-core.am"); do
  sed -nE "/^(G_|#|typedef)/d; s,^[A-Za-z][A-Za-z0-9_ *]*[ *](sora_[a-z0-9_]+) \(.*,\1,p" "$srcdir/$header" >>"$work/found"
  sed -nE 's/^ \* (sora_[a-z0-9_]+):$/\1/p' "$srcdir/$header" >>"$work/commented"
done
LC_ALL=C sort -u "$work/found" >"$work/declared"
LC_ALL=C sort -u "$work/commented" >"$work/documented"

missing () { # missing A B: what is in A and not in B
  LC_ALL=C comm -23 "$work/$1" "$work/$2"
}
for name in $(missing listed exported); do fail "$name is in core/sora-core.map, but the library does not have it"; done
for name in $(missing exported listed); do fail "$name is exported, but not in core/sora-core.map"; done
for name in $(missing exported declared); do fail "$name is exported, but in no installed header of core/"; done
for name in $(missing declared listed); do fail "$name is declared in a header, but not in core/sora-core.map"; done
for name in $(missing declared documented); do fail "$name has no GTK-Doc comment above it"; done
for name in $(missing documented declared); do fail "$name has a comment, but is not declared"; done

plugins=0
for plugin in "$builddir"/plugins/*/.libs/*.so; do
  [ -e "$plugin" ] || continue
  plugins=$((plugins + 1))
  names=$(nm -D --defined-only "$plugin" | awk '$2 ~ /[A-Z]/ && $2 !~ /[VWu]/ { print $3 }' | sort | tr '\n' ' ')
  [ "$names" = "sora_plugin " ] || fail "$plugin exports '$names', expected sora_plugin alone"
done
[ "$plugins" -ge 6 ] || fail "$plugins plugins in $builddir/plugins, expected the 6 that are built before the tests"
exit $status
