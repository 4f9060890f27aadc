#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the bus offers is what the documents tell: members of the interfaces, errors, settings, messages; the example of
# settings shows the defaults; and the policy of the system bus opens the interfaces that there are.
set -eu
cd "${SORA_TEST_SRCDIR:-$(dirname "$0")/../..}"
status=0

fail () {
  echo "documents: $*" >&2
  status=1
}

for xml in dbus/org.sorad.Sora1.*.xml; do
  interface=$(sed -n 's/.*<interface name="\([^"]*\)".*/\1/p' "$xml")
  section=$(sed -n "/^\.Ss $interface\$/,/^\.El\$/p" docs/org.sorad.Sora1.5)
  [ -n "$section" ] || fail "org.sorad.Sora1(5) has no section $interface"
  for member in $(sed -n 's/.*<\(method\|property\) name="\([^"]*\)".*/\2/p' "$xml"); do
    echo "$section" | grep -q "^\.It Cm $member " || fail "org.sorad.Sora1(5) does not tell $interface.$member"
  done
  if grep -q '<method' "$xml"; then
    grep -q "send_interface=\"$interface\"" dbus/data/org.sorad.Sora1.conf || fail "the policy does not open $interface"
  fi
done

for error in $(sed -n 's/.*"org\.sorad\.Sora1\.Error\.\([A-Za-z]*\)".*/\1/p' dbus/sora-bus-error.c); do
  grep -q "^\.It Cm $error\$" docs/org.sorad.Sora1.5 || fail "org.sorad.Sora1(5) does not tell the error $error"
done

for setting in $(sed -n 's/.*KEY ("[A-Za-z]*", "\([A-Za-z]*\)".*/\1/p' dbus/sorad-config.c); do
  grep -qE "^\.It Cm ([A-Za-z]+ , Cm )*$setting( |\$)" docs/sorad.8 || fail "sorad(8) does not tell the setting $setting"
  grep -q "^#$setting=" dbus/data/sorad.conf.example || fail "sorad.conf.example does not show $setting"
done
for setting in $(sed -n 's/^#\([A-Za-z]*\)=.*/\1/p' dbus/data/sorad.conf.example); do
  grep -q "\"$setting\"" dbus/sorad-config.c || fail "sorad.conf.example shows $setting, which there is not"
done

for message in $(sed -n 's/^ *SORA_MESSAGE_\([A-Z_]*\) = .*/\1/p' dbus/sora-protocol.h); do
  number=$(sed -n "s/^ *SORA_MESSAGE_$message = \([0-9]*\),.*/\1/p" dbus/sora-protocol.h)
  signature=$(tr -d '\n' <dbus/sora-protocol.c | sed -n "s/.*\[SORA_MESSAGE_$message\] *= *{ *\"$message\", *\"\([^\"]*\)\".*/\1/p")
  grep -qF "| $number | \`$message\` |" docs/protocol.md || fail "protocol.md does not tell $message with number $number"
  grep -F "| \`$message\` |" docs/protocol.md | grep -qF "\`$signature\`" \
    || fail "protocol.md does not tell $message with its signature '$signature'"
done

for option in $(sed -n 's/^ *{ "\([a-z-]*\)", 0, 0, G_OPTION_ARG.*/\1/p' dbus/sorad.c); do
  grep -q "Fl -$option" docs/sorad.8 || fail "sorad(8) does not tell --$option"
done
exit $status
