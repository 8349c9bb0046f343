"""Unigrams with a precompiled map of characters: the ids of sentencepiece.

Its model and ids come from tools/make_sentencepiece_goldens.py.
"""

from __future__ import annotations

import json
import shutil
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llmpy
from llmpy.errors import TokenizerError
from llmpy.tokenizer import Tokenizer
from llmpy.tokenizer.charsmap import CharsMap

HERE = Path(__file__).parent
PAIRS = json.loads((HERE / "sentencepiece.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("sentencepiece")
    shutil.copy(HERE / "sentencepiece.model", folder / "tokenizer.model")
    return llmpy.load_tokenizer(folder)


def test_the_ids_are_those_of_sentencepiece(tokenizer: Tokenizer) -> None:
    wrong = [text for text, ids in PAIRS if tokenizer.encode(text) != ids]
    assert len(PAIRS) > 300
    assert wrong == []


def test_marks_and_decomposed_hangul_are_composed(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("\u1112\u1161\u11ab")) == "\ud55c"
    assert tokenizer.encode("\u1112\u1161\u11ab") == tokenizer.encode("\ud55c")


@pytest.mark.parametrize(
    "unit", ["a", "e\u0301", "\u65e5", "\u0301", "a\u0300\u0301", "\uff76\uff9e"]
)
def test_long_texts_take_linear_time(tokenizer: Tokenizer, unit: str) -> None:
    start = time.process_time()
    tokenizer.encode((unit * 200_000)[:200_000])
    assert time.process_time() - start < 10


# One that goes on for ever: every byte leads to itself.
LOOP = struct.pack("<I", 1024) + struct.pack("<256I", *((byte | 1 << 8) for byte in range(256)))


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda b: LOOP + b), st.text(max_size=8))
def test_a_damaged_map_is_refused_or_does_no_harm(data: bytes, text: str) -> None:
    try:
        found = CharsMap(data)(text)
    except (ValueError, TokenizerError):
        return
    assert isinstance(found, str)
