# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the tokenizer: a sentencepiece unigram model of the world's captions, and its fast twin.

    python make_tokenizer.py

Writes tokenizer/ into the state folder: spiece.model, tokenizer.json, tokenizer_config.json,
special_tokens_map.json.  nmt_nfkc, pad 0, eos 1, unk 2.  No byte fallback: T5TokenizerFast of the pinned
transformers rebuilds its model without it, and the two must give equal ids.  Words of worlds to come
(words.txt) are in the corpus, so that the vocabulary can stay when the world grows.
"""
import pathlib
import random
import shutil
import unicodedata

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import (
    Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors,
)
from transformers import AutoTokenizer, T5TokenizerFast

import captions
import common
import world

EXTRA = ".,;:!?'\"-()/&+%#*@=_[]äöüßéèêàâçñáíóúåøæ…–—“”’"
PROBES = [
    "a red ball rolls right over green grass", "A tiny Blue STAR spins in the night sky.", "",
    "  two   spaces\tand tabs ", "ein großer Ball, naïve café — 12 % ﬁne", "球 rolls", "zebra xylophone qwrtz",
    "🎈 over the sea", "half‑width １２３ ＡＢＣ", "Ⅳ … “quoted” don't", "日本語のテキスト", "a ▁ literal", "UPPER CASE BALL",
]


def corpus():
    rng = random.Random("tokenizer")
    scenes = world.sample_scenes(20000, 3)
    lines = [captions.caption(s, rng) for s in scenes]
    words = (pathlib.Path(__file__).parent / "words.txt").read_text(encoding="utf-8").split()
    for _ in range(40):
        rng.shuffle(words)
        lines += [" ".join(words[i:i + 8]) for i in range(0, len(words), 8)]
    lines += list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" + EXTRA) * 20
    return lines


def main():
    folder = common.state_dir() / "tokenizer"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()), model_prefix=str(folder / "spiece"), model_type="unigram",
        vocab_size=1536, normalization_rule_name="nmt_nfkc", pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
        byte_fallback=False, character_coverage=1.0, num_threads=1, hard_vocab_limit=False,
        split_digits=True, minloglevel=2)
    (folder / "spiece.vocab").unlink()
    proto = pb.ModelProto()
    proto.ParseFromString((folder / "spiece.model").read_bytes())
    proto.trainer_spec.model_prefix = "spiece"  # not the path it was made at
    (folder / "spiece.model").write_bytes(proto.SerializeToString())
    spiece = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    fast = convert(folder, spiece)
    fast.save_pretrained(folder)
    compare(folder, spiece)


def convert(folder, spiece):
    """The fast tokenizer with the model's own pieces and normaliser."""
    proto = pb.ModelProto()
    proto.ParseFromString((folder / "spiece.model").read_bytes())
    pieces = [(p.piece, p.score) for p in proto.pieces]
    fast = Tokenizer(models.Unigram(pieces, unk_id=2))
    fast.normalizer = normalizers.Sequence([
        normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap),
        normalizers.Strip(left=True, right=True),
        normalizers.Replace(Regex(" {2,}"), " "),
    ])
    fast.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    fast.decoder = decoders.Metaspace()
    fast.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    return T5TokenizerFast(tokenizer_object=fast, extra_ids=0, eos_token="</s>", unk_token="<unk>",
                           pad_token="<pad>", model_max_length=512)


def compare(folder, spiece):
    """Equal ids from sentencepiece, T5TokenizerFast and AutoTokenizer, or an error."""
    rng = random.Random(7)
    texts = PROBES + [captions.caption(s, rng) for s in world.sample_scenes(500, 9, "held-out")]
    loaded = [T5TokenizerFast.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)]
    wrong = 0
    for text in texts:
        want = spiece.encode(text) + [1]
        for tokenizer in loaded:
            got = tokenizer(text).input_ids
            if got != want:
                wrong += 1
                print(f"{text!r} ({unicodedata.normalize('NFKC', text)!r}): {want} != {got}")
    print(f"{spiece.vocab_size()} pieces; {len(texts)} texts compared, {wrong} differ; "
          f"{spiece.encode(PROBES[0], out_type=str)}")
    if wrong:
        raise SystemExit("the fast tokenizer disagrees with sentencepiece")


if __name__ == "__main__":
    main()
