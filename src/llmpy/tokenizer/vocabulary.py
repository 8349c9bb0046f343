"""The vocabulary of a model file: `tokenizer.ggml.*` metadata, checked, as one value.

Everything that the rest of the package relies on is checked here: lengths, types, ranges of ids,
scores that are numbers. What real files leave out is filled in as the ecosystem does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.strings import Strings
from llmpy.tokenizer.pretokenizers import FAMILIES

__all__ = ["BYTE_TOKEN", "Kind", "Vocabulary", "is_text", "read_vocabulary"]

MODELS = ("llama", "gpt2", "t5", "bert", "rwkv", "gemma4")
NO_TOKEN = (0xFFFFFFFF, -1)  # what real files write for "this model has no such token"
# What files leave out: begin and end of text, and the unknown token.
DEFAULT_IDS = {
    "llama": (1, 2, 0), "gpt2": (None, None, None), "t5": (None, 1, 2), "bert": (101, 102, 100),
    "rwkv": (None, None, None), "gemma4": (None, None, None),
}  # fmt: skip
BYTE_TOKEN = re.compile("<0x([0-9A-F]{2})>")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PREFIX = "tokenizer.ggml."

# Texts that end a reply, wherever they are control tokens.
_END_TEXTS = frozenset(
    {
        *("<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<|end_of_turn|>", "<end_of_turn>"),
        *("<|return|>", "<|call|>", "<|calls|>", "<|flush|>", "<|endoftext|>", "<|end_of_text|>"),
        *("</s>", "<eos>", "[EOS]", "<EOT>", "_<EOT>", "[EOT]", "<end_of_utterance>"),
        *(
            "<\uff5cend\u2581of\u2581sentence\uff5c>",
            "<|fim_pad|>",
            "<|repo_name|>",
            "<|file_sep|>",
        ),
    }
)
# And those of chat templates. Some files call them user-defined, so that users could forge them.
_CONTROL_TEXTS = _END_TEXTS | {
    *("<s>", "<bos>", "<|begin_of_text|>", "<|im_start|>", "<|start_header_id|>"),
    *("<|end_header_id|>", "<|python_tag|>", "<start_of_turn>", "<|system|>", "<|user|>"),
    *("<|assistant|>", "<|tool|>", "[INST]", "[/INST]"),
}


class Kind(IntEnum):
    """What a token is, with the numbers of `tokenizer.ggml.token_type`."""

    UNDEFINED = 0
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """A checked vocabulary of one of MODELS; ids are places in `tokens` and `kinds`.

    `scores` is empty but for "llama" and "t5", `merges` but for "gpt2" and "gemma4", `pre` but for
    "gpt2". `bos`, `eos`, `unk` are None where the model has none. `strips` are control tokens that
    swallow the white space after them. How "t5" normalises text: by `charsmap`, to `one_space`
    between words; how "bert" does: `lowercase`, `strip_accents`.
    """

    path: Path | None
    model: str
    pre: str
    tokens: Sequence[str]
    kinds: bytes
    scores: npt.NDArray[np.float64]
    merges: Sequence[str]
    bos: int | None
    eos: int | None
    unk: int | None
    add_bos: bool
    add_eos: bool
    space_prefix: bool
    end_ids: frozenset[int]
    strips: frozenset[int]
    charsmap: bytes = b""
    one_space: bool = False
    lowercase: bool = False
    strip_accents: bool = False

    def of_kind(self, kind: Kind) -> list[int]:
        """Ids of all tokens of a kind, in order."""
        return _of_kind(self.kinds, kind)


def _of_kind(kinds: bytes | bytearray, kind: Kind) -> list[int]:
    ids: list[int] = np.flatnonzero(np.frombuffer(kinds, np.uint8) == kind).tolist()
    return ids


def is_text(token: str) -> bool:
    """Whether a text can hold this token: false where the file had bytes that are no UTF-8."""
    return token.isascii() or _SURROGATE.search(token) is None


class _Metadata:
    """The file's metadata, with errors that name the key."""

    def __init__(self, values: Mapping[str, Any], path: Path | None) -> None:
        self.values = values
        self.path = path

    def fail(self, key: str, expected: str, found: str, hint: str | None = None) -> NoReturn:
        raise ModelFileError(self.path, _PREFIX + key, expected, found, hint=hint)

    def text(self, key: str) -> str:
        value = self.values.get(_PREFIX + key, "")
        if not isinstance(value, str):
            self.fail(key, "a string", _short(value))
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.values.get(_PREFIX + key, default)
        if not isinstance(value, (bool, np.bool_)):
            self.fail(key, "a bool", _short(value))
        return bool(value)

    def id(self, key: str, n_vocab: int, default: int | None = None) -> int | None:
        value = self.values.get(_PREFIX + key)
        if value is None:
            return default if default is not None and default < n_vocab else None
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
            self.fail(key, "a token id", _short(value))
        if value in NO_TOKEN:
            return None
        if not 0 <= value < n_vocab:
            self.fail(key, f"a token id from 0 to {n_vocab - 1}", str(value))
        return int(value)

    def strings(self, key: str, what: str) -> Sequence[str]:
        value = getattr(self.values, "raw", self.values.get)(_PREFIX + key)
        if value is None:
            self.fail(key, f"an array of {what}", "nothing")
        if isinstance(value, Strings):
            return value
        if not isinstance(value, (list, tuple)):
            self.fail(key, f"an array of {what}", _short(value))
        if not set(map(type, value)) <= {str}:
            wrong = next(i for i, member in enumerate(value) if type(member) is not str)
            self.fail(f"{key}[{wrong}]", "a string", _short(value[wrong]))
        return value

    def bytes(self, key: str) -> bytes:
        value = self.values.get(_PREFIX + key, b"")
        if isinstance(value, bytes):
            return value
        try:
            array = np.asarray(value)
        except (ValueError, OverflowError):
            self.fail(key, "an array of bytes", "an array of other things")
        if array.dtype.kind not in "iu" or array.ndim != 1:
            self.fail(key, "an array of bytes", _short(value))
        return array.astype(np.uint8).tobytes()

    def numbers(self, key: str, n_vocab: int) -> npt.NDArray[Any] | None:
        value = self.values.get(_PREFIX + key)
        if value is None:
            return None
        if not isinstance(value, (list, tuple, np.ndarray)):
            self.fail(key, "an array of numbers", _short(value))
        try:
            array = np.asarray(value)
        except (ValueError, OverflowError):
            self.fail(key, "an array of numbers", "an array of other things")
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iuf"):
            self.fail(key, "an array of numbers", f"an array of {array.dtype}")
        if array.size != n_vocab:
            self.fail(key, f"{n_vocab} numbers, one for each token", str(array.size))
        return array


def _short(value: object) -> str:
    kind = type(value).__name__
    return f"{kind} {value!r}" if isinstance(value, (str, int, float)) else kind


def read_vocabulary(metadata: Mapping[str, Any], path: Path | None) -> Vocabulary:
    """The vocabulary in a model file's metadata.

    Raises ModelFileError where it is missing or contradicts itself, UnsupportedModelError for a
    tokenizer model or a pre-tokenizer that is not known.
    """
    source = _Metadata(metadata, path)
    model, pre = _names(source)
    tokens = source.strings("tokens", "strings")
    if not tokens:
        source.fail("tokens", "at least one token", "an empty array")
    n = len(tokens)
    sentence, pieces = model == "llama", model == "bert"
    read_id = partial(source.id, n_vocab=n)
    bos_id, eos_id, unk_id = DEFAULT_IDS[model]
    sep = read_id("seperator_token_id", default=eos_id) if pieces else eos_id
    bos = read_id("bos_token_id", default=bos_id)
    eos = read_id("eos_token_id", default=sep)
    unk = read_id("unknown_token_id", default=unk_id)
    kinds = _kinds(source, tokens, (bos, eos), unk)
    lowercase = pieces and source.flag("normalizer.lowercase", True)
    name = metadata.get("general.name", "")
    phi3 = sentence and isinstance(name, str) and re.search("phi-?3", name.lower()) is not None
    return Vocabulary(
        path=path,
        model=model,
        pre=pre,
        tokens=tokens,
        kinds=kinds,
        scores=_scores(source, n) if model in ("llama", "t5") else np.zeros(0),
        merges=source.strings("merges", "strings") if model in ("gpt2", "gemma4") else (),
        bos=bos,
        eos=eos,
        unk=unk,
        add_bos=bos is not None
        and (model == "gemma4" or source.flag("add_bos_token", _adds_bos(model, pre))),
        add_eos=eos is not None and source.flag("add_eos_token", model in ("t5", "bert")),
        space_prefix=pieces or (model in ("llama", "t5") and source.flag("add_space_prefix", True)),
        end_ids=_end_ids(source, tokens, kinds, eos),
        strips=_strips(tokens, kinds) if phi3 else frozenset(),
        charsmap=source.bytes("precompiled_charsmap") if model == "t5" else b"",
        one_space=model == "t5" and source.flag("remove_extra_whitespaces", False),
        lowercase=lowercase,
        strip_accents=pieces and source.flag("normalizer.strip_accents", lowercase),
    )


def _adds_bos(model: str, pre: str) -> bool:
    """Whether texts begin with the begin-of-text token where the file does not say."""
    return FAMILIES[pre].bos if model == "gpt2" else model in ("llama", "bert")


def _names(source: _Metadata) -> tuple[str, str]:
    """The tokenizer model and, for byte-level ones, the family of its pre-tokenizer."""
    model = source.text("model")
    if not model:
        source.fail("model", "one of " + ", ".join(MODELS), "nothing")
    if model not in MODELS:
        raise UnsupportedModelError(
            source.path, _PREFIX + "model", "one of " + ", ".join(MODELS), repr(model)
        )
    pre = source.text("pre")
    if model != "gpt2":
        return model, ""
    if pre and pre not in FAMILIES:
        raise UnsupportedModelError(
            source.path, _PREFIX + "pre", "one of " + ", ".join(sorted(FAMILIES)), repr(pre)
        )
    return model, pre or "default"


def _kinds(
    source: _Metadata, tokens: Sequence[str], ends: tuple[int | None, ...], unk: int | None
) -> bytes:
    """The kind of each token, one byte each."""
    array = source.numbers("token_type", len(tokens))
    if array is None:
        kinds = bytearray([Kind.NORMAL]) * len(tokens)
        for i, token in enumerate(tokens):
            if BYTE_TOKEN.fullmatch(token):
                kinds[i] = Kind.BYTE
            elif i in ends or token in _CONTROL_TEXTS:
                kinds[i] = Kind.CONTROL
        if unk is not None and unk not in ends:
            kinds[unk] = Kind.UNKNOWN
        return bytes(kinds)
    if array.dtype.kind == "f":
        source.fail("token_type", "integers", f"an array of {array.dtype}")
    bad = (array < 0) | (array > max(Kind))
    if bad.any():
        wrong = int(bad.argmax())
        source.fail(f"token_type[{wrong}]", f"a number from 0 to {max(Kind)}", str(array[wrong]))
    kinds = bytearray(array.astype(np.uint8).tobytes())
    for place in _of_kind(kinds, Kind.USER_DEFINED):
        if tokens[place] in _CONTROL_TEXTS:
            kinds[place] = Kind.CONTROL
    return bytes(kinds)


def _scores(source: _Metadata, n_vocab: int) -> npt.NDArray[np.float64]:
    array = source.numbers("scores", n_vocab)
    if array is None:
        source.fail("scores", f"{n_vocab} numbers, one for each token", "nothing")
    scores = array.astype(np.float64)
    if np.isnan(scores).any():
        source.fail(f"scores[{int(np.isnan(scores).argmax())}]", "a number", "NaN")
    return scores


def _end_ids(
    source: _Metadata, tokens: Sequence[str], kinds: bytes, eos: int | None
) -> frozenset[int]:
    """Tokens that end a reply: the ones that the file names, and well-known control tokens."""
    n = len(tokens)
    ends = {eos, source.id("eot_token_id", n), source.id("eom_token_id", n)}
    controls = {tokens[i]: i for i in _of_kind(kinds, Kind.CONTROL)}
    texts = _END_TEXTS & controls.keys()
    if {"<|return|>", "<|call|>"} <= texts or {"<|calls|>", "<|flush|>"} <= texts:
        texts -= {"<|end|>"}  # there it ends a part of the reply, and the reply goes on
    ends.update(controls[text] for text in texts)
    return frozenset(end for end in ends if end is not None)


def _strips(tokens: Sequence[str], kinds: bytes) -> frozenset[int]:
    """Phi-3 was trained with white space after most control tokens removed; no key says so."""
    keep = ("<unk>", "<s>", "<|endoftext|>")
    return frozenset(i for i in _of_kind(kinds, Kind.CONTROL) if tokens[i] not in keep)
