"""Damaged tokenizer files of checkpoints: each is read, or refused with our error."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmpy.checkpoint.open import open_vocabulary
from llmpy.errors import LlmpyError
from llmpy.tokenizer import build_tokenizer
from llmpy.tokenizer.alphabet import CHARACTERS
from llmpy.tokenizer.sentencepiece import read_sentencepiece

STRANGE: list[Any] = [
    None, 0, -1, 1 << 40, 1.5, float("nan"), float("inf"), True, "", "x", "\ud800", [], [1], ["a"],
    [["a", "b"]], [[1, 2]], {}, {"a": 1}, {"type": "Sequence"}, [{}], [None],
]  # fmt: skip
NO_MAP = struct.pack("<I", 1024) + bytes(1025)  # a character map that changes nothing
BYTES = [f"<0x{i:02X}>" for i in range(256)]
ADDED = [
    {"id": 0, "content": "<unk>", "special": True},
    {"id": 1, "content": "</s>", "special": True},
]
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "</s>"}}],
}


def level(**options: Any) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, **options}


FILES: dict[str, dict[str, Any]] = {
    "byte-level": {
        "model": {
            "type": "BPE", "merges": ["a b", ["ab", "c"]], "ignore_merges": False,
            "vocab": {t: i for i, t in enumerate(["<unk>", "</s>", *CHARACTERS, "ab", "abc"])},
        },
        "added_tokens": ADDED, "post_processor": TEMPLATE, "decoder": level(),
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [level(use_regex=True)]},
    },
    "sentencepiece": {
        "model": {
            "type": "BPE", "merges": ["a b"], "byte_fallback": True, "unk_token": "<unk>",
            "vocab": {t: i for i, t in enumerate(["<unk>", "</s>", *BYTES, "a", "b", "ab"])},
        },
        "added_tokens": ADDED,
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "_"}]},
    },
    "unigram": {
        "model": {
            "type": "Unigram", "unk_id": 0,
            "vocab": [["<unk>", 0.0], ["</s>", 0.0], ["\u2581", -1.0], ["a", -2.0], ["ab", -2.5]],
        },
        "added_tokens": ADDED, "pre_tokenizer": {"type": "Metaspace"},
        "normalizer": {
            "type": "Precompiled", "precompiled_charsmap": base64.b64encode(NO_MAP).decode(),
        },
    },
    "word pieces": {
        "model": {
            "type": "WordPiece", "unk_token": "<unk>",
            "vocab": {"<unk>": 0, "</s>": 1, "a": 2, "##b": 3, "x": 4},
        },
        "added_tokens": ADDED, "normalizer": {"type": "BertNormalizer", "lowercase": True},
        "post_processor": {"type": "BertProcessing", "cls": ["</s>", 1], "sep": ["</s>", 1]},
    },
}  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where values stand in JSON; of long ones, the first few."""
    yield path
    if isinstance(value, dict):
        for key in list(value)[:6]:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for i in range(min(2, len(value))):
            yield from places(value[i], (*path, i))


def changed(whole: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = whole.copy()
    copy[path[0]] = changed(whole[path[0]], path[1:], new)
    return copy


def outcome(folder: Path) -> str:
    try:
        build_tokenizer(open_vocabulary(folder), folder).encode("ab c\u00e9 <unk>", bos=None)
        return "read"
    except LlmpyError as error:
        str(error).encode()
        return "refused"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("ignore")
def test_damaged_json_is_read_or_refused(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sound = FILES[name]
    (tmp_path / "tokenizer.json").write_text(json.dumps(sound))
    assert outcome(tmp_path) == "read"
    found = []
    for path in places(sound):
        for new in STRANGE:
            (tmp_path / "tokenizer.json").write_text(json.dumps(changed(sound, path, new)))
            found.append(outcome(tmp_path))
    assert len(found) > 300
    assert found.count("refused") > 60
    capfd.readouterr()  # what Rust says about its panics


@pytest.mark.parametrize(
    "key", ["added_tokens_decoder", "bos_token", "chat_template", "add_bos_token"]
)
def test_a_damaged_configuration_is_read_or_refused(key: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(FILES["sentencepiece"]))
    (tmp_path / "tokenizer.model").write_bytes(model())
    for new in STRANGE:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({key: new}))
        assert outcome(tmp_path) in ("read", "refused")


def test_other_files_that_are_damaged(tmp_path: Path) -> None:
    for vocab in (b"", b"[]", b"{", b'{"a": "b"}', b'{"a": -1}', b'{"a": 1e300}', b"\xff"):
        (tmp_path / "vocab.json").write_bytes(vocab)
        for merges in (b"", b"a b c", b"a", b"\xff", b"#version\nx y"):
            (tmp_path / "merges.txt").write_bytes(merges)
            assert outcome(tmp_path) == "refused"


def varint(n: int) -> bytes:
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def member(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def piece(text: str, score: float, kind: int = 1) -> bytes:
    kinds = varint(3 << 3) + varint(kind) if kind != 1 else b""
    return member(1, text.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score) + kinds


def model(kind: int = 2) -> bytes:
    """A tiny model of sentencepiece."""
    pieces = [piece("<unk>", 0, 2), piece("<s>", 0, 3), piece("</s>", 0, 3)]
    pieces += [piece(token, 0, 6) for token in BYTES]
    pieces += [piece("\u2581", -1), piece("a", -2), piece("b", -3), piece("ab", -0.5)]
    trainer = member(2, varint(3 << 3) + varint(kind))
    return b"".join(member(1, p) for p in pieces) + trainer + member(3, varint(4 << 3) + b"\0")


def test_a_sentencepiece_model_is_read() -> None:
    found = read_sentencepiece(model())
    assert found.tokens[:3] == ["<unk>", "<s>", "</s>"]
    assert found.kinds[:4] == [2, 3, 3, 6]
    assert found.scores[-1] == -0.5
    assert not found.unigram
    assert (found.space_prefix, found.one_space) == (True, False)


@pytest.mark.parametrize("kind", [1, 2])
def test_damaged_sentencepiece_models_are_read_or_refused(kind: int, tmp_path: Path) -> None:
    sound, path = model(kind), tmp_path / "tokenizer.model"
    found = []
    step = max(1, len(sound) // 150)
    for n in (*range(60), *range(60, len(sound), step), *range(len(sound) - 40, len(sound))):
        for damaged in (sound[:n], sound[:n] + bytes([sound[n] ^ 129]) + sound[n + 1 :]):
            path.write_bytes(damaged)
            found.append(outcome(tmp_path))
    path.write_bytes(sound)
    assert outcome(tmp_path) == "read"
    assert found.count("refused") > 100
