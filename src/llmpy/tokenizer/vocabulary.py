"""The vocabulary of a model file: `tokenizer.ggml.*` metadata, checked, as one value.

Everything that the rest of the package relies on is checked here: lengths, types, ranges of ids,
scores that are numbers. What real files leave out is filled in as the ecosystem does.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llmpy.errors import TokenizerError, UnsupportedModelError
from llmpy.tokenizer.ends import end_ids, places_of, retype
from llmpy.tokenizer.infill import infill_ids
from llmpy.tokenizer.kinds import BYTE_TOKENS, Kind, Matching
from llmpy.tokenizer.metadata import PREFIX, TokenizerMetadata
from llmpy.tokenizer.pretokenizers import FAMILIES

__all__ = ["Vocabulary", "cannot_express", "is_text", "read_vocabulary"]

MODELS = ("llama", "gpt2", "t5", "bert", "rwkv", "gemma4")
# What files leave out: begin and end of text, and the unknown token.
DEFAULT_IDS = {
    "llama": (1, 2, 0), "gpt2": (None, None, None), "t5": (None, 1, 2), "bert": (101, 102, 100),
    "rwkv": (None, None, None), "gemma4": (None, None, None),
}  # fmt: skip
MORE_ENDS = ("eos_token_ids", "fim_pad_token_id", "fim_rep_token_id", "fim_sep_token_id")
MASKED = ("jina-v2-de", "jina-v2-es", "jina-v2-code")  # whose mask takes the space before it
PHI3_KEEPS = ("<unk>", "<s>", "<|endoftext|>")  # the others take the white space after them
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """A checked vocabulary of one of MODELS; ids are places in `tokens` and `kinds`.

    `scores` is empty but for "llama" and "t5", `merges` but for "gpt2" and "gemma4", `pre` but for
    "gpt2". `bos`, `eos`, `unk` are None where the model has none; `fuse_unk`: one unknown token
    stands for neighbours without tokens. How "t5" normalises text: by
    `charsmap`, to `one_space` between words; how "bert" does: `lowercase`, `strip_accents`.
    `infill`: the tokens before a prefix, a suffix and the middle between them, None where the model
    has none.
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
    matching: Matching
    fuse_unk: bool = False
    charsmap: bytes = b""
    one_space: bool = False
    lowercase: bool = False
    strip_accents: bool = False
    infill: tuple[int, int, int] | None = None

    def of_kind(self, kind: Kind) -> list[int]:
        """Ids of all tokens of a kind, in order."""
        return _of_kind(self.kinds, kind)


def _of_kind(kinds: bytes | bytearray, kind: Kind) -> list[int]:
    ids: list[int] = np.flatnonzero(np.frombuffer(kinds, np.uint8) == kind).tolist()
    return ids


def is_text(token: str) -> bool:
    """Whether a text can hold this token: false where the file had bytes that are no UTF-8."""
    return token.isascii() or _SURROGATE.search(token) is None


def cannot_express(what: str) -> TokenizerError:
    """The error for a character or byte that a vocabulary has nothing for."""
    return TokenizerError(
        f"the vocabulary has no token for {what}, no byte tokens for it, and no unknown token; "
        f"take it out of the text, or leave it out with encode(..., errors='drop')"
    )


def read_vocabulary(metadata: Mapping[str, Any], path: Path | None) -> Vocabulary:
    """The vocabulary in a model file's metadata.

    Raises ModelFileError where it is missing or contradicts itself, UnsupportedModelError for a
    tokenizer model or a pre-tokenizer that is not known.
    """
    source = TokenizerMetadata(metadata, path)
    model, pre = _names(source)
    tokens = source.strings("tokens", "strings")
    if not tokens:
        source.fail("tokens", "at least one token", "an empty array")
    n = len(tokens)
    pieces = model == "bert"
    read_id = partial(source.id, n_vocab=n)
    bos_id, eos_id, unk_id = DEFAULT_IDS[model]
    sep = read_id("seperator_token_id", default=eos_id) if pieces else eos_id
    bos = read_id("bos_token_id", default=bos_id)
    eos = read_id("eos_token_id", default=sep)
    unk = read_id("unknown_token_id", default=unk_id)
    ends = {eos, read_id("eot_token_id"), read_id("eom_token_id")}
    ends.update(i for key in MORE_ENDS for i in source.ids(key, n))
    kinds = _kinds(source, tokens, (bos, eos), ends, unk)
    lowercase = pieces and source.flag("normalizer.lowercase", True)
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
        end_ids=end_ids(kinds, tokens, ends),
        matching=_matching(source, tokens, kinds, pre),
        fuse_unk=source.flag("fuse_unk", False),
        charsmap=source.bytes("precompiled_charsmap") if model == "t5" else b"",
        one_space=model == "t5" and source.flag("remove_extra_whitespaces", False),
        lowercase=lowercase,
        strip_accents=pieces and source.flag("normalizer.strip_accents", lowercase),
        infill=infill_ids(tokens, read_id),
    )


def _adds_bos(model: str, pre: str) -> bool:
    """Whether texts begin with the begin-of-text token where the file does not say."""
    return FAMILIES[pre].bos if model == "gpt2" else model in ("llama", "bert")


def _names(source: TokenizerMetadata) -> tuple[str, str]:
    """The tokenizer model and, for byte-level ones, the family of its pre-tokenizer."""
    model = source.text("model")
    if not model or model in ("none", "no_vocab"):
        source.fail_without_tokenizer(", ".join(MODELS), model)
    if model not in MODELS:
        raise UnsupportedModelError(
            source.path, PREFIX + "model", "one of " + ", ".join(MODELS), repr(model)
        )
    pre = source.text("pre")
    if model != "gpt2":
        return model, ""
    if pre and pre not in FAMILIES:
        raise UnsupportedModelError(
            source.path, PREFIX + "pre", "one of " + ", ".join(sorted(FAMILIES)), repr(pre)
        )
    if not pre and source.path is not None:
        warnings.warn(
            f"{source.path}: no {PREFIX}pre, so texts are cut into words by default rules, perhaps "
            f"not those that the model was trained with: convert the model anew",
            RuntimeWarning,
            stacklevel=5,
        )
    return model, pre or "default"


def _kinds(
    source: TokenizerMetadata,
    tokens: Sequence[str],
    outer: tuple[int | None, ...],
    ends: set[int | None],
    unk: int | None,
) -> bytes:
    """The kind of each token, one byte each."""
    array = source.numbers("token_type", len(tokens))
    if array is None:
        kinds = bytearray([Kind.NORMAL]) * len(tokens)
        for i, token in enumerate(tokens):
            if token in BYTE_TOKENS:
                kinds[i] = Kind.BYTE
        for end in outer:
            if end is not None:
                kinds[end] = Kind.CONTROL
        if unk is not None and unk not in outer:
            kinds[unk] = Kind.UNKNOWN
        retype(kinds, tokens, {*outer, *ends}, typed=False)
        return bytes(kinds)
    if array.dtype.kind == "f":
        source.fail("token_type", "integers", f"an array of {array.dtype}")
    bad = (array < 0) | (array > max(Kind))
    if bad.any():
        wrong = int(bad.argmax())
        source.fail(f"token_type[{wrong}]", f"a number from 0 to {max(Kind)}", str(array[wrong]))
    kinds = bytearray(array.astype(np.uint8).tobytes())
    retype(kinds, tokens, {*outer, *ends})
    return bytes(kinds)


def _scores(source: TokenizerMetadata, n_vocab: int) -> npt.NDArray[np.float64]:
    array = source.numbers("scores", n_vocab)
    if array is None:
        source.fail("scores", f"{n_vocab} numbers, one for each token", "nothing")
    scores = array.astype(np.float64)
    if np.isnan(scores).any():
        source.fail(f"scores[{int(np.isnan(scores).argmax())}]", "a number", "NaN")
    return scores


def _matching(source: TokenizerMetadata, tokens: Sequence[str], kinds: bytes, pre: str) -> Matching:
    """Return how tokens match: as the file says, else as llama.cpp goes by names, which it must."""
    flags = ("lstrip", "rstrip", "single_word")
    if any(source.has(f"{flag}_token_ids") for flag in flags):
        found = {flag: source.ids(f"{flag}_token_ids", len(tokens)) for flag in flags}
        return Matching(**{flag: frozenset(ids) for flag, ids in found.items()})
    names = [source.values.get(f"general.{key}") for key in ("name", "architecture")]
    name, architecture = (value.lower() if isinstance(value, str) else "" for value in names)
    masks = {"<mask>"} if pre in MASKED or architecture == "jina-bert-v3" else set()
    masks |= {"[MASK]"} if "modern-bert" in name else set()
    lstrip = frozenset(i for places in places_of(tokens, masks).values() for i in places)
    if "phi-3" not in name and "phi3" not in name:
        return Matching(lstrip=lstrip)
    matched = (Kind.CONTROL, Kind.USER_DEFINED, Kind.UNKNOWN)
    ids = (i for kind in matched for i in _of_kind(kinds, kind))
    return Matching(rstrip=frozenset(i for i in ids if tokens[i] not in PHI3_KEEPS))
