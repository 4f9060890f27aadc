#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the shipped model draws, in all steps and in few: the named object in the middle of the named background, for all of the clip.
. "${SORA_TEST_SRCDIR:?make check sets it}/tests/cli/lib.sh" || exit 99
model=$src/models/sora-shapes-1

# pixel FILE FRAME ROW COLUMN: "R G B" of u8 frames [17, 96, 96, 3]; a safetensors file has 8 bytes, the length of its header, and the header.
pixel () {
  local header
  header=$(od -An -t u8 -N 8 "$1")
  od -An -t u1 -N 3 -j $((8 + header + (($2 * 96 + $3) * 96 + $4) * 3)) "$1"
}
looks () { # looks NAME FILE FRAME ROW COLUMN COLOUR
  local red green blue is=other
  read -r red green blue < <(pixel "$2" "$3" "$4" "$5")
  [ "$red" -gt 150 ] && [ "$green" -lt 110 ] && [ "$blue" -lt 110 ] && is=red
  [ "$blue" -gt 150 ] && [ "$red" -lt 110 ] && [ "$green" -lt 150 ] && is=blue
  [ "$red" -gt 215 ] && [ "$green" -gt 215 ] && [ "$blue" -gt 215 ] && is=white
  [ "$red" -lt 60 ] && [ "$green" -lt 60 ] && [ "$blue" -lt 60 ] && is=black
  [ "$is" = "$6" ] || complain "$1: frame $3, row $4, column $5 is ($red, $green, $blue), expected $6"
}
draw () { # draw NAME PROMPT OPTION...: by the stages one by one, as the README has it
  local name=$1 prompt=$2
  shift 2
  "$soractl" stage run text-umt5 -q -m "$model" -p "prompt=$prompt" -o "text-$name.safetensors" > /dev/null \
    && "$soractl" stage run dit-wan -q -m "$model" -i "text=text-$name.safetensors:embedding" -i "negative=text-$name.safetensors:negative" \
      -p width=96 -p height=96 -p frames=17 -p guidance-scale=3 "$@" -s 1 -o "latents-$name.safetensors" > /dev/null \
    && "$soractl" stage run vae-wan -q -m "$model" -i "latents=latents-$name.safetensors" -o "frames=$name.safetensors" > /dev/null \
    || complain "$name: no frames"
}

for way in full turbo; do
  options=(-p steps=20)
  [ $way = full ] || options=(-p turbo=true)
  draw $way-ball "a large red ball stays in place on a plain white background" "${options[@]}"
  draw $way-star "a large blue star is still on a black background" "${options[@]}"
  for frame in 0 8 16; do
    looks $way-ball $way-ball.safetensors $frame 48 48 red
    looks $way-star $way-star.safetensors $frame 48 48 blue
    for corner in "3 3" "3 92" "92 3"; do
      looks $way-ball $way-ball.safetensors $frame $corner white
      looks $way-star $way-star.safetensors $frame $corner black
    done
  done
done
rm -f -- *.safetensors

# As a user asks for it: the model says its size, and --turbo takes its few steps.
export SORA_MODEL_PATH=$src/models
"$soractl" check --json "a red ball" > check.json && "$soractl" check --json --turbo "a red ball" > turbo.json || complain "check"
tr -d ' \n' < check.json | grep -q '"frames".*\[17,96,96,3\]' || complain "not its own size: $(cat check.json)"
steps () { tr -d ' \n' < "$1" | sed -n 's/.*"stage":"denoise"[^]]*"steps":\([0-9]*\),.*/\1/p'; }
[ "$(steps check.json) $(steps turbo.json)" = "20 4" ] || complain "steps: $(steps check.json) and $(steps turbo.json), expected 20 and 4"
"$soractl" generate --local -q --turbo -s 1 -o few.mp4 "a large red ball stays in place on a plain white background" > /dev/null || complain "generate --turbo"
[ -s few.mp4 ] || complain "no clip"
exit $fail
