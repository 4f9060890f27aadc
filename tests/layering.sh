#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The layering, held by what files include: plugins stand on sora-plugin.h, the kit and their own libraries; core on
# GLib and jansson; dbus on core, its generated code and GIO; tools on the generated client and core; never the other
# way.  And the shape of files: a licence first, never a thousand lines.
set -eu
cd "${SORA_TEST_SRCDIR:-$(dirname "$0")/..}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

fail () {
  echo "layering: $*" >&2
  status=1
}

files () { # files DIR...: C and C++ files there, also in folders below
  for dir in "$@"; do
    [ ! -d "$dir" ] || find "$dir" -name '*.c' -o -name '*.h' -o -name '*.cc' | LC_ALL=C sort
  done
}

# "FILE LINE NAME" of each include.
includes () {
  xargs -r grep -nE '^ *# *include *[<"]' /dev/null | sed -E 's/^([^:]*):([0-9]+):[^<"]*[<"]([^>"]*)[>"].*/\1 \2 \3/'
}

# Every name that one of our folders could satisfy belongs to that folder.
owner () { # owner FILE NAME
  dir=${1%/*}
  case $2 in
    sora-plugin.h | core/sora-plugin.h) echo abi; return ;;
    config.h) echo any; return ;;
    */*) [ -e "$2" ] && { echo "${2%/*}"; return; } ;;
  esac
  if [ -e "$dir/$2" ]; then echo "$dir"
  elif [ -e "core/${2#core/}" ]; then echo core
  elif [ -e "plugins/kit/${2#kit/}" ]; then echo plugins/kit
  elif [ -e "dbus/${2#dbus/}" ]; then echo dbus
  elif [ -e "tools/${2#tools/}" ]; then echo tools
  else
    case ${2##*/} in
      sora-bus-generated.h) echo dbus ;;
      *) echo outside ;;
    esac
  fi
}

public=$(sed -n 's,^sorainclude_HEADERS += *core/,,p' core/Makefile-core.am)
is_public () {
  echo "$public" | grep -qx "${1##*/}"
}

files core | includes >"$work/core"
while read -r file line name; do
  case $(owner "$file" "$name") in
    abi | any | core) continue ;;
    outside) ;;
    *) fail "$file:$line: core includes '$name' of another folder" ;;
  esac
  case $name in
    glib.h | glib/*.h | glib-unix.h | gmodule.h | jansson.h) ;;
    std*.h | sys/*.h | linux/*.h | cpuid.h | *intrin.h) ;;
    assert.h | ctype.h | dirent.h | dlfcn.h | elf.h | errno.h | fcntl.h | fenv.h | float.h | inttypes.h | libgen.h \
      | limits.h | link.h | locale.h | malloc.h | math.h | poll.h | pthread.h | sched.h | signal.h | string.h \
      | time.h | unistd.h) ;;
    *) fail "$file:$line: core includes '$name': expected GLib, gmodule, jansson or libc" ;;
  esac
done <"$work/core"

echo core/sora-plugin.h | includes >"$work/abi"
while read -r file line name; do
  case $name in stddef.h | stdint.h) ;; *) fail "$file:$line: the ABI includes '$name': expected stddef.h and stdint.h alone" ;; esac
done <"$work/abi"
lines=$(wc -l <core/sora-plugin.h)
[ "$lines" -lt 500 ] || fail "core/sora-plugin.h has $lines lines, expected under 500"

files plugins | includes >"$work/plugins"
while read -r file line name; do
  case $(owner "$file" "$name") in
    abi | any | plugins/kit | "${file%/*}") continue ;;
    outside) ;;
    *) fail "$file:$line: a plugin includes '$name' of another folder" ;;
  esac
  case $name in
    glib* | gio/* | gobject/* | gmodule.h) fail "$file:$line includes '$name': plugins and kit are plain C, without GLib" ;;
  esac
done <"$work/plugins"

# The other folders: which of ours each may see, besides its own.
may_see () { # may_see FOLDER OWNER...
  folder=$1
  shift
  files "$folder" | includes >"$work/other"
  while read -r file line name; do
    of=$(owner "$file" "$name")
    allowed=no
    for each in any abi outside "$folder" "${file%/*}" "$@"; do
      [ "$of" != "$each" ] || allowed=yes
    done
    [ $allowed = yes ] || fail "$file:$line: $folder includes '$name' of $of"
    [ "$of" != core ] || is_public "$name" || fail "$file:$line includes '$name', which is private to core"
    case $folder:$name in
      tools:sorad-* | tools:dbus/sorad-*) fail "$file:$line: a tool includes '$name' of the daemon" ;;
    esac
  done <"$work/other"
}
may_see dbus core
may_see tools core dbus

find core plugins dbus tools tests docs -name '*.c' -o -name '*.h' -o -name '*.cc' -o -name '*.py' -o -name '*.sh' \
  | LC_ALL=C sort >"$work/all"
while read -r file; do
  lines=$(wc -l <"$file")
  if [ "$lines" -ge 1000 ]; then
    fail "$file has $lines lines: split it by subject"
  elif [ "$lines" -gt 600 ]; then
    echo "layering: note: $file has $lines lines" >&2
  fi
  head -n 3 "$file" | grep -q 'SPDX-License-Identifier: ' || fail "$file does not begin with an SPDX-License-Identifier"
done <"$work/all"
exit $status
