#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the bus offers is what the documents tell: members of the interfaces, errors, settings, messages; and the policy of
# the system bus opens the interfaces that there are.  That the example of settings shows the defaults is in test-parts.c.
set -eu
cd "${SORA_TEST_SRCDIR:-$(dirname "$0")/../..}"
status=0

fail () {
  echo "documents: $*" >&2
  status=1
}

# Puts a list that is taken out of a source into $found.  With the least that it must have: a source that is laid out
# anew is no success.
list () {
  least=$1
  shift
  found=$(sed -n "$@")
  [ "$(echo "$found" | wc -w)" -ge "$least" ] || fail "found only '$found' in $2, expected $least names or more"
}

for xml in dbus/org.sorad.Sora1.*.xml; do
  interface=$(sed -n 's/.*<interface name="\([^"]*\)".*/\1/p' "$xml")
  section=$(sed -n "/^\.Ss $interface\$/,/^\.El\$/p" docs/org.sorad.Sora1.5)
  [ -n "$section" ] || fail "org.sorad.Sora1(5) has no section $interface"
  list 5 's/.*<\(method\|property\) name="\([^"]*\)".*/\2/p' "$xml"
  for member in $found; do
    echo "$section" | grep -q "^\.It Cm $member " || fail "org.sorad.Sora1(5) does not tell $interface.$member"
  done
  if grep -q '<method' "$xml"; then
    grep -q "send_interface=\"$interface\"" dbus/data/org.sorad.Sora1.conf || fail "the policy does not open $interface"
  fi
done

list 14 's/.*"org\.sorad\.Sora1\.Error\.\([A-Za-z]*\)".*/\1/p' dbus/sora-bus-error.c
for error in $found; do
  grep -q "^\.It Cm $error\$" docs/org.sorad.Sora1.5 || fail "org.sorad.Sora1(5) does not tell the error $error"
done

list 18 's/.*KEY ("[A-Za-z]*", "\([A-Za-z]*\)".*/\1/p' dbus/sorad-config.c
for setting in $found; do
  grep -qE "^\.It Cm ([A-Za-z]+ , Cm )*$setting( |\$)" docs/sorad.8 || fail "sorad(8) does not tell the setting $setting"
  grep -q "^#$setting=" dbus/data/sorad.conf.example || fail "sorad.conf.example does not show $setting"
done
list 18 's/^#\([A-Za-z]*\)=.*/\1/p' dbus/data/sorad.conf.example
for setting in $found; do
  grep -q "\"$setting\"" dbus/sorad-config.c || fail "sorad.conf.example shows $setting, which there is not"
done

list 18 's/^ *SORA_MESSAGE_\([A-Z_]*\) = .*/\1/p' dbus/sora-protocol.h
for message in $found; do
  number=$(sed -n "s/^ *SORA_MESSAGE_$message = \([0-9]*\),.*/\1/p" dbus/sora-protocol.h)
  signature=$(tr -d '\n' <dbus/sora-protocol.c | sed -n "s/.*\[SORA_MESSAGE_$message\] *= *{ *\"$message\", *\"\([^\"]*\)\".*/\1/p")
  grep -qF "| $number | \`$message\` |" docs/protocol.md || fail "protocol.md does not tell $message with number $number"
  grep -F "| \`$message\` |" docs/protocol.md | grep -qF "\`$signature\`" \
    || fail "protocol.md does not tell $message with its signature '$signature'"
done

list 10 's/^ *{ "\([a-z-]*\)", 0, 0, G_OPTION_ARG.*/\1/p' dbus/sorad.c
for option in $found; do
  grep -q "Fl -$option" docs/sorad.8 || fail "sorad(8) does not tell --$option"
done
exit $status
