"""tokenizer.json, the file of the `tokenizers` library -> tokens, kinds, scores and merges.

Byte-level byte-pair encoding becomes "gpt2", sentencepiece-style one "llama", unigram "t5" and
word pieces "bert": GGUF's names for them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from llmpy.errors import ModelFileError
from llmpy.tokenizer.families import family_of
from llmpy.tokenizer.kinds import BYTE_TOKENS, Kind

__all__ = ["MAX_TOKENS", "SPACE", "looks_special", "matching_of", "read_tokenizer_json"]

MAX_TOKENS = 1 << 22
SPACE = "\u2581"  # sentencepiece's visible space
NEVER = -1e6  # the score of a piece that no merge makes
MODELS = ("BPE", "Unigram", "WordPiece")
Refuse = Callable[[str, str, object], ModelFileError]


def read_tokenizer_json(whole: Mapping[str, Any], refuse: Refuse) -> dict[str, Any]:
    """Metadata of `tokenizer.ggml.*`, without that prefix.

    `refuse(field, expected, found)` makes the error for what is wrong.
    """
    model = whole.get("model")
    if not isinstance(model, dict):
        raise refuse("model", "an object", model)
    kind = model.get("type", "BPE")
    if kind not in MODELS:
        raise refuse("model.type", f"one of {', '.join(MODELS)}", kind)
    found = _tokens(whole, model, refuse)
    if kind == "BPE" and _is_byte_level(whole):
        found |= _byte_level(whole, model, refuse)
    elif kind == "BPE":
        found |= _scored(whole, model, found, refuse)
    elif kind == "Unigram":
        found |= _unigram(whole, model, found, refuse)
    else:
        found |= _word_pieces(whole, model, found)
    return found | _ends(whole)


def looks_special(token: str) -> bool:
    """Whether a token that is not called special is one that programs write, and no user."""
    bars = (("<|", "|>"), ("<\uff5c", "\uff5c>"), ("<unused", ">"))
    named = token in ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
    return named or any(token.startswith(a) and token.endswith(b) for a, b in bars)


def _tokens(whole: Mapping[str, Any], model: Mapping[str, Any], refuse: Refuse) -> dict[str, Any]:
    """All tokens in order with their kinds; ids that no token has are filled."""
    vocab = model.get("vocab")
    pairs: Iterator[tuple[Any, Any]]
    if isinstance(vocab, dict) and model.get("type") != "Unigram":
        pairs = iter(vocab.items())
    elif isinstance(vocab, list) and model.get("type") == "Unigram":
        pairs = ((e[0] if isinstance(e, list) and e else None, i) for i, e in enumerate(vocab))
    else:
        raise refuse("model.vocab", "tokens", type(vocab).__name__)
    places: dict[int, str] = {}
    for token, i in pairs:
        if type(token) is not str or type(i) is not int or not 0 <= i < MAX_TOKENS:
            raise refuse("model.vocab", f"tokens with ids below {MAX_TOKENS}", (token, i))
        places[i] = token
    kinds = dict.fromkeys(places, int(Kind.NORMAL))
    added = whole.get("added_tokens") or []
    added = added if isinstance(added, list) else [added]
    for entry in added:
        i = entry.get("id") if isinstance(entry, dict) else None
        token = entry.get("content") if isinstance(entry, dict) else None
        if type(token) is not str or type(i) is not int or not 0 <= i < MAX_TOKENS:
            raise refuse("added_tokens", "objects with id and content", entry)
        control = entry.get("special") or looks_special(token)
        kinds[i] = int(Kind.CONTROL if control else Kind.USER_DEFINED)
        places[i] = token if control else token.replace(SPACE, " ")
    if not places:
        raise refuse("model.vocab", "at least one token", "none")
    if (n := max(places) + 1) > 2 * len(places) + 1000:
        raise refuse("model.vocab", "ids without large gaps", f"id {n - 1} of {len(places)}")
    return {
        "tokens": [places.get(i, f"[PAD{i}]") for i in range(n)],
        "token_type": [kinds.get(i, int(Kind.UNUSED)) for i in range(n)],
        **matching_of((entry, entry["id"]) for entry in added),
    }


def matching_of(added: Iterable[tuple[Mapping[str, Any], int]]) -> dict[str, Any]:
    """Return how added tokens (with their ids) match in special ways; empty arrays for none."""
    last = {i: entry for entry, i in added}
    return {
        f"{flag}_token_ids": np.array([i for i in last if last[i].get(flag)], np.int32)
        for flag in ("lstrip", "rstrip", "single_word")
    }


def _parts(whole: Any, key: str, inner: str, depth: int = 4) -> Iterator[Mapping[str, Any]]:
    """Yield the objects under `key`: one, or those of a "Sequence" under `inner`."""
    value = whole.get(key) if key else whole
    if not isinstance(value, dict):
        return
    if value.get("type") == "Sequence" and depth:
        for part in value.get(inner) or []:
            yield from _parts(part, "", inner, depth - 1)
    else:
        yield value


def _is_byte_level(whole: Mapping[str, Any]) -> bool:
    parts = [
        *_parts(whole, "pre_tokenizer", "pretokenizers"),
        *_parts(whole, "decoder", "decoders"),
    ]
    return any(part.get("type") == "ByteLevel" for part in parts)


def _byte_level(
    whole: Mapping[str, Any], model: Mapping[str, Any], refuse: Refuse
) -> dict[str, Any]:
    try:
        family = family_of(whole.get("pre_tokenizer"), bool(model.get("ignore_merges")))
    except ValueError as error:
        raise refuse("pre_tokenizer", "one that tokenizers can use", error) from None
    if family is None:
        raise refuse(
            "pre_tokenizer", "one that cuts words like a family that llmpy knows", "another"
        )
    merges = [" ".join(pair) for pair in _merges(model, refuse)]
    return {
        "model": "gpt2", "pre": family, "merges": merges, "fuse_unk": bool(model.get("fuse_unk"))
    }  # fmt: skip


def _merges(model: Mapping[str, Any], refuse: Refuse) -> Iterator[tuple[str, str]]:
    merges = model.get("merges") or []
    if not isinstance(merges, list):
        raise refuse("model.merges", "a list", type(merges).__name__)
    for merge in merges:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or len(pair) != 2 or not all(type(p) is str for p in pair):
            raise refuse("model.merges", "pairs of tokens", merge)
        yield pair[0], pair[1]


def _scored(
    whole: Mapping[str, Any], model: Mapping[str, Any], found: dict[str, Any], refuse: Refuse
) -> dict[str, Any]:
    """Merges in order as scores, by which sentencepiece merges."""
    rank: dict[str, int] = {}
    for i, (left, right) in enumerate(_merges(model, refuse)):
        rank.setdefault(left + right, i)
    tokens, kinds = found["tokens"], found["token_type"]
    keys: dict[str, Any] = {"model": "llama", "pre": "default", "add_space_prefix": _prefix(whole)}
    keys["scores"] = [
        -float(rank[token]) if token in rank else 0.0 if len(token) == 1 else NEVER
        for token in tokens
    ]
    keys["fuse_unk"] = bool(model.get("fuse_unk"))
    for i, token in enumerate(tokens):
        if model.get("byte_fallback") and token in BYTE_TOKENS:
            kinds[i] = int(Kind.BYTE)
        elif token == model.get("unk_token"):
            kinds[i] = int(Kind.UNKNOWN)
            keys["unknown_token_id"] = i
    return keys


def _prefix(whole: Mapping[str, Any]) -> bool:
    """Whether a text gets a space in front."""
    parts = [*_parts(whole, "normalizer", "normalizers")]
    if any(part.get("type") == "Prepend" for part in parts):
        return True
    for part in _parts(whole, "pre_tokenizer", "pretokenizers"):
        if part.get("type") == "Metaspace":
            scheme = part.get("prepend_scheme", "always")
            return bool(part.get("add_prefix_space", True)) and scheme != "never"
    return False


def _unigram(
    whole: Mapping[str, Any], model: Mapping[str, Any], found: dict[str, Any], refuse: Refuse
) -> dict[str, Any]:
    scores = []
    for entry in model["vocab"]:
        score = entry[1] if len(entry) == 2 else None
        if not isinstance(score, int | float) or not -1e30 < score < 1e30:
            raise refuse("model.vocab", "tokens with scores", entry)
        scores.append(float(score))
    scores += [0.0] * (len(found["tokens"]) - len(scores))
    unk = model.get("unk_id")
    keys: dict[str, Any] = {"model": "t5", "pre": "default", "scores": scores}
    if type(unk) is int and 0 <= unk < len(scores):
        keys["unknown_token_id"] = unk
        found["token_type"][unk] = int(Kind.UNKNOWN)
    normalizers = [*_parts(whole, "normalizer", "normalizers")]
    kinds = {part.get("type") for part in normalizers}
    keys["remove_extra_whitespaces"] = bool(kinds & {"Strip", "Replace"})
    keys["add_space_prefix"] = _prefix(whole)
    for part in normalizers:
        if part.get("type") == "Precompiled" and part.get("precompiled_charsmap"):
            try:
                raw = base64.b64decode(part["precompiled_charsmap"])
                keys["precompiled_charsmap"] = np.frombuffer(raw, np.uint8)
            except (binascii.Error, TypeError, ValueError) as error:
                raise refuse("normalizer.precompiled_charsmap", "base64", error) from None
    return keys


def _word_pieces(
    whole: Mapping[str, Any], model: Mapping[str, Any], found: dict[str, Any]
) -> dict[str, Any]:
    """Pieces inside words lose their mark, those that begin words get sentencepiece's space."""
    keys: dict[str, Any] = {"model": "bert", "pre": "default"}
    if (unk := model.get("unk_token")) in found["tokens"]:
        keys["unknown_token_id"] = found["tokens"].index(unk)
    found["tokens"] = [
        token if kind == Kind.CONTROL else token[2:] if token[:2] == "##" else SPACE + token
        for token, kind in zip(found["tokens"], found["token_type"], strict=True)
    ]
    for part in _parts(whole, "normalizer", "normalizers"):
        if part.get("type") == "BertNormalizer":
            lower, strip = part.get("lowercase", True), part.get("strip_accents")
            keys["normalizer.lowercase"] = bool(lower)
            keys["normalizer.strip_accents"] = bool(lower if strip is None else strip)
        elif part.get("type") == "Lowercase":
            keys["normalizer.lowercase"] = True
        elif part.get("type") == "StripAccents":
            keys["normalizer.strip_accents"] = True
    return keys


def _ends(whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tokens that the post-processor puts around a text, under "first" and "last"."""
    first: object = None
    last: object = None
    for part in _parts(whole, "post_processor", "processors"):
        if part.get("type") == "TemplateProcessing":
            single = [e for e in part.get("single") or [] if isinstance(e, dict)]
            names = [(e.get("SpecialToken") or {}).get("id") for e in single]
            text = next((i for i, e in enumerate(single) if "Sequence" in e), len(single))
            first = next((name for name in names[:text] if name), first)
            last = next((name for name in reversed(names[text:]) if name), last)
        elif part.get("type") in ("BertProcessing", "RobertaProcessing"):
            pairs = [part.get(key) for key in ("cls", "sep")]
            first, last = (p[0] if isinstance(p, list) and p else None for p in pairs)
    return {"first": first if isinstance(first, str) else None,
            "last": last if isinstance(last, str) else None}  # fmt: skip
