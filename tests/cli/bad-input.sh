#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Bad input gets one clear line and leaves nothing behind.
. "${SORA_TEST_SRCDIR:?make check sets it}/tests/cli/lib.sh" || exit 99

generate () { "$soractl" generate --local -q "${tiny[@]}" "$@"; }
pipeline () { sed "$1" "$src/pipelines/text-to-video.pipeline" > "$work/$2.pipeline"; }

# -- The request
refuses "empty prompt" 2 "prompt" generate ""
refuses "blank prompt" 2 "prompt" generate "   "
refuses "prompt that is not UTF-8" 2 "UTF-8" generate $'caf\xe9'
refuses "no prompt" 2 "prompt" "$soractl" generate --local
refuses "unknown parameter" 2 "no parameter 'stepz'" generate --stepz 3 ball
refuses "unknown stage parameter" 2 "no parameter 'denoise.stepz'" generate -p denoise.stepz=3 ball
refuses "steps out of range" 2 "steps.*0.*1" generate --steps 0 ball
refuses "steps not a number" 2 "steps.*many" generate --steps many ball
refuses "width not a multiple" 2 "width.*33.*multiple of" generate --width 33 ball
refuses "width beyond all bounds" 2 "width.*99999999" generate --width 99999999 ball
refuses "unknown choice" 2 "format.*gif" generate --format gif ball
refuses "memory that is no size" 2 "memory.*4Garbage" generate --memory 4Garbage ball
refuses "memory below a byte" 2 "memory.*0.5" generate --memory 0.5 ball
refuses "a switch that takes two words" 2 "'a cube'.*--mark=true" generate --mark "a cube" --prompt ball
refuses "a switch that takes the pipeline" 2 "text-to-frames.*--mark=true" "$soractl" run --local --mark text-to-frames
refuses "bus after the verb" 2 "--session goes before the verb" generate --session ball
refuses "an unknown letter" 2 "Unknown option -y" "$soractl" jobs -ypsilon
refuses "detached in this process" 2 "--detach.*--local" generate -d ball
refuses "option that is not UTF-8" 2 "UTF-8" generate $'--caf\xe9' 1 ball
refuses "JSON where there is none" 2 "--json" "$soractl" cancel --json 1
refuses "turbo without a few-step form" 2 "turbo.*no few-step form" generate --turbo ball
refuses "timesteps for a rule that takes none" 2 "timesteps.*only dmd and distill" generate --timesteps 1000,500 ball
refuses "bad seed" 2 "seed.*-1" "$soractl" generate --local --seed=-1 ball
refuses "unknown model" 3 "no-such-model" generate -m no-such-model ball
refuses "unknown pipeline" 3 "no-such-pipeline" "$soractl" run --local no-such-pipeline ball
refuses "unknown plugin for a stage" 3 "no-such-plugin" generate --stage denoise=no-such-plugin ball
refuses "override of a stage that is not there" 2 "nowhere" generate --stage nowhere=dit-wan ball
refuses "output folder that is not there" 3 "missing" generate -o missing/clip.mp4 ball

long=$(printf 'ball %.0s' $(seq 600))
accepts "prompt over 512 tokens" "warning.*prompt.*1201 tokens" generate -o long.mp4 "$long"
rm -f long.mp4
accepts "frames not 4n+1" "warning.*(6|frames).*9" generate --frames 6 -o six.mp4 ball
"$soractl" run --local -q "${tiny[@]}" --frames 6 text-to-frames --layout frames -o six.png ball > "$work/six" 2> "$work/stderr" || complain "text-to-frames: $(cat "$work/stderr")"
[ "$(wc -l < "$work/six")" -eq 6 ] || complain "6 frames became $(wc -l < "$work/six"): $(cat "$work/six")"
rm -f six*

# -- The pipeline
pipeline 's/^Input.latents=.*/Input.latents=nowhere:latents/' missing-stage
refuses "link from a missing stage" 2 "nowhere" "$soractl" run --local "${tiny[@]}" "$work/missing-stage.pipeline" ball
pipeline 's/^Input.frames=decode:frames/Input.frames=mark:frames/' cycle
refuses "cycle" 2 "cycle.*mark" "$soractl" run --local "${tiny[@]}" "$work/cycle.pipeline" ball
pipeline 's/^Input.latents=.*/Input.latents=text:embedding/' kinds
refuses "kinds that differ" 2 "sora.latents.video/1.*sora.text.embedding/1|sora.text.embedding/1.*sora.latents.video/1" \
  "$soractl" run --local "${tiny[@]}" "$work/kinds.pipeline" ball
pipeline '/^Input.latents=/d' dangling
refuses "an input that nothing feeds" 2 "decode.*latents" "$soractl" run --local "${tiny[@]}" "$work/dangling.pipeline" ball

# -- The model
model () { rm -rf "$work/model"; cp -rL "$src/tests/golden/models/small-b" "$work/model"; chmod -R u+w "$work/model"; }
broken () { refuses "$1" "$2" "$3" "$soractl" generate --local -q "${tiny[@]}" -m "$work/model" ball; }
shard=text_encoder/model-00002-of-00002.safetensors
model; truncate -s -100 "$work/model/transformer/diffusion_pytorch_model.safetensors"
broken "truncated weights" 1 "diffusion_pytorch_model.safetensors.*(bytes|truncated|short)"
model; truncate -s 5 "$work/model/transformer/diffusion_pytorch_model.safetensors"
broken "weights shorter than their length" 1 "diffusion_pytorch_model.safetensors"
model; printf '\xff\xff\xff\xff\xff\xff\xff\x7f' | dd of="$work/model/vae/diffusion_pytorch_model.safetensors" conv=notrunc status=none
broken "header that lies about its length" 1 "vae/diffusion_pytorch_model.safetensors.*header"
model; rm "$work/model/$shard"
broken "missing shard" 3 "model-00002-of-00002.safetensors"
model; sed -i 's/encoder.final_layer_norm.weight/encoder.final_layer_norm.weighx/' "$work/model/text_encoder/model.safetensors.index.json" "$work/model/$shard" "$work/model/${shard/00002-of/00001-of}"
broken "missing tensor" 2 "encoder.final_layer_norm.weight"
model; rm "$work/model/vae/diffusion_pytorch_model.safetensors"; printf 'PK\3\4' > "$work/model/vae/diffusion_pytorch_model.bin"
broken "pickle" 1 "diffusion_pytorch_model.bin.*safetensors"
model; sed -i 's/"num_layers": [0-9]*/"num_layers": 2000000000/' "$work/model/transformer/config.json"
broken "configuration out of range" 2 "num_layers.*2000000000"
model; printf '{' > "$work/model/model_index.json"
broken "index that is no JSON" 1 "model_index.json"

# -- The disk: a limit on the size of files stands in for a full one.
full () { (trap '' XFSZ; ulimit -f 1; exec "$soractl" generate --local -q "${tiny[@]}" --frames 17 --width 64 --height 64 --crf 1 "$@"); }
refuses "no room for the result" 1 "encode.*(space|too large)" full ball -o full.mp4

# -- Files
printf 'kept' > kept.mp4
code=0; generate -o kept.mp4 ball 2> "$work/stderr" || code=$?
[ $code -eq 1 ] && grep -q "kept.mp4.*--overwrite\|kept.mp4.*exists" "$work/stderr" || complain "existing file: $code, $(cat "$work/stderr")"
[ "$(cat kept.mp4)" = kept ] || complain "an existing file was overwritten"
rm kept.mp4

exit $fail
