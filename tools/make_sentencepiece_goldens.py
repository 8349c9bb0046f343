"""What sentencepiece makes of texts: tests/tokenizer/sentencepiece.json and .model.

    pip install sentencepiece==0.2.3
    python tools/make_sentencepiece_goldens.py

The model is a small Unigram with a precompiled map of characters, trained here on words made by a
rule; the map has a part of NFKC's compositions, so that the file stays small.
"""

from __future__ import annotations

import json
import random
import tempfile
import unicodedata
from pathlib import Path

import sentencepiece

OUT = Path(__file__).resolve().parents[1] / "tests" / "tokenizer" / "sentencepiece"
MARKS = "\u0300\u0301\u0302\u0308\u0323\u0327"
SYLLABLES = "\uac00\uac01\ud55c\uae00\ud7a3"
OTHERS = {
    "\ufb01": "fi", "\u2460": "1", "\uff2b": "K", "\u3000": " ", "\xa0": " ", "\t": " ", "\n": " ",
    "\u200b": "", "\u212b": "\xc5", "\ufdfa": "abc def", "\uff76\uff9e": "\u30ac", "\xbd": "1/2",
}  # fmt: skip


def rules() -> dict[str, str]:
    """Sequences of characters and what they become."""
    found = dict(OTHERS)
    for letter in "aeiouceqAEO":
        for marks in [*MARKS, *(a + b for a in MARKS for b in MARKS)]:
            composed = unicodedata.normalize("NFKC", letter + marks)
            if composed != letter + marks:
                found[letter + marks] = composed
    for syllable in SYLLABLES:
        found[unicodedata.normalize("NFD", syllable)] = syllable
    return found


def texts() -> list[str]:
    """Chosen ones, and others by chance."""
    chance = random.Random(13)
    characters = "abceq  " + MARKS + "".join(OTHERS) + "\xe9\u65e5\U0001f600\u1112\u1161\u11ab"
    made = ["".join(chance.choices(characters, k=chance.randint(1, 12))) for _ in range(300)]
    whole = unicodedata.normalize("NFD", SYLLABLES)
    return ["a\u0300\u0301", "q\u0323\u0301", whole, "  two  spaces ", "the theme", "", *made]


def main() -> None:
    """Train, and write both files."""
    chance = random.Random(7)
    syllables = [
        "the",
        "re",
        "in",
        "on",
        "at",
        "\xe9t",
        "\xe0",
        "\ud55c",
        "\u30ac",
        "1/2",
        "fi",
        "qu",
    ]
    words = ["".join(chance.choices(syllables, k=chance.randint(1, 3))) for _ in range(4000)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [" ".join(words[i : i + 8]) for i in range(0, len(words), 8)]
        (folder / "text").write_text("\n".join(lines), "utf-8")
        rows = [
            "\t".join(" ".join(f"{ord(c):X}" for c in side) for side in rule)
            for rule in rules().items()
        ]
        (folder / "rules").write_text("\n".join(rows), "utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=str(folder / "text"), model_prefix=str(OUT), vocab_size=80,
            normalization_rule_tsv=str(folder / "rules"), character_coverage=1.0,
            num_threads=1, minloglevel=2,
        )  # fmt: skip
    OUT.with_suffix(".vocab").unlink()
    model = sentencepiece.SentencePieceProcessor(model_file=str(OUT.with_suffix(".model")))
    pairs = [[text, model.encode(text)] for text in texts()]
    OUT.with_suffix(".json").write_text(json.dumps(pairs, separators=(",", ":")) + "\n", "utf-8")


if __name__ == "__main__":
    main()
