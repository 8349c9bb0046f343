"""The vocabulary of a Hugging Face checkpoint -> `tokenizer.ggml.*`, as the ecosystem writes it.

It comes in tokenizer.json, a sentencepiece model, or vocab.json with merges.txt. What these leave
open (special tokens, the chat template) is in tokenizer_config.json and config.json.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.tokenizer.ends import END_NAMES
from llmpy.tokenizer.kinds import Kind
from llmpy.tokenizer.sentencepiece import read_sentencepiece
from llmpy.tokenizer.tokenizer_json import (
    MAX_TOKENS,
    SPACE,
    looks_special,
    matching_of,
    read_tokenizer_json,
)
from llmpy.tokenizer.world import read_world

__all__ = ["Files", "checkpoint_vocabulary"]

PREFIX = "tokenizer.ggml."
TEMPLATE = "tokenizer.chat_template"
TIKTOKEN = re.compile(rb"[A-Za-z0-9+/]+=* \d+\r?\n")  # its lines: a token in base64, and its rank
WORLD = "rwkv_vocab_v20230424.txt"
SENTENCEPIECE = ("tokenizer.model", "spiece.model")
IDS = {
    "bos": "bos_token_id", "eos": "eos_token_id", "unk": "unknown_token_id",
    "sep": "seperator_token_id", "pad": "padding_token_id", "mask": "mask_token_id",
}  # fmt: skip
# Tokenizers of vocab.json and merges.txt, which do not say how they cut words.
CLASSES = {
    "GPT2Tokenizer": "gpt-2", "Qwen2Tokenizer": "qwen2", "CodeGenTokenizer": "gpt-2",
    "RobertaTokenizer": "gpt-2", "GPTNeoXTokenizer": "gpt-2",
}  # fmt: skip
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
FAILURES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Files(Protocol):
    """The small files of a checkpoint's folder; None for one that is not there."""

    @property
    def path(self) -> Any: ...  # noqa: D102
    def json(self, name: str) -> dict[str, Any] | None: ...  # noqa: D102
    def text(self, name: str) -> str | None: ...  # noqa: D102
    def bytes(self, name: str) -> bytes | None: ...  # noqa: D102
    def error(self, name: str, field: str, expected: str, found: str) -> ModelFileError: ...  # noqa: D102


def checkpoint_vocabulary(files: Files, config: Mapping[str, Any]) -> dict[str, Any]:
    """All metadata of the tokenizer; tokens are filled up to the `vocab_size` of `config`.

    Empty where the folder has no tokenizer. Raises ModelFileError for damaged files, and for a
    tokenizer that llmpy cannot run.
    """
    settings = files.json("tokenizer_config.json") or {}
    try:
        found = _vocabulary(files, settings)
        if found is None:
            return {}
        inner = config.get("text_config")
        inner = inner if isinstance(inner, dict) else config
        _fill(found, inner.get("vocab_size", config.get("vocab_size")))
        configs = _configs(files)
        if found["model"] != "rwkv":
            _name_specials(found, files, configs, settings)
        _name_ends(found, configs)
    except ModelFileError:
        raise
    except FAILURES as error:
        raise files.error("tokenizer.json", "contents", "usual ones", str(error)) from None
    keys = {PREFIX + key: value for key, value in found.items()}
    return keys | _templates(files, settings)


def _vocabulary(files: Files, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The tokens, from the file that knows most of them."""
    whole = files.json("tokenizer.json")
    found = None
    if whole is not None:
        found = read_tokenizer_json(whole, partial(_refuse, files, "tokenizer.json"))
        if found["model"] != "llama":
            return found
    for name in SENTENCEPIECE:
        if (data := files.bytes(name)) is not None:
            try:
                scored = _sentencepiece(data)
            except ValueError as error:
                if found is not None:
                    return found
                found_ = "a file of tiktoken" if TIKTOKEN.match(data) else str(error)
                raise files.error(name, "file", "a model of sentencepiece", found_) from None
            _add(files, scored, settings, whole)
            ends = {"first": None, "last": None} if found is None else found
            return scored | {key: ends[key] for key in ("first", "last")}
    if found is None and (vocab := files.json("vocab.json")) is not None:
        found = _vocab_and_merges(files, vocab, settings)
    if found is None and (lines := files.text("vocab.txt")) is not None:
        found = _lines(files, lines, settings)
    if found is None and (lines := files.text(WORLD)) is not None:
        try:
            return read_world(lines)
        except ValueError as error:
            raise files.error(WORLD, "file", "an id, a token and a length", str(error)) from None
    return found


def _refuse(files: Files, name: str, field: str, expected: str, found: object) -> ModelFileError:
    text = repr(found) if not isinstance(found, Exception) else str(found)
    return files.error(name, field, expected, text[:120])


def _sentencepiece(data: bytes) -> dict[str, Any]:
    model = read_sentencepiece(data)
    found: dict[str, Any] = {
        "model": "t5" if model.unigram else "llama",
        "pre": "default",
        "tokens": model.tokens,
        "scores": model.scores,
        "token_type": model.kinds,
        "add_space_prefix": model.space_prefix,
    }
    if model.unigram:
        found["remove_extra_whitespaces"] = model.one_space
        if model.charsmap:
            found["precompiled_charsmap"] = np.frombuffer(model.charsmap, np.uint8)
    if Kind.UNKNOWN in model.kinds:
        found["unknown_token_id"] = model.kinds.index(Kind.UNKNOWN)
    return found


def _add(
    files: Files,
    found: dict[str, Any],
    settings: Mapping[str, Any],
    whole: Mapping[str, Any] | None,
) -> None:
    """Tokens that were added to a sentencepiece model later."""
    added = [(e, e.get("id")) for e in (whole or {}).get("added_tokens") or []]
    decoder = settings.get("added_tokens_decoder")
    if isinstance(decoder, dict):
        added += [(e, int(i)) for i, e in decoder.items() if i.isdecimal() and len(i) < 9]
    plain = files.json("added_tokens.json") or {}
    added += [({"content": token}, i) for token, i in plain.items()]
    for entry, i in added:
        token = entry.get("content") if isinstance(entry, dict) else None
        if type(token) is not str or type(i) is not int or not 0 <= i < MAX_TOKENS:
            raise files.error(
                "tokenizer_config.json", "added tokens", "ids and contents", repr(entry)
            )
        _fill(found, i + 1 if i < len(found["tokens"]) + 100_000 else 0)
        if i >= len(found["tokens"]) or found["tokens"][i] == token:
            if i < len(found["tokens"]) and found["token_type"][i] == Kind.NORMAL:
                special = entry.get("special") or looks_special(token)
                found["token_type"][i] = int(Kind.CONTROL if special else Kind.USER_DEFINED)
            continue
        control = entry.get("special") or looks_special(token)
        found["tokens"][i] = token if control else token.replace(SPACE, " ")
        found["token_type"][i] = int(Kind.CONTROL if control else Kind.USER_DEFINED)
        found["scores"][i] = -1000.0
    found |= matching_of(reversed(added))  # tokenizer.json, which comes first, counts


def _vocab_and_merges(
    files: Files, vocab: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Byte-level tokens in vocab.json, merges in lines of merges.txt."""
    lines = files.text("merges.txt")
    if lines is None:
        raise files.error("merges.txt", "file", "the merges of vocab.json", "no such file")
    name = str(settings.get("tokenizer_class", "GPT2Tokenizer")).removesuffix("Fast")
    if name not in CLASSES:
        known = ", ".join(CLASSES)
        raise UnsupportedModelError(
            files.path / "tokenizer_config.json", "tokenizer_class", f"one of {known}", name[:80],
            hint="A tokenizer.json would say how it cuts words.",
        )  # fmt: skip
    merges = [line for line in lines.split("\n") if line and not line.startswith("#version")]
    added = files.json("added_tokens.json") or {}
    model = {"type": "BPE", "vocab": vocab, "merges": [m.removesuffix("\r") for m in merges]}
    entries = [{"id": i, "content": token} for token, i in added.items()]
    decoder = settings.get("added_tokens_decoder")
    if isinstance(decoder, dict):
        entries += [{**e, "id": int(i)} for i, e in decoder.items() if i.isdecimal()]
    ends = ["<|endoftext|>", "<s>", "</s>", "<unk>", "<pad>"]
    entries += [{"id": vocab[t], "content": t, "special": True} for t in ends if t in vocab]
    whole = {"model": model, "added_tokens": entries, "pre_tokenizer": BYTE_LEVEL}
    found = read_tokenizer_json(whole, partial(_refuse, files, "vocab.json"))
    return found | {"pre": CLASSES[name]}


def _lines(files: Files, lines: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Word pieces, one a line."""
    tokens = lines.rstrip("\n").split("\n")
    names = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    vocab = {token.removesuffix("\r"): i for i, token in enumerate(tokens)}
    entries = [{"id": vocab[t], "content": t, "special": True} for t in names if t in vocab]
    lower = settings.get("do_lower_case", True) is not False
    whole = {
        "model": {"type": "WordPiece", "vocab": vocab},
        "added_tokens": entries,
        "normalizer": {"type": "BertNormalizer", "lowercase": lower},
        "post_processor": {"type": "BertProcessing", "cls": ["[CLS]"], "sep": ["[SEP]"]},
    }
    return read_tokenizer_json(whole, partial(_refuse, files, "vocab.txt"))


def _fill(found: dict[str, Any], size: object) -> None:
    """Tokens without use, up to the rows of the embedding."""
    n = len(found["tokens"])
    if isinstance(size, int) and n < size <= MAX_TOKENS:
        found["tokens"] += [f"[PAD{i}]" for i in range(n, size)]
        found["token_type"] += [int(Kind.UNUSED)] * (size - n)
        if "scores" in found:
            found["scores"] += [-1000.0] * (size - n)


def _configs(files: Files) -> list[Mapping[str, Any]]:
    """Those of the model: its own, that of generation, and that of its text part."""
    config = files.json("config.json") or {}
    found = config, files.json("generation_config.json"), config.get("text_config")
    return [config if isinstance(config, dict) else {} for config in found]


def _ids(config: Mapping[str, Any], name: str, kinds: Sequence[int], inner: bool) -> list[int]:
    """Ids of a special token that a configuration names, one or a list."""
    value = config.get(f"{name}_token_id")
    listed = value if isinstance(value, list) else [value]
    ids = [i for i in listed if type(i) is int and 0 <= i < len(kinds)]
    # What stands inside is often a default of its class, and another token in this vocabulary.
    return [i for i in ids if not inner or kinds[i] != Kind.NORMAL]


def _name_specials(
    found: dict[str, Any],
    files: Files,
    configs: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
) -> None:
    """Ids of special tokens, and whether texts begin and end with them."""
    tokens = found["tokens"]
    places: dict[str, int] = {token: i for i, token in reversed(list(enumerate(tokens)))}
    others = [settings, files.json("special_tokens_map.json") or {}]

    def place(name: str) -> int | None:
        for other in others:
            token = other.get(f"{name}_token")
            token = token.get("content") if isinstance(token, dict) else token
            if isinstance(token, str) and token in places:
                return places[token]
        ids = (_ids(c, name, found["token_type"], c is configs[2]) for c in configs)
        return next((i[0] for i in ids if i), None)

    for name, key in IDS.items():
        if (i := place(name)) is not None:
            found[key] = i
    ends = {"bos": found.pop("first", None), "eos": found.pop("last", None)}
    word_pieces = found["model"] == "bert"
    for name, token in ends.items():
        key = IDS[name]
        named = places.get(token) if token is not None else None
        if named is not None and (name == "eos" or word_pieces or key not in found):
            if key in found and found[key] != named and name == "eos":
                found["eot_token_id"] = found[key]
            found[key] = named
        flag = settings.get(f"add_{name}_token")
        adds = named is not None if token is not None or not isinstance(flag, bool) else flag
        found[f"add_{name}_token"] = adds and key in found
    if word_pieces and found["add_eos_token"]:
        found.setdefault("seperator_token_id", found["eos_token_id"])


def _name_ends(found: dict[str, Any], configs: Sequence[Mapping[str, Any]]) -> None:
    """All ids that generation ends with, which the configurations list beside the tokenizer's."""
    ends = {found[key]: None for key in ("eos_token_id", "eot_token_id") if key in found}
    for config in configs:
        ends |= dict.fromkeys(_ids(config, "eos", found["token_type"], config is configs[2]))
    if len(ends) < 2:
        return
    found["eos_token_ids"] = np.array(list(ends), np.int32)
    # Other engines know the usual names, and read one id from each of these keys.
    known = {found.get("eos_token_id"), found.get("eot_token_id")}
    more = [i for i in ends if i not in known and found["tokens"][i] not in END_NAMES]
    found |= zip(
        [k for k in ("eot_token_id", "eom_token_id") if k not in found], more, strict=False
    )


def _templates(files: Files, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The chat template, and others by their names, as GGUF has them."""
    found = settings.get("chat_template")
    if not found:
        found = (files.json("chat_template.json") or {}).get("chat_template")
    if not isinstance(found, list):
        found = [{"name": "default", "template": found}]
    named = {t.get("name"): t.get("template") for t in found if isinstance(t, dict)}
    if (text := files.text("chat_template.jinja")) is not None:
        named["default"] = text
    named = {
        name: text
        for name, text in named.items()
        if isinstance(name, str) and name.isidentifier() and isinstance(text, str)
    }
    keys: dict[str, Any] = {}
    if default := named.pop("default", None):
        keys[TEMPLATE] = default
    if named:
        keys[f"{TEMPLATE}s"] = list(named)
        keys |= {f"{TEMPLATE}.{name}": text for name, text in named.items()}
    return keys
