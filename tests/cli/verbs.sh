#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The verbs of soractl are the same in its table, its man page and its completion; every verb has help, and every
# long option of a verb's help stands in the man page.
set -eu
soractl=$SORA_TEST_BUILDDIR/tools/soractl
page=$SORA_TEST_SRCDIR/docs/soractl.1
completion=$SORA_TEST_SRCDIR/tools/soractl.bash
fail=0
complain () { printf 'FAIL: %s\n' "$*"; fail=1; }

verbs=$("$soractl" --help | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ "$(wc -w <<< "$verbs")" -ge 15 ] || complain "only these verbs are listed: $verbs"
listed=$(sed -n 's/.*local verbs="\(.*\)"/\1/p' "$completion")
for verb in $verbs; do
  grep -Eq "Cm $verb( |\$)" "$page" || complain "the man page does not tell of '$verb'"
  grep -qw "$verb" <<< "$listed" || complain "the completion does not know '$verb'"
  help=$("$soractl" "$verb" --help) || complain "'soractl $verb --help' failed"
  for option in $(grep -oE -- '--[a-z][a-z-]+' <<< "$help" | sort -u); do
    grep -Eq -- "(Fl|Fl [a-z] ,) -${option#--}( |\$)" "$page" || complain "the man page does not tell of '$verb $option'"
    # Those that only make sense with a value typed by hand are left out of nothing: all are completed.
    grep -q -- "$option" "$completion" || complain "the completion does not know '$verb $option'"
  done
done
for word in $listed; do grep -qw "$word" <<< "$verbs" || complain "the completion offers '$word', which is no verb"; done

code=0; "$soractl" nonsense 2> /dev/null || code=$?
[ $code -eq 2 ] || complain "an unknown verb gives $code, expected 2"
code=0; "$soractl" jobs --nonsense 2> /dev/null || code=$?
[ $code -eq 2 ] || complain "an unknown option gives $code, expected 2"
code=0; "$soractl" > /dev/null 2>&1 || code=$?
[ $code -eq 2 ] || complain "no verb gives $code, expected 2"
exit $fail
