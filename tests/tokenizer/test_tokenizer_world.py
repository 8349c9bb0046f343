"""RWKV's vocabulary: the longest token that fits, in bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmpy.checkpoint.open import open_vocabulary
from llmpy.errors import ModelFileError, TokenizerError
from llmpy.tokenizer import build_tokenizer
from llmpy.tokenizer.world import unescaped

WORDS: list[Any] = ["the", " the", "there", "\n\n", "\u00e9t", "'\"", b"\xe6\x97", "\u65e5\u672c"]


def folder(path: Path, tokens: list[Any]) -> Path:
    """As the original: single bytes first, text as str, other bytes as bytes."""
    lines = []
    for i, token in enumerate(tokens, 1):
        raw = token.encode() if isinstance(token, str) else token
        lines.append(f"{i} {token!r} {len(raw)}\n")
    (path / "rwkv_vocab_v20230424.txt").write_text("".join(lines), "utf-8")
    return path


@pytest.fixture
def tokenizer(tmp_path: Path) -> Any:
    single = [bytes([i]).decode() if i < 128 else bytes([i]) for i in range(256)]
    return build_tokenizer(open_vocabulary(folder(tmp_path, [*single, *WORDS])))


def test_the_longest_token_that_fits_comes_next(tokenizer: Any) -> None:
    ids = tokenizer.encode("the there other")
    assert [tokenizer.piece(i) for i in ids] == [
        b"the", b" the", b"r", b"e", b" ", b"o", b"the", b"r"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "\u00e9t\u00e9", "\u65e5\u672c\u8a9e \U0001f600", "a\\x'\"\n\n\t\0"]
)
def test_every_text_comes_back(text: str, tokenizer: Any) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert b"".join(map(tokenizer.piece, ids)) == text.encode()


def test_escapes_are_those_of_python() -> None:
    for raw in (bytes(range(256)), b"'", b"'\"", b"\\n", b"\\x41"):
        assert unescaped(repr(raw)[2:-1]) == raw
    assert unescaped("\\xg1\\") == b"xg1\\"


def test_a_byte_without_a_token_is_named(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(open_vocabulary(folder(tmp_path, ["a", "ab"])))
    assert tokenizer.encode("aba") == [2, 1]
    with pytest.raises(TokenizerError, match="byte 0x63"):
        tokenizer.encode("abc")


@pytest.mark.parametrize(
    "line", ["", "1", "1 'a' 2", "2 'a' 1", "1 a 1", "1 5 1", "1 [] 0", "1 '" + "a" * 5000]
)
def test_a_wrong_line_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "rwkv_vocab_v20230424.txt").write_text(line + "\n")
    with pytest.raises(ModelFileError, match="line 1"):
        open_vocabulary(tmp_path)
