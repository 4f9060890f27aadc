#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes tests/golden/scripts: what the reference makes of 10,000 prompts in many scripts.

    make_token_goldens.py                            8,000 pieces, into tests/golden/scripts
    make_token_goldens.py --pieces 32000 --out DIR   another size; SORA_TEST_SCRIPTS=DIR test-text-scripts checks it
    make_token_goldens.py --again                    the digests alone, of the model that is there
    make_token_goldens.py --show N                   line N, cleaned, with its ids by the references

UMT5's own model is of this kind: unigram, nmt_nfkc, byte fallback, pad 0, eos 1, unk 2; here it is trained on
lines of 20 scripts.  A prompt is cleaned by WanPipeline's prompt_clean (without ftfy), normalised by sentencepiece and split
by T5TokenizerFast's unigram (of the `tokenizers` library).  Each of the two has a normaliser and a splitter; why these:
docs/numerics.md.  On how many lines sentencepiece alone and T5TokenizerFast as a whole give other ids is reported.

Lines are not stored: alphabet.json and a small generator give them, here and in tests/plugins/test-text-scripts.c.  Of
what is made of them, digests are stored, one for each 20 lines: `--show` tells what stood behind one.  The table of
nmt_nfkc (240 kB) is taken out of the model; the test puts back that of small-a, which is the same.
"""

import argparse
import json
import os
import sys

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import sentencepiece
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from diffusers.utils import is_ftfy_available
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden")
OUT = os.path.join(GOLDEN, "scripts")
MASK = (1 << 64) - 1
LINES, BLOCK, SEED = 10000, 20, 2026
WORDS = 150  # of a script's lexicon


class Rng:
    """splitmix64."""

    def __init__(self, seed):
        self.state = seed & MASK

    def below(self, n):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return ((z ^ (z >> 31)) >> 11) % n


class Lines:
    def __init__(self, alphabet):
        self.known, self.unknown = alphabet["known"], alphabet["unknown"]
        self.spaces, self.emoji = alphabet["spaces"], alphabet["emoji"]
        self.entities, self.odd = alphabet["entities"], alphabet["odd"]
        self.lexicon = []
        for i, script in enumerate(self.known):
            rng = Rng(1000 + i)
            self.lexicon.append([self.fresh(rng, script, 1 + rng.below(9)) for _ in range(WORDS)])

    @staticmethod
    def fresh(rng, script, length):
        total = sum(last - first + 1 for first, last in script["ranges"])
        out = []
        for _ in range(length):
            k = rng.below(total)
            for first, last in script["ranges"]:
                if k <= last - first:
                    out.append(chr(first + k))
                    break
                k -= last - first + 1
        return "".join(out)

    def word(self, rng, i):
        if rng.below(6) == 0:
            return self.fresh(rng, self.known[i], 1 + rng.below(12))
        return self.lexicon[i][rng.below(rng.below(WORDS) + 1)]

    def plain(self, rng, count):
        i = rng.below(len(self.known))
        return " ".join(self.word(rng, i) for _ in range(count))

    def between(self, rng, strings):
        """Words with strings of a list between them, with and without a space."""
        out = []
        for _ in range(1 + rng.below(12)):
            i = rng.below(len(self.known))
            out.append(self.word(rng, i) if rng.below(2) == 0 else strings[rng.below(len(strings))])
            out.append("" if rng.below(3) == 0 else " ")
        return "".join(out)

    def line(self, number):
        rng = Rng(SEED * 1000003 + number)
        kind = rng.below(16)
        if kind < 6:
            return self.plain(rng, 1 + rng.below(18))
        if kind < 8:
            out = []
            for _ in range(1 + rng.below(18)):
                i = rng.below(len(self.known))
                out.append(self.word(rng, i) + " ")
            return "".join(out)
        if kind == 8:
            out = []
            for _ in range(2 + rng.below(12)):
                for _ in range(rng.below(4)):
                    out.append(self.spaces[rng.below(len(self.spaces))])
                i = rng.below(len(self.known))
                out.append(self.word(rng, i))
            out.append(self.spaces[rng.below(len(self.spaces))])
            return "".join(out)
        if kind == 9:
            return self.between(rng, self.emoji)
        if kind == 10:
            out = []
            for _ in range(1 + rng.below(12)):
                script = self.unknown[rng.below(len(self.unknown))]
                out.append(self.fresh(rng, script, 1 + rng.below(9)))
                out.append("" if rng.below(3) == 0 else " ")
            return "".join(out)
        if kind < 13:
            return self.between(rng, self.entities)
        if kind == 13:
            return self.between(rng, self.odd)
        if kind == 14:
            out = []
            for _ in range(1 + rng.below(14)):
                i = rng.below(len(self.known))
                if rng.below(2) == 0:
                    out.append(self.word(rng, i))
                else:
                    for _ in range(1 + rng.below(8)):
                        out.append(chr(33 + rng.below(94)))
                out.append(" ")
            return "".join(out)
        if rng.below(4) != 0:
            return self.plain(rng, 1 + rng.below(18))
        if rng.below(2) == 0:
            return self.plain(rng, 300 + rng.below(900))
        i = rng.below(len(self.known))
        return self.fresh(rng, self.known[i], 80 + rng.below(2000))  # one word


def digest(data, state=0xCBF29CE484222325):
    """FNV-1a of 64 bits."""
    for byte in data:
        state = ((state ^ byte) * 0x100000001B3) & MASK
    return state


def train(lines, pieces):
    """On lines of the kinds that have neither entities nor strange things, and of other numbers."""
    def corpus():
        for number in range(LINES, LINES + max(40000, 4 * pieces)):
            if Rng(SEED * 1000003 + number).below(16) < 8:
                yield lines.line(number)
        for script in lines.known:  # each letter is a piece
            for first, last in script["ranges"]:
                for _ in range(3):
                    yield "".join(map(chr, range(first, last + 1)))
    import io
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=corpus(), model_writer=model, model_type="unigram", vocab_size=pieces,
        normalization_rule_name="nmt_nfkc", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, byte_fallback=True,
        character_coverage=1.0, num_threads=1, hard_vocab_limit=False, minloglevel=2, max_sentence_length=100000)
    return model.getvalue()


def fast_of(model):
    """What transformers makes of such a model for T5TokenizerFast, byte fallback included."""
    proto = pb.ModelProto.FromString(model)
    fast = Tokenizer(models.Unigram([(p.piece, p.score) for p in proto.pieces], unk_id=2, byte_fallback=True))
    fast.normalizer = normalizers.Sequence([
        normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap),
        normalizers.Strip(left=False, right=True),
        normalizers.Replace(Regex(" {2,}"), "\u2581"),
    ])
    fast.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    fast.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return fast


def splitter_of(model):
    """Its unigram alone, for text that is normalised already."""
    proto = pb.ModelProto.FromString(model)
    return Tokenizer(models.Unigram([(p.piece, p.score) for p in proto.pieces], unk_id=2, byte_fallback=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pieces", type=int, default=8000)
    parser.add_argument("--out", default=OUT)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--show", type=int)
    args = parser.parse_args()
    if is_ftfy_available():
        sys.exit("ftfy is installed: prompts would be repaired, which the reference here does not do")
    with open(os.path.join(OUT, "alphabet.json"), encoding="utf-8") as f:
        lines = Lines(json.load(f))
    os.makedirs(args.out, exist_ok=True)
    path = os.path.join(args.out, "pieces.model")
    with open(os.path.join(GOLDEN, "models", "small-a", "tokenizer", "spiece.model"), "rb") as f:
        normalizer = pb.ModelProto.FromString(f.read()).normalizer_spec

    if args.show is None and not args.again:
        proto = pb.ModelProto.FromString(train(lines, args.pieces))
        assert proto.normalizer_spec.precompiled_charsmap == normalizer.precompiled_charsmap
        proto.ClearField("normalizer_spec")
        proto.ClearField("denormalizer_spec")
        proto.trainer_spec.model_prefix = "pieces"
        with open(path, "wb") as f:
            f.write(proto.SerializeToString())
    with open(path, "rb") as f:
        proto = pb.ModelProto.FromString(f.read())
    proto.normalizer_spec.CopyFrom(normalizer)
    model = proto.SerializeToString()
    spiece, fast, splitter = sentencepiece.SentencePieceProcessor(model_proto=model), fast_of(model), splitter_of(model)

    def ids_of(clean):
        return splitter.encode(spiece.normalize(clean)).ids + [1]

    if args.show is not None:
        line = lines.line(args.show)
        clean = prompt_clean(line)
        print(repr(line), repr(clean), ids_of(clean), spiece.encode(clean) + [1], fast.encode(clean).ids, sep="\n")
        return

    odd = {n for n in range(LINES) if Rng(SEED * 1000003 + n).below(16) == 13}
    differ, rounded, tokens, unknown, longest, whole = [], [], 0, 0, 0, digest(b"")
    cleaned, digests = [], []
    for block in range(0, LINES, BLOCK):
        clean_state = ids_state = digest(b"")
        for number in range(block, block + BLOCK):
            line = lines.line(number)
            clean = prompt_clean(line)
            ids = ids_of(clean)
            if spiece.encode(clean) + [1] != ids:
                rounded.append(number)
            if fast.encode(clean).ids != ids:
                differ.append(number)
            tokens += len(ids)
            unknown += sum(3 <= t < 259 for t in ids)
            longest = max(longest, len(ids))
            whole = digest(line.encode() + b"\n", whole)
            clean_state = digest(clean.encode() + b"\n", clean_state)
            ids_state = digest(b"".join(t.to_bytes(4, "little") for t in ids), ids_state)
        cleaned.append(f"{clean_state:016x}")
        digests.append(f"{ids_state:016x}")
    with open(os.path.join(args.out, "digests.json"), "w", encoding="utf-8") as f:
        json.dump({"lines": LINES, "block": BLOCK, "seed": SEED, "text": f"{whole:016x}",
                   "pieces": spiece.vocab_size(), "cleaned": cleaned, "ids": digests}, f, indent=0)
        f.write("\n")
    print(f"{spiece.vocab_size()} pieces, {os.path.getsize(path)} bytes; {LINES} lines, {tokens} tokens, {unknown} bytes "
          f"of fallback, longest {longest}; sentencepiece splits {len(rounded)} in another way: {rounded}; "
          f"T5TokenizerFast's differs on {len(differ)}, "
          f"of which {len(odd & set(differ))} are of the {len(odd)} lines with decomposed and compatibility characters: "
          f"{differ[:8]} ...")


if __name__ == "__main__":
    main()
