#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The system's unit: systemd takes every line of it, and finds it exposed to no more than 1.5 of 10.
set -eu
builddir=${SORA_TEST_BUILDDIR:-.}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
systemd-analyze --help 2>/dev/null | grep -q -- --threshold || { echo "skipped: there is no systemd-analyze that scores a file"; exit 77; }

# What it runs need not be installed here.
sed 's,^ExecStart=[^ ]*,ExecStart=/bin/true,; /^Documentation=/d' "$builddir/dbus/data/sorad.service" >"$work/sorad.service"
systemd-analyze verify "$work/sorad.service" >"$work/verify" 2>&1 || { cat "$work/verify"; exit 1; }
! grep sorad.service "$work/verify" || exit 1
systemd-analyze security --offline=yes --threshold=15 --no-pager "$work/sorad.service" >"$work/score" 2>&1 || {
  tail -n 1 "$work/score"
  exit 1
}
tail -n 1 "$work/score"
