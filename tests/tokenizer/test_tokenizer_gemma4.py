"""Vocabularies of Gemma 4: sentencepiece's tokens with merges in the file, against `tokenizers`."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Oracle

from llmpy.errors import ModelFileError
from llmpy.tokenizer import build_tokenizer

SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>"]
BYTES = [f"<0x{i:02X}>" for i in range(256)]
TEXT = (
    "the quick brown fox jumps over the lazy dog, and the dog does not mind.\n\n"
    "def main(n):\n    for i in range(n):\n        print(i,  i * i)\n\n\n"
    "\u00fcber stra\u00dfe caf\u00e9 \u65e5\u672c\u8a9e the end\n"
)
TEXTS = [
    TEXT,
    "the dog\n",
    "\n",
    "\n\n\n\n\n\n\n",
    "  two  spaces   three\n \n  the",
    "emoji \U0001f600 and \u0416 the",
    "x",
    "",
]


@cache
def oracle() -> Oracle:
    """Trained here: byte-pair encoding of whole lines with visible spaces, else bytes."""
    made = Oracle(models.BPE(byte_fallback=True, unk_token="<unk>"))
    made.normalizer = normalizers.Replace(" ", "\u2581")
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"[^\n]+|\n+"), "isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=[*SPECIAL, *BYTES], show_progress=False, max_token_length=9
    )
    made.train_from_iterator([TEXT] * 3, trainer)
    made.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback()])
    return made


def metadata(change: dict[str, Any] | None = None) -> dict[str, Any]:
    """Of the oracle; merges of line ends are left out, as a file may do."""
    model = json.loads(oracle().to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    keys = {
        "model": "gemma4",
        "tokens": tokens,
        "merges": [" ".join(pair) for pair in model["merges"] if "\n" not in pair[0]],
        "token_type": [3 if t in SPECIAL else 6 if t in BYTES else 1 for t in tokens],
        "bos_token_id": tokens.index("<bos>"),
        "eos_token_id": tokens.index("<eos>"),
        "unknown_token_id": tokens.index("<unk>"),
        **(change or {}),
    }
    return {f"tokenizer.ggml.{name}": value for name, value in keys.items()}


@pytest.mark.parametrize("text", TEXTS)
def test_texts_become_the_tokens_of_the_oracle(text: str) -> None:
    ours, expected = build_tokenizer(metadata()), oracle().encode(text).ids
    assert ours.encode(text) == expected
    assert ours.decode(expected) == text


def test_a_visible_space_of_the_text_stays_one() -> None:
    ours = build_tokenizer(metadata())
    assert ours.decode(ours.encode("a\u2581b c")) == "a\u2581b c"


def test_texts_begin_with_a_token_whatever_the_file_says() -> None:
    assert build_tokenizer(metadata({"add_bos_token": False})).add_bos


@pytest.mark.parametrize("merge", ["ab", "", " ", "a "])
def test_a_merge_that_is_no_pair_is_refused(merge: str) -> None:
    with pytest.raises(ModelFileError, match=r"merges\[0\]: expected two tokens"):
        build_tokenizer(metadata({"merges": [merge]}))
