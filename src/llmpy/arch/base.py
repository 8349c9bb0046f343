"""Declaring architectures: the name, the hyperparameters read from metadata, the registry.

The folder is the registry: every module here is imported, and each `@architecture` class in it is
known by the names it gives.
"""

from __future__ import annotations

import difflib
import importlib
import math
import pkgutil
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Protocol, TypeVar, dataclass_transform

import numpy as np

from llmpy.arch.checkpoint import Checkpoint, Config
from llmpy.arch.classification import CLASSIFIER_TENSORS
from llmpy.arch.defaults import DEFAULTS
from llmpy.errors import GraphError, ModelFileError, UnsupportedModelError
from llmpy.graph import Graph, Shape, Value, Weights, finish

__all__ = [
    "Architecture", "Key", "Source", "architecture", "architectures", "build", "checkpoints",
    "find", "key",
]  # fmt: skip

MAX_INT = 2**31 - 1  # of any count in a model file; native code holds them in 32 bits
WHOLE = ("xielu.",)  # keys that have no architecture's name before them
HARMLESS = ("*.attn_rot_embd.weight", "*.rotary_emb.inv_freq", *CLASSIFIER_TENSORS)
T = TypeVar("T")


class Source(Protocol):
    """The source of hyperparameters: a model file, or anything with its three methods."""

    path: Any
    metadata: Mapping[str, Any]

    def where(self, key: str) -> int | None:
        """Byte offset of a metadata key."""


class Architecture(Protocol):
    """An instance holds one file's hyperparameters; `forward` wires its tensors.

    It may have `harmless`: patterns of the names of tensors that it need not read.
    """

    n_layer: int

    def forward(self, w: Weights, tokens: Value) -> Value:
        """The logits [T, n_vocab] of the tokens [T]."""


@dataclass(frozen=True)
class Key:
    """The key of a hyperparameter in the metadata, and its allowed values."""

    suffix: str
    default: Any
    least: float
    most: float
    n: int = 0


def key(
    suffix: str,
    default: Any = ...,
    *,
    least: float | None = None,
    most: float = MAX_INT,
    n: int = 0,
) -> Any:
    """A hyperparameter `<architecture>.<suffix>`, required unless it has a default.

    A default that names an earlier field means that field's value. Whole numbers are at least 1 and
    fractions at least 0 unless `least` says otherwise; infinities and NaN are refused. A field of
    type `tuple[X, ...]` holds a value for each layer, all the same where the file has only one; of
    type `X | tuple[X, ...]` that one; with `n`, as many values as that instead of one for
    each layer.
    """
    return Key(suffix, default, math.nan if least is None else least, most, n)


_registry: dict[str, type[Any]] = {}


@dataclass_transform(kw_only_default=True)
def architecture(*names: str) -> Callable[[type[T]], type[T]]:
    """Register a class under the values of `general.architecture` that it understands."""

    def register(cls: type[T]) -> type[T]:
        _registry.update(dict.fromkeys(names, cls))
        return cls

    return register


def _modules() -> list[str]:
    package = importlib.import_module("llmpy.arch")
    return [module.name for module in pkgutil.iter_modules(package.__path__)]


@cache
def architectures() -> Mapping[str, type[Any]]:
    """All known architectures by name."""
    for module in _modules():
        importlib.import_module(f"llmpy.arch.{module}")
    return dict(sorted(_registry.items()))


def find(name: str) -> type[Any] | None:
    """Return an architecture, or None; its file alone is imported where that has its name."""
    module = name.replace("-", "_")
    if module in _modules():
        importlib.import_module(f"llmpy.arch.{module}")
    return _registry.get(name) or architectures().get(name)


@cache
def checkpoints() -> Mapping[str, Checkpoint]:
    """Return the recipes that convert checkpoints, by `model_type` of config.json."""
    found: dict[str, Checkpoint] = {}
    for cls in architectures().values():
        floats = {
            declared.suffix
            for field, kind in typing.get_type_hints(cls).items()
            if kind is float and isinstance(declared := getattr(cls, field, None), Key)
        }
        for each in getattr(cls, "checkpoints", ()):
            typed = replace(each, metadata=partial(_with_fractions, each.metadata, floats))
            found |= {t: replace(typed, defaults=DEFAULTS.get(t, {})) for t in each.model_types}
    return dict(sorted(found.items()))


def _with_fractions(
    metadata: Callable[[Config], Mapping[str, Any]], floats: set[str], config: Config
) -> dict[str, Any]:
    """Metadata of a checkpoint, whole numbers made fractions where the architecture has those:
    other readers of GGUF tell the two apart.
    """
    return {
        k: float(v) if type(v) is int and k in floats else v for k, v in metadata(config).items()
    }


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint with what is named most like `name`, and with all that is known."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return (f"The nearest: {', '.join(near)}; all" if near else "All") + f": {', '.join(known)}"


def build(source: Source, shapes: Mapping[str, Shape], n_ctx: int = 0) -> tuple[Any, Graph]:
    """The architecture of a model file, its hyperparameters read, and its graph.

    `shapes` are those of all tensors by full name; a session will hold `n_ctx` tokens, or if that
    is 0 what the model was trained for. Raises ModelFileError, naming the metadata that implied
    what the file does not have.
    """
    name = source.metadata.get("general.architecture")
    if not isinstance(name, str):
        raise ModelFileError(
            source.path, "general.architecture", "the name of an architecture", repr(name)[:80]
        )
    cls = find(name)
    if cls is None:
        raise UnsupportedModelError(
            source.path,
            "general.architecture",
            "one that llmpy knows",
            repr(name)[:80],
            offset=source.where("general.architecture"),
            hint=nearest(name, architectures()),
        )
    model = cls()
    n_blocks = len({m[0] for m in (re.match(r"blk\.\d+\.", s) for s in shapes) if m})
    read = _read_hyperparameters(model, source, name, n_blocks)
    if model.n_layer != n_blocks:
        field = f"{name}.block_count"
        raise ModelFileError(
            source.path,
            field,
            f"{n_blocks}, the blocks that the file has tensors of",
            str(model.n_layer),
            offset=source.where(field),
        )
    try:
        graph = Graph(shapes, n_ctx or getattr(model, "n_ctx", 0))
        logits = model.forward(Weights(shapes, n_blocks=n_blocks), graph.tokens())
        return model, finish(graph, logits, (*HARMLESS, *getattr(model, "harmless", ())))
    except GraphError as error:
        listed = ", ".join(f"{k} = {v}" for k, v in read.items())
        raise ModelFileError(
            source.path, f"tensors of {name}", "what the metadata implies", str(error),
            hint=f"The metadata says {listed}",
        ) from None  # fmt: skip


def _read_hyperparameters(model: Any, source: Source, name: str, n_blocks: int) -> dict[str, Any]:
    """Set each declared field of `model`; returns the metadata that was there."""
    read: dict[str, Any] = {}
    for field, kind in typing.get_type_hints(type(model)).items():
        declared = getattr(type(model), field)
        own = declared.suffix.startswith(WHOLE)
        full = declared.suffix if own else f"{name}.{declared.suffix}"
        if full in source.metadata:
            value = read[full] = _checked(source, full, kind, declared, n_blocks)
        elif declared.default is ...:
            raise _missing(source, full)
        else:
            default = declared.default
            earlier = isinstance(default, str) and default in vars(model)
            value = getattr(model, default) if earlier else default
        setattr(model, field, value)
    return read


def _missing(source: Source, full: str) -> ModelFileError:
    """The error about a key that is not there, by the name that it has in the file."""
    named = getattr(source, "config_keys", None)
    if named and (keys := named(full)):
        path, key = source.path / "config.json", " or ".join(keys)
        return ModelFileError(path, key, f"this key ({full})", "a file without it")
    return ModelFileError(source.path, full, "this metadata key", "a file without it")


def _checked(source: Source, full: str, kind: Any, declared: Key, n_layer: int) -> Any:
    """The value of metadata `full`, which must be of the type and range that the field has."""
    value = source.metadata[full]
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    each = next((typing.get_args(k)[0] for k in kinds if typing.get_args(k)), None)
    one = next((k for k in kinds if not typing.get_args(k)), None)
    if isinstance(value, str | bytes) or not hasattr(value, "__len__"):
        checked = _in_range(source, full, one or each, declared, value)
        return checked if one else (checked,) * (declared.n or n_layer)
    if each and len(value) != (declared.n or n_layer):
        usual = f"one value, or one for each of {n_layer} layers"
        raise _refusal(source, full, f"{declared.n} values" if declared.n else usual)
    items = [x.item() if isinstance(x, np.generic) else x for x in value]
    if each:
        return tuple(_in_range(source, full, each, declared, x) for x in items)
    nested = any(hasattr(x, "__len__") and not isinstance(x, str) for x in items)
    if not items or nested or any(x != items[0] for x in items):
        raise _refusal(source, full, "one value for all layers")
    return _in_range(source, full, one, declared, items[0])


def _refusal(source: Source, full: str, expected: str) -> ModelFileError:
    found = repr(source.metadata[full])[:80]
    return ModelFileError(source.path, full, expected, found, offset=source.where(full))


def _in_range(source: Source, full: str, kind: Any, declared: Key, value: Any) -> Any:
    """One value, of type `kind`; whole numbers serve as fractions, truth values as flags."""
    if kind is float and type(value) is int:
        value = float(value)
    if kind is bool and type(value) is int and value in (0, 1):
        value = bool(value)
    if type(value) is not kind:
        names = {int: "a whole number", float: "a number", bool: "true or false"}
        raise _refusal(source, full, names.get(kind, f"a {kind.__name__}"))
    if isinstance(value, int | float):
        least = (1 if kind is int else 0) if math.isnan(declared.least) else declared.least
        if not least <= value <= declared.most:
            raise _refusal(source, full, f"a number from {least:g} to {declared.most:g}")
    return value
