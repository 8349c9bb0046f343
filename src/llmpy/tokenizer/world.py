"""RWKV's "world" vocabulary: tokens are strings of bytes, and the longest that fits comes next.

In GGUF each is written as Python writes bytes: "\\n" or "\\xe4" for what is not printable.
Source: github.com/BlinkDL/ChatRWKV, rwkv_pip_package, rwkv_tokenizer.py.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from llmpy.tokenizer.kinds import Kind
from llmpy.tokenizer.vocabulary import Vocabulary, cannot_express

__all__ = ["World", "read_world", "unescaped"]

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|[\s\S])")
_SHORT = {"t": b"\t", "n": b"\n", "r": b"\r"}


def unescaped(token: str) -> bytes:
    """The bytes that a token of the file stands for."""
    parts, at = [], 0
    for found in _ESCAPE.finditer(token):
        escape = found[1]
        parts.append(token[at : found.start()].encode("utf-8", "surrogateescape"))
        hexadecimal = len(escape) == 3
        usual = _SHORT.get(escape, escape.encode("utf-8", "surrogateescape"))
        parts.append(bytes.fromhex(escape[1:]) if hexadecimal else usual)
        at = found.end()
    return b"".join([*parts, token[at:].encode("utf-8", "surrogateescape")])


class World:
    """Text -> ids: at each place the longest token that the text goes on with."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._ids: dict[bytes, int] = {}
        self._lengths: dict[bytes, list[int]] = {}  # by the first two bytes, longest first
        lengths: dict[bytes, set[int]] = {}
        tokens = list(vocabulary.tokens)
        for i in vocabulary.of_kind(Kind.NORMAL):
            raw = unescaped(tokens[i])
            if raw:
                self._ids.setdefault(raw, i)
                lengths.setdefault(raw[:2], set()).add(len(raw))
        self._lengths = {head: sorted(found, reverse=True) for head, found in lengths.items()}
        self._unk = vocabulary.unk

    def encode(self, text: str, drop: bool = False) -> list[int]:
        """Ids of a text; `drop`: leave out bytes without a token."""
        raw, at, ids = text.encode(), 0, []
        while at < len(raw):
            lengths = self._lengths.get(raw[at : at + 2], ())
            for n in (*lengths, 1):
                token = self._ids.get(raw[at : at + n])
                if token is not None:
                    break
            else:
                n, token = 1, self._unk
                if token is None and not drop:
                    raise cannot_express(f"byte 0x{raw[at]:02x}")
            if token is not None:
                ids.append(token)
            at += n
        return ids


def read_world(text: str) -> dict[str, Any]:
    """Metadata of the lines "id 'token' bytes" of rwkv_vocab_*.txt; ValueError for other lines."""
    tokens, kinds = ["<s>"], [int(Kind.CONTROL)]
    for number, line in enumerate(text.rstrip("\n").split("\n"), 1):
        place, _, rest = line.partition(" ")
        literal, _, length = rest.rpartition(" ")
        try:
            token = ast.literal_eval(literal) if len(literal) < 4096 else None
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            token = None
        raw = token.encode() if isinstance(token, str) else token
        if not isinstance(raw, bytes) or (place, length) != (str(number), str(len(raw))):
            raise ValueError(f"line {number}: {line[:60]!r}")
        tokens.append(repr(raw)[2:-1])
        kinds.append(int(Kind.NORMAL))
    return {
        "model": "rwkv", "tokens": tokens, "token_type": kinds, "bos_token_id": 0,
        "eos_token_id": 0, "add_bos_token": False, "add_eos_token": False,
    }  # fmt: skip
