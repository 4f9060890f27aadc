#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# sora-bench and soractl bench as programs: what they list, print and refuse.  What they measure is not looked at, but for
# being there.
. "$SORA_TEST_SRCDIR/tests/cli/lib.sh"
export SORA_MODEL_PATH=$src/models:$src/tests/golden/models
bench=$bld/tools/bench/sora-bench

# -- the list, and the page that tells the options
[ "$("$bench" --list | wc -l)" -ge 14 ] || complain "list: $("$bench" --list)"
[ "$("$soractl" bench --list --json)" = "$("$bench" --list --json)" ] || complain "soractl bench lists other cases"
for option in $("$bench" --help | grep -oE -- '--[a-z][a-z-]+' | grep -v -- --help | sort -u); do
  grep -Eq -- "(Fl|Fl [a-z] ,) -${option#--}( |\$)" "$src/docs/sora-bench.1" || complain "the page does not tell of '$option'"
done

# -- one of each kind, small: made-up weights, scaled from one block, and a folder
"$bench" --threads 2 --repeat 1 --blocks 1 --json dit-180 embedded > out.json 2> err || complain "json: $(cat err)"
python=$(command -v python3 || true)
[ -z "$python" ] || "$python" - out.json << 'END' || complain "json: $(cat out.json)"
import json, sys
out = json.load(open(sys.argv[1]))
rows = {r["case"]: r for r in out["results"]}
assert list(rows) == ["dit-180", "embedded-text", "embedded-denoise", "embedded-decode", "embedded"], list(rows)
assert out["threads"] == 2 and out["fma_peak"]["thread"] > 0 and out["read_peak"]["wall"] > 0, out
assert out["weights"] == "random weights", out
for r in rows.values():
    assert r["cpu"] > 0 and r["wall"] > 0 and r["flops"] > 0 and r["peak_resident"] > 0, r
    assert 0 < r["lowest_fraction"] <= r["fraction_of_fma_peak"] <= r["highest_fraction"], r
d = rows["dit-180"]
assert (d["blocks_run"], d["blocks"]) == (1, 30), d
# 180 tokens, 41 rows of text, 30 layers of 1536 and 8960; time and patches.
want = 30 * (2 * 180 * (6 * 1536**2 + 2 * 1536 * 8960) + 4 * 180 * 41 * 1536 + 4 * 180**2 * 1536) \
    + 2 * 1536 * 256 + 14 * 1536**2 + 2 * 180 * 1536 * 128
assert abs(d["flops"] / want - 1) < 1e-9, (d["flops"], want)
assert rows["embedded"]["blocks"] == rows["embedded"]["blocks_run"], rows["embedded"]
parts = [rows["embedded-" + s]["flops"] for s in ("text", "denoise", "decode")]
assert abs(sum(parts) / rows["embedded"]["flops"] - 1) < 1e-9, parts
END
"$bench" --threads 1 --repeat 1 --blocks 1 text-40 dit-180 > out.txt 2> err || complain "table: $(cat err)"
grep -q '^text-40\*' out.txt && grep -q '1 of 24 blocks were run' out.txt || complain "scaling is not told: $(cat out.txt)"
grep -q "$(printf '\033')" out.txt && complain "colour where there is no terminal"
grep -q 'dit-180: ' err || complain "it does not say what it does: $(cat err)"
rm out.json out.txt err
# Weights from a folder; its tokenizer splits the prompt into as many tokens as the case says.
"$bench" -q -m small-a --threads 1 --repeat 1 --json text-40 > "$work/stdout" 2> "$work/stderr" \
  && grep -q '"weights": "small-a"' "$work/stdout" || complain "folder: $(cat "$work/stderr")"

# -- what is refused, in one line
refuses_bench () {
  local code=$1 regex=$2 got=0
  shift 2
  "$bench" "$@" > "$work/stdout" 2> "$work/stderr" || got=$?
  [ "$got" -eq "$code" ] || complain "$*: exit code $got, expected $code: $(cat "$work/stderr")"
  grep -Eq -- "$regex" "$work/stderr" || complain "$*: expected '$regex', got: $(cat "$work/stderr")"
  [ "$(grep -c '^sora-bench: ' "$work/stderr")" -eq 1 ] || complain "$*: not one line: $(cat "$work/stderr")"
}
refuses_bench 2 "no case 'dit-7'" dit-7
refuses_bench 2 "'half', expected exact or fast" --precision half peaks
refuses_bench 2 "--repeat is -1, expected 1 to 100" --repeat=-1 peaks
refuses_bench 2 "--blocks is 1001" --blocks 1001 peaks
refuses_bench 2 "--threads is 99999" --threads 99999 peaks
refuses_bench 3 "no-such-model" -m no-such-model peaks
refuses "bench: unknown case" 2 "no case 'ball'.*bench --request" "$soractl" bench ball
nothing_left "bench"
exit $fail
