"""How an architecture is declared: its name, its hyperparameters out of the metadata, the registry.

The folder is the registry: every module here is imported, and each `@architecture` class in it is
known by the names it gives.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeVar, dataclass_transform

from llmpy.errors import GraphError, ModelFileError, UnsupportedModelError
from llmpy.graph import Graph, Shape, Value, Weights, finish

__all__ = ["Architecture", "architecture", "architectures", "build", "key"]

MAX_INT = 2**31 - 1  # of any count in a model file; native code holds them in 32 bits
HARMLESS = ("*.attn_rot_embd.weight", "*.rotary_emb.inv_freq")
T = TypeVar("T")


class Source(Protocol):
    """What hyperparameters are read from: a model file, or anything with its three ways to ask."""

    path: Any
    metadata: Mapping[str, Any]

    def where(self, key: str) -> int | None:
        """Byte offset of a metadata key."""


class Architecture(Protocol):
    """An instance holds one file's hyperparameters; `forward` wires its tensors."""

    n_layer: int

    def forward(self, w: Weights, tokens: Value) -> Value:
        """The logits [T, n_vocab] of the tokens [T]."""


@dataclass(frozen=True)
class Key:
    """Where a hyperparameter stands in the metadata, and what it may be."""

    suffix: str
    default: Any
    least: float
    most: float


def key(
    suffix: str, default: Any = ..., *, least: float | None = None, most: float = MAX_INT
) -> Any:
    """A hyperparameter `<architecture>.<suffix>`, required unless it has a default.

    A default that names an earlier field means that field's value. Whole numbers are at least 1 and
    fractions at least 0 unless `least` says otherwise; infinities and NaN are refused.
    """
    return Key(suffix, default, math.nan if least is None else least, most)


_registry: dict[str, type[Any]] = {}


@dataclass_transform(kw_only_default=True)
def architecture(*names: str) -> Callable[[type[T]], type[T]]:
    """Register a class under the values of `general.architecture` that it understands."""

    def register(cls: type[T]) -> type[T]:
        _registry.update(dict.fromkeys(names, cls))
        return cls

    return register


@cache
def architectures() -> Mapping[str, type[Any]]:
    """All known architectures by name."""
    package = importlib.import_module("llmpy.arch")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"llmpy.arch.{module.name}")
    return dict(sorted(_registry.items()))


def build(source: Source, shapes: Mapping[str, Shape]) -> tuple[Any, Graph]:
    """The architecture of a model file, its hyperparameters read, and its graph.

    `shapes` are those of all tensors by full name. Raises ModelFileError, naming the metadata that
    implied what the file does not have.
    """
    name = source.metadata.get("general.architecture")
    if not isinstance(name, str):
        raise ModelFileError(
            source.path, "general.architecture", "the name of an architecture", repr(name)[:80]
        )
    known = architectures()
    if name not in known:
        raise UnsupportedModelError(
            source.path,
            "general.architecture",
            f"one of {', '.join(known)}",
            repr(name)[:80],
            offset=source.where("general.architecture"),
        )
    model = known[name]()
    read = _read_hyperparameters(model, source, name)
    n_blocks = len({m[0] for m in (re.match(r"blk\.\d+\.", s) for s in shapes) if m})
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
        graph = Graph(shapes)
        logits = model.forward(Weights(shapes, n_blocks=n_blocks), graph.tokens())
        return model, finish(graph, logits, HARMLESS)
    except GraphError as error:
        said = ", ".join(f"{k} = {v}" for k, v in read.items())
        raise ModelFileError(
            source.path, f"tensors of {name}", "what the metadata implies", str(error),
            hint=f"The metadata says {said}",
        ) from None  # fmt: skip


def _read_hyperparameters(model: Any, source: Source, name: str) -> dict[str, Any]:
    """Set each declared field of `model`; returns the metadata that was there."""
    read: dict[str, Any] = {}
    for field, kind in typing.get_type_hints(type(model)).items():
        declared = getattr(type(model), field)
        full = f"{name}.{declared.suffix}"
        if full in source.metadata:
            value = read[full] = _checked(source, full, kind, declared)
        elif declared.default is ...:
            raise ModelFileError(source.path, full, "this metadata key", "a file without it")
        else:
            default = declared.default
            earlier = isinstance(default, str) and default in vars(model)
            value = getattr(model, default) if earlier else default
        setattr(model, field, value)
    return read


def _checked(source: Source, full: str, kind: type, declared: Key) -> Any:
    value = source.metadata[full]

    def refuse(expected: str) -> ModelFileError:
        return ModelFileError(
            source.path, full, expected, repr(value)[:80], offset=source.where(full)
        )

    if not isinstance(value, str | bytes) and hasattr(value, "__len__"):
        items = list(value)
        nested = any(hasattr(x, "__len__") and not isinstance(x, str) for x in items)
        if not items or nested or any(x != items[0] for x in items):
            raise refuse("one value for all layers")
        value = items[0].item() if hasattr(items[0], "item") else items[0]
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise refuse({int: "a whole number", float: "a number"}.get(kind, f"a {kind.__name__}"))
    if isinstance(value, int | float):
        least = (1 if kind is int else 0) if math.isnan(declared.least) else declared.least
        if not least <= value <= declared.most:
            raise refuse(f"a number from {least:g} to {declared.most:g}")
    return value
