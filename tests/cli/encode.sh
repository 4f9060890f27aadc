#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Frames to latents by the encoder alone, and back: the shipped model, files in and out, and the recipe of plugins/vae-wan/README.md.
. "${SORA_TEST_SRCDIR:?make check sets it}/tests/cli/lib.sh" || exit 99
model=$src/models/sora-shapes-1

# safetensors WIDTH HEIGHT FRAMES: raw rgb24 to a file of one tensor, as the README has it.
safetensors () {
  local w=$1 h=$2 n=$3 header
  header=$(printf '{"frames":{"dtype":"U8","shape":[%d,%d,%d,3],"data_offsets":[0,%d]}}' $n $h $w $((n * h * w * 3)))
  printf "\\$(printf %03o ${#header})\0\0\0\0\0\0\0%s" "$header"
  cat
}
clip () { head -c $(($1 * $2 * $3 * 3)) "$src/tests/golden/vae-small-b.safetensors" | safetensors "$@"; }

clip 48 32 5 > a.safetensors
"$soractl" inspect a.safetensors | grep -q 'u8 *\[5,32,48,3\]' || complain "the recipe's file: $("$soractl" inspect a.safetensors)"
"$soractl" stage run vae-wan-encode -q --model "$model" --input frames=a.safetensors --output latents=b.safetensors > /dev/null \
  || complain "stage run vae-wan-encode"
"$soractl" inspect b.safetensors | grep -q 'f32 *\[12,2,4,6\]' || complain "latents: $("$soractl" inspect b.safetensors)"
"$soractl" stage run vae-wan-encode -q -m "$model" --threads 1 -i frames=a.safetensors -o latents=c.safetensors > /dev/null
cmp b.safetensors c.safetensors || complain "one thread gave other latents"
"$soractl" stage run vae-wan -q -m "$model" -i latents=b.safetensors -o frames=d.safetensors > /dev/null || complain "decoding them"
"$soractl" inspect d.safetensors | grep -q 'u8 *\[5,32,48,3\]' || complain "frames: $("$soractl" inspect d.safetensors)"

# -- A picture, and a number of frames that makes no whole latent: that many come back.
clip 16 8 1 > one.safetensors
"$soractl" stage run vae-wan-encode -q -m "$model" -i frames=one.safetensors -o latents=l.safetensors > /dev/null || complain "a picture"
"$soractl" inspect l.safetensors | grep -q 'f32 *\[12,1,1,2\]' || complain "a picture's latents: $("$soractl" inspect l.safetensors)"
clip 16 8 4 > four.safetensors
accepts "four frames" "has 4 frames: the last one is repeated to make 5" \
  "$soractl" stage run vae-wan-encode -m "$model" -i frames=four.safetensors -o latents=m.safetensors
"$soractl" stage run vae-wan -q -m "$model" -i latents=m.safetensors -o frames=n.safetensors > /dev/null
"$soractl" inspect n.safetensors | grep -q 'u8 *\[4,8,16,3\]' || complain "four frames, back: $("$soractl" inspect n.safetensors)"

# -- One line says what is wrong.
clip 20 8 1 > "$work/narrow.safetensors"
clip 16 8 1 > "$work/good.safetensors"
rm -f -- *.safetensors
refuses "a width of 20" 2 "frames of 20x8, expected width and height to be multiples of 8" \
  "$soractl" stage run vae-wan-encode -m "$model" -i frames="$work/narrow.safetensors" -o latents=x.safetensors
refuses "a model without encoder" 2 "are missing: 'encoder.conv_in.weight'" \
  "$soractl" stage run vae-wan-encode -m small-a -i frames="$work/good.safetensors" -o latents=x.safetensors
"$soractl" plugins | grep -q '^vae-wan-encode ' || complain "plugins does not list it"

exit $fail
