#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# soractl and memory: check tells the peak, a job that has less is refused before it begins, and the sizes that are named fit.
. "${SORA_TEST_SRCDIR:?make check sets it}/tests/cli/lib.sh" || exit 99

large=(-m small-a --width 128 --height 96 --frames 17 --steps 1 --seed 1)
peak () { "$soractl" check --json "$@" ball | sed -n 's/^ *"peak_bytes": \([0-9]*\),*$/\1/p'; }
needed=$(peak "${large[@]}")
[ "$needed" -gt 1000000 ] || { complain "check tells a peak of '$needed'"; exit 1; }

# -- What is foreseen is enough, and one byte less is not.
"$soractl" generate --local -q "${large[@]}" --memory "$needed" -o enough.mp4 ball > /dev/null || complain "its own peak is not enough"
rm -f enough.mp4
refuses "a byte too little" 1 "the job needs [0-9.]+ [KMG]iB of memory, and may use .*[0-9]+x[0-9]+ with [0-9]+ frames.* would fit" \
  "$soractl" generate --local "${large[@]}" --memory $((needed - 1)) ball

# -- Check says it as well, and succeeds.
accepts "check" "the job needs .* would fit" "$soractl" check "${large[@]}" --memory $((needed - 1)) ball
grep -q 'peak memory' "$work/stdout" || complain "check gave no table: $(cat "$work/stdout")"
"$soractl" check --json "${large[@]}" --memory $((needed * 4 / 5)) ball > check.json
grep -q '"fits": false' check.json || complain "check --json: $(cat check.json)"
[ "$(grep -c '"width"' check.json)" -ge 1 ] || complain "no size that would fit: $(cat check.json)"

# -- The first size that is named runs in what there is.
number () { sed -n "s/^ *\"$1\": \([0-9]*\),*$/\1/p" check.json | head -n 1; }
smaller=(-m small-a --width "$(number width)" --height "$(number height)" --frames "$(number frames)" --steps 1 --seed 1)
"$soractl" generate --local -q "${smaller[@]}" --memory $((needed * 4 / 5)) -o smaller.mp4 ball > /dev/null \
  || complain "what was said to fit does not: ${smaller[*]}"

# -- Too little for anything.
rm -f -- *
refuses "nothing fits" 1 "and may use 1000 bytes: raise the memory limit" "$soractl" generate --local "${large[@]}" --memory 1000 ball

# -- One stage alone.
refuses "a stage with too little" 1 "needs [0-9.]+ [KMG]iB of memory, and may use 1000 bytes" \
  "$soractl" stage run text-umt5 -m small-a -p prompt=ball --memory 1000 -o text.safetensors
"$soractl" stage run text-umt5 -m small-a -p prompt=ball --memory 1G -o text.safetensors > /dev/null || complain "a stage with enough"
exit $fail
