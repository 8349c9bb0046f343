"""Options of load() that replace what a model file says: its rotation, its tokenizer."""

from __future__ import annotations

import math
import os
import typing
from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from llmpy import checks
from llmpy.arch.base import Key, Source, find
from llmpy.checkpoint.open import open_vocabulary
from llmpy.format import ModelFile
from llmpy.tokenizer import (
    Tokenizer,
    TokenizerProtocol,
    adopt_tokenizer,
    build_tokenizer,
    with_specials_of,
)

__all__ = ["ROPE_OVERRIDES", "GivenTokenizer", "tokenizer_of", "with_rope"]

GivenTokenizer: typing.TypeAlias = str | os.PathLike[str] | Tokenizer | TokenizerProtocol

ROPE_OVERRIDES = {
    "freq_base": "rope.freq_base",
    "freq_scale": "rope.scaling.factor",
    "scaling": "rope.scaling.type",
    "original_context": "rope.scaling.original_context_length",
}
"""What `load(rope=...)` takes, and the key of the metadata that each takes the place of."""

_SCALINGS = ("none", "linear", "yarn")
_MOST = 1e12


def with_rope(source: Source, rope: Mapping[str, Any] | None) -> Source:
    """Return the source with its rotation overridden.

    `freq_scale` is the reciprocal of the factor by which contexts are stretched: 0.25 for four
    times the context. Raises TypeError and ValueError for what is no such value, and where the
    architecture does not have it.
    """
    if rope is None:
        return source
    if not isinstance(rope, Mapping):
        raise checks.wrong_type("rope", f"a mapping of {', '.join(ROPE_OVERRIDES)}", rope)
    name = source.metadata.get("general.architecture")
    cls = find(name) if isinstance(name, str) else None
    if cls is None:
        return source  # building it says what is wrong
    types = typing.get_type_hints(cls)
    known = {k.suffix for k in (getattr(cls, field, None) for field in types) if isinstance(k, Key)}
    changed: dict[str, Any] = {}
    for key, value in rope.items():
        checks.one_of("rope", key, ROPE_OVERRIDES)
        suffix = ROPE_OVERRIDES[key]
        if suffix not in known:
            raise ValueError(f"rope: {name!r} has no {key} that could be overridden")
        changed[f"{name}.{suffix}"] = _checked(key, value)
    stretched, kind = (f"{name}.rope.scaling.{part}" for part in ("factor", "type"))
    if stretched in changed and "scaling" not in rope and source.metadata.get(kind) == "none":
        changed[kind] = "linear"
    return typing.cast("Source", _Overridden(source, changed))


def _checked(key: str, value: Any) -> Any:
    where = f"rope: {key}"
    if key == "scaling":
        return checks.one_of(where, value, _SCALINGS)
    if key == "original_context":
        return checks.whole(where, value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise checks.wrong_type(where, "a positive number", value)
    least = 1.0 if key == "freq_base" else 1 / _MOST
    if not (math.isfinite(value) and least <= value <= _MOST):
        raise ValueError(f"{where}: expected a number from {least:g} to {_MOST:g}, found {value}")
    return 1.0 / value if key == "freq_scale" else float(value)


class _Overridden(SimpleNamespace):
    """A source in whose metadata some keys have other values."""

    def __init__(self, source: Source, changed: Mapping[str, Any]) -> None:
        super().__init__(
            path=source.path,
            metadata=ChainMap(dict(changed), typing.cast("Any", source.metadata)),
            where=source.where,
        )
        if hasattr(source, "config_keys"):
            self.config_keys = source.config_keys


def tokenizer_of(file: ModelFile, given: GivenTokenizer | None, n_embedded: int) -> Tokenizer:
    """Return the tokenizer that `load` was given, or the file's own, for `n_embedded` tokens."""
    if given is None:
        return build_tokenizer(file.metadata, file.path, n_embedded)
    if isinstance(given, str | os.PathLike):
        found = with_specials_of(open_vocabulary(given), file.metadata)
        return build_tokenizer(found, Path(given), n_embedded)
    return adopt_tokenizer(given, n_embedded)
