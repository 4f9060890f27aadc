#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A decoder put in for another, with a model of its own: the tiny one, on Wan latents of a small random model.
. "${SORA_TEST_SRCDIR:?make check sets it}/tests/cli/lib.sh" || exit 99
checkpoints=$src/tests/golden/tiny
clip=(-m small-b --width 32 --height 32 --frames 5 --steps 2 --seed 1 --no-mark --metadata none)
swap=(--stage decode=vae-tiny)

"$soractl" run --local -q "${clip[@]}" text-to-frames -o whole.png ball > /dev/null || complain "without it"
for threads in 1 2; do
  "$soractl" run --local -q "${clip[@]}" "${swap[@]}" -m "tiny=$checkpoints/taew2_1-a.safetensors" --threads $threads \
    text-to-frames -o $threads.png ball > /dev/null || complain "with vae-tiny, $threads threads"
done
cmp 1.png 2.png || complain "the number of threads changed the bytes"
! cmp -s 1.png whole.png || complain "nothing was swapped"

# -- A folder that holds the file alone, and a name among the models, are the same.
mkdir "$work/alone" && cp "$checkpoints/taew2_1-a.safetensors" "$work/alone/"
"$soractl" run --local -q "${clip[@]}" "${swap[@]}" -m "tiny=$work/alone" text-to-frames -o folder.png ball > /dev/null || complain "a folder"
SORA_MODEL_PATH=$SORA_MODEL_PATH:$work/alone "$soractl" run --local -q "${clip[@]}" "${swap[@]}" -m tiny=taew2_1-a text-to-frames \
  -o name.png ball > /dev/null || complain "a name"
for same in folder name; do
  cmp 1.png $same.png || complain "the same weights, found as a $same, gave other bytes"
done
rm -f -- *.png

# -- One line says what is wrong.
check=("$soractl" check "${clip[@]}" "${swap[@]}")
refuses "no model of its own" 1 "stage 'decode' \(plugin 'vae-tiny'\) asks for: give it another as model 'tiny'" "${check[@]}" ball
refuses "of another family" 2 "has 16 channels, and the tiny decoder is for 48: .* taew2_1" "${check[@]}" \
  -m "tiny=$checkpoints/taew2_2-b.safetensors" ball
cp "$checkpoints/taew2_1-a.safetensors" "$work/taew2_1.pth"
refuses "a pickle" 1 "taew2_1.pth' is a pickle.*\.safetensors file that is published beside it" "${check[@]}" \
  -m "tiny=$work/taew2_1.pth" ball
refuses "weights of another kind" 1 "cases.safetensors' is no model by itself" "${check[@]}" \
  -m "tiny=$checkpoints/cases.safetensors" ball
refuses "without the swap" 2 "no model role 'tiny'" "$soractl" check "${clip[@]}" -m "tiny=$work/alone" ball

exit $fail
