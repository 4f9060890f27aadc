#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# soractl models: single files make the clip that their Diffusers folder makes; what is added is checked, used where it
# lies, compared later, and taken away without its files.
. "${SORA_TEST_SRCDIR:?make check sets it}/tests/cli/lib.sh" || exit 99
export XDG_DATA_HOME=$work/data XDG_CACHE_HOME=$work/cache SORA_MODEL_PATH=
registered=$XDG_DATA_HOME/sorad/models
"$bld/tests/core/make-tiny-wan" "$src/tests/golden/models/small-b/tokenizer/spiece.model" "$work/tiny" || exit 99
tiny=$work/tiny

# -- The same weights, the same clip: as a Diffusers folder, and with the names of Diffusers, Wan and ComfyUI.
clip=(generate --local -q --metadata none --width 32 --height 32 --frames 5 --steps 2 --seed 1)
for form in folder diffusers original comfy; do
  "$soractl" "${clip[@]}" -m "$tiny/$form" -o "$form.mp4" "a red ball" > /dev/null 2> "$work/stderr" \
    || complain "generate with $form: $(cat "$work/stderr")"
  cmp folder.mp4 "$form.mp4" || complain "$form made another clip than the Diffusers folder"
done
cp folder.mp4 "$work/"
rm -f ./*

# -- TI2V-5B needs no more than its folder: 48 channels, sizes in multiples of 32, 24 frames a second unless another rate is
# asked for; and its files have the names of Diffusers, Wan and ComfyUI.
five=$tiny/5b
rate () { # of an APNG: its first frame's delay, as frames/s
  at=$(grep -abom1 fcTL "$1" | head -n 1 | cut -d: -f1)
  od -An -tu1 -j $((at + 24)) -N 4 "$1" | awk '{ print ($3 * 256 + $4) / ($1 * 256 + $2) }'
}
for form in folder diffusers original comfy; do
  "$soractl" run text-to-video --local -q --metadata none --steps 2 --frames 5 --width 64 --height 64 --seed 1 -m "$five/$form" -o "$form.mp4" "a red ball" > /dev/null 2> "$work/stderr" \
    || complain "5B, $form: $(cat "$work/stderr")"
  cmp folder.mp4 "$form.mp4" || complain "5B: $form made another clip than the Diffusers folder"
done
"$soractl" run text-to-frames --local -q --layout apng --steps 1 --frames 5 --width 64 --height 64 -m "$five/folder" -o five.png "a red ball" > /dev/null || complain "5B to an APNG"
"$soractl" run text-to-frames --local -q --layout apng --fps 10 --steps 1 --frames 5 --width 64 --height 64 -m "$five/folder" -o ten.png "a red ball" > /dev/null || complain "5B at 10 fps"
"$soractl" run text-to-frames --local -q --layout apng --steps 1 --frames 5 --width 32 --height 32 -m "$tiny/folder" -o sixteen.png "a red ball" > /dev/null || complain "an APNG"
[ "$(rate five.png) $(rate ten.png) $(rate sixteen.png)" = "24 10 16" ] || complain "rates: $(rate five.png) $(rate ten.png) $(rate sixteen.png), expected 24 10 16"
"$soractl" check -q -m "$five/folder" --width 96 --height 64 "a red ball" > /dev/null || complain "check of 5B"
rm ./*
refuses "5B in no multiple of 32" 2 "width is 80 px, expected a multiple of 32 for this model: 64 or 96" "$soractl" check -m "$five/folder" --width 80 "a red ball"
# Its encoder, and that of Wan 2.1 with its original names: the same latents as from the Diffusers folder.
header='{"frames":{"dtype":"U8","shape":[5,32,48,3],"data_offsets":[0,23040]}}'
{ printf "\\$(printf %03o ${#header})\0\0\0\0\0\0\0%s" "$header"; tail -c 23040 "$tiny/folder/vae/diffusion_pytorch_model.safetensors"; } > "$work/frames.safetensors"
for of in . 5b; do
  for form in folder diffusers original comfy; do
    "$soractl" stage run vae-wan-encode -q -m "$tiny/$of/$form" -i frames="$work/frames.safetensors" -o "$form.safetensors" > /dev/null 2> "$work/stderr" \
      || complain "encode with $of/$form: $(cat "$work/stderr")"
    cmp folder.safetensors "$form.safetensors" || complain "encode: $of/$form made other latents than the folder"
  done
  rm ./*
done
"$soractl" models add -q "$five/original/"* --name five > shown || complain "models add of 5B: $(cat shown)"
grep -q '^vae *AutoencoderKLWan' shown || complain "add tells of 5B: $(cat shown)"
"$soractl" models verify -q five > /dev/null || complain "models verify of 5B"
"$soractl" models remove -q five > /dev/null
rm ./*
cp -r "$five/folder" "$work/five" # and a tensor that is not there, and one of another shape, which the encoder alone reads
weights=$work/five/vae/diffusion_pytorch_model.safetensors
sed -i 's/decoder.up_blocks.1.upsampler.time_conv.bias/decoder.up_blocks.1.upsampler.time_conv.biaz/' "$weights"
refuses "5B without a tensor" 1 "missing: 'decoder.up_blocks.1.upsampler.time_conv.bias'" "$soractl" models add "$work/five"
sed -i 's/biaz/bias/; s/\("encoder.down_blocks.2.downsampler.time_conv.bias":{"dtype":"F32","shape":\)\[32\]/\1[ 1]/' "$weights"
refuses "5B with a wrong shape" 1 "encoder.down_blocks.2.downsampler.time_conv.bias" \
  "$soractl" stage run vae-wan-encode -m "$work/five" -i frames="$work/frames.safetensors" -o latents.safetensors

# -- A few-step form beside the other is a network of its own, which is looked at as the other is.
cp -r "$tiny/folder" "$work/few"
cp -r "$work/few/transformer" "$work/few/transformer_turbo"
mkdir "$work/few/scheduler_turbo"
printf '%s\n' '{"_class_name": "WanStepDistillScheduler", "denoising_step_list": [1000, 500], "num_train_timesteps": 1000, "sample_shift": 3.0}' > "$work/few/scheduler_turbo/scheduler_config.json"
sed -i '0,/{/s//{ "transformer_turbo": ["diffusers", "WanTransformer3DModel"],/' "$work/few/model_index.json"
"$soractl" models verify -q "$work/few" > shown || complain "models verify with a few-step form: $(cat shown)"
"$soractl" generate --local -q --turbo --frames 5 --width 32 --height 32 -m "$work/few" -o few.mp4 "a red ball" > /dev/null || complain "generate with a few-step form"
rm few.mp4 shown
sed -i 's/blocks.1.norm2.bias/blocks.1.norm2.biaz/' "$work/few/transformer_turbo/"*.safetensors
refuses "a few-step form without a tensor" 1 "transformer_turbo.*missing: 'blocks.1.norm2.bias'" "$soractl" models verify "$work/few"
rm -rf "$work/few"

# -- add: a folder is linked to, files are named in a model.conf; what is printed tells what it is.
"$soractl" models add -q "$tiny/comfy/"*.safetensors --name comfy > shown || complain "models add of files"
grep -q 'Weights *1.47 M parameters, 5.9 MB' shown && grep -q 'text-to-video .*MB' shown || complain "add tells: $(cat shown)"
[ "$(ls "$registered/comfy")" = model.conf ] || complain "the registration holds: $(ls "$registered/comfy")"
"$soractl" models add -q "$tiny/original/"* > /dev/null || complain "models add of files and a tokenizer"
[ -d "$registered/dit" ] || complain "a model of files is called after its transformer's: $(ls "$registered")"
"$soractl" models add -q "$tiny/folder" > /dev/null || complain "models add of a folder"
[ "$(readlink "$registered/folder")" = "$tiny/folder" ] || complain "no link to the folder"
(cd "$tiny" && "$soractl" models add -q diffusers --name by-path > /dev/null) || complain "models add of a folder of files"
listed=$("$soractl" models list -q | awk 'NR > 1 { print $1 }' | tr '\n' ' ')
[ "$listed" = "by-path comfy dit folder " ] || complain "listed: $listed"
"$soractl" "${clip[@]}" -m comfy -o added.mp4 "a red ball" > /dev/null || complain "generate with what was added"
cmp "$work/folder.mp4" added.mp4 || complain "what was added made another clip"
"$soractl" models show comfy -q | grep -q '^transformer *WanTransformer3DModel *0.51 M' || complain "models show"
"$soractl" models show comfy -q --json | grep -q '"runs": true' || complain "models show --json"
[ -z "$(ls -A "$registered" | grep adding)" ] || complain "left behind: $(ls -A "$registered")"
rm -f ./*

# -- Two experts, told by the words in their names: of the same weights twice they make the clip of one, in place and added.
mkdir "$work/experts" && cp "$tiny/comfy/"{t5,ae}.safetensors "$work/experts/"
for noise in high low; do cp "$tiny/comfy/dit.safetensors" "$work/experts/wan2.2_t2v_${noise}_noise_14B.safetensors"; done
"$soractl" "${clip[@]}" -m "$work/experts" -o experts.mp4 "a red ball" > /dev/null 2> "$work/stderr" || complain "two experts: $(cat "$work/stderr")"
"$soractl" models add -q "$work/experts/"*.safetensors > shown || complain "models add of two experts"
grep -q '^transformer_2 *WanTransformer3DModel' shown || complain "add tells of two experts: $(cat shown)"
grep -A 1 '^\[transformer_2\]' "$registered/wan2.2_t2v_high_noise_14B/model.conf" | grep -q low_noise || complain "which expert is which: $(cat "$registered"/wan2*/model.conf)"
"$soractl" "${clip[@]}" -m wan2.2_t2v_high_noise_14B --guidance-scale-2 5 -o added.mp4 -f "a red ball" > /dev/null || complain "generate with two added experts"
for same in experts added; do cmp "$work/folder.mp4" $same.mp4 || complain "two experts of the same weights: $same.mp4 is not the clip of one"; done
"$soractl" models remove -q wan2.2_t2v_high_noise_14B > /dev/null
rm -f ./*

# -- A part is no model, and says what else one has; nor are FastVideo's sparse weights.
refuses "a transformer alone" 1 "/dit.safetensors' is a Wan transformer alone, and a model has a T5 text encoder, a Wan VAE, and a tokenizer besides: 'soractl models add FILE" \
  "$soractl" generate --local -m "$tiny/original/dit.safetensors" ball
refuses "a VAE alone" 1 "ae.safetensors' is a Wan VAE alone, and a model has a Wan transformer, a T5 text encoder, and a tokenizer" \
  "$soractl" check -m "$tiny/comfy/ae.safetensors" ball
rm "$work/experts/wan2.2_t2v_low_noise_14B.safetensors"
refuses "one expert" 1 "missing: the expert for low noise beside 'wan2.2_t2v_high_noise_14B.safetensors'" "$soractl" check -m "$work/experts" ball
cp -r "$tiny/folder" "$work/sparse"
sed -i 's/blocks.0.attn1.to_out.0.weight/blocks.0.to_gate_compress.bias/' "$work/sparse/transformer/diffusion_pytorch_model.safetensors"
refuses "sparse attention" 2 "blocks.0.to_gate_compress.bias' is one of FastVideo's video sparse attention .* full attention \(FullAttn in its name\)" \
  "$soractl" check -m "$work/sparse" ball

# -- verify compares every byte, also where times and size tell nothing.
"$soractl" models verify -q comfy folder > out || complain "models verify"
[ "$(grep -c 'as when it was added' out)" -eq 2 ] || complain "verify: $(cat out)"
file=$tiny/comfy/ae.safetensors
stamp=$(stat -c %y "$file")
printf '\1' | dd of="$file" bs=1 seek=$(($(stat -c %s "$file") - 3)) conv=notrunc status=none
touch -d "$stamp" "$file"
rm out shown 2> /dev/null || true
refuses "a weight that changed" 1 "'comfy' is not what it was when it was added: its digest is [0-9a-f]{64}, was [0-9a-f]{64}" \
  "$soractl" models verify -q comfy

# -- What is not added, with one line that says why, and nothing in the models folder.
before=$(ls -A "$registered")
add () { refuses "$1" "$2" "$3" "$soractl" models add -q "${@:4}"; }
mkdir "$work/bad"
printf 'PK\3\4 zip' > "$work/bad/zip.safetensors"
cp -r "$tiny/folder" "$work/bad/folder"
add "a name that is taken" 2 "there is a model 'folder' already" "$tiny/folder"
add "a bad name" 2 "'a/b' is no name" "$tiny/folder" --name a/b
add "a pickle" 1 "Wan2.1_VAE.pth' is a pickle: .*safetensors" "$tiny/original/dit.safetensors" "$work/bad/Wan2.1_VAE.pth"
add "a pickle by another name" 1 "zip.safetensors' is a zip archive or PyTorch checkpoint" "$work/bad/zip.safetensors"
add "a file that is not there" 3 "nowhere.safetensors" "$work/nowhere.safetensors"
add "one of three" 1 "missing: a T5 text encoder, a Wan VAE, a tokenizer" "$tiny/original/dit.safetensors"
add "two transformers" 1 "each of .* is a Wan transformer, expected one" "$tiny/original/"* "$tiny/comfy/dit.safetensors"
add "an empty folder" 3 "is no model in the Diffusers layout" "$work/out"
add "a folder and a file" 2 "name one folder, or the files of one model" "$tiny/folder" "$tiny/original/dit.safetensors"
sed -i 's/blocks.1.attn1.to_k.bias/blocks.1.attn1.to_k.biaz/' "$work/bad/folder/transformer/diffusion_pytorch_model.safetensors"
add "a missing tensor" 1 "blocks.1.attn1.to_k.bias" "$work/bad/folder" --name bad
sed 's/"blocks.1.self_attn.k.bias":{"dtype":"F32"/"blocks.1.self_attn.k.bias":{"dtype":"I32"/' "$tiny/original/dit.safetensors" > "$work/bad/dit.safetensors"
add "a dtype" 1 "/bad/dit.safetensors.*blocks.1.attn1.to_k.bias' is i32" "$work/bad/dit.safetensors" "$tiny/original/"{t5,ae}.safetensors "$tiny/original/spiece.model" --name dtype
[ "$(ls -A "$registered")" = "$before" ] || complain "the models folder changed: $(ls -A "$registered")"
refuses "a word that is none" 2 "unexpected word 'frob'" "$soractl" models frob
refuses "an option of another word" 2 "name is for 'add'" "$soractl" models list --name x

# -- remove takes the registration, never the user's files; a model's own files only when it is told to.
"$soractl" models remove -q comfy folder dit by-path || complain "models remove"
[ "$("$soractl" models list -q | wc -l)" -eq 1 ] || complain "still there: $("$soractl" models list -q)"
[ -e "$tiny/comfy/ae.safetensors" ] && [ -e "$tiny/folder/model_index.json" ] || complain "remove deleted the user's files"
[ -z "$(ls -A "$registered/.registered")" ] || complain "records stay: $(ls -A "$registered/.registered")"
cp -r "$tiny/folder" "$registered/mine"
ln -s "$tiny/original" "$registered/mine/link"
refuses "own files" 2 "holds the model's own files: --delete-files" "$soractl" models remove mine
"$soractl" models remove -q mine --delete-files || complain "remove --delete-files"
[ ! -e "$registered/mine" ] && [ -e "$tiny/original/dit.safetensors" ] || complain "remove --delete-files"
refuses "a model that is not there" 3 "there is no model 'mine'" "$soractl" models remove mine
SORA_MODEL_PATH=$tiny refuses "another's model" 2 "'original' was not added by you" "$soractl" models remove original
refuses "a path" 3 "cannot open the model folder" "$soractl" models remove ../x
exit $fail
