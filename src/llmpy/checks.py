"""Checks of the arguments of public functions, made before anything changes.

TypeError for a wrong type, ValueError for a value out of range; either names the argument.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "flag",
    "flags",
    "function",
    "one_of",
    "path",
    "text",
    "token_ids",
    "whole",
    "work",
    "wrong_type",
]

_BYTES = bytes | bytearray | memoryview
_MOST = 2**31 - 1  # what native code takes


def wrong_type(name: str, expected: str, found: object) -> TypeError:
    """The error to raise for an argument `name` of a wrong type."""
    shown = repr(found)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return TypeError(f"{name}: expected {expected}, found {shown} ({type(found).__name__})")


def whole(name: str, value: Any, least: int = 1, most: int = _MOST) -> int:
    """A whole number from `least` to `most`; no float, however round, and no bool."""
    expected = "a positive whole number" if least == 1 else f"a whole number of {least} or more"
    expected += " below 2**31" if most == _MOST else f" up to {most}"
    try:
        number = operator.index(value)
    except TypeError:
        raise wrong_type(name, expected, value) from None
    if isinstance(value, bool):
        raise wrong_type(name, expected, value)
    if not least <= number <= most:
        raise ValueError(f"{name}: expected {expected}, found {number}")
    return number


def flag(name: str, value: Any) -> bool:
    """True or False, NumPy's too."""
    if not isinstance(value, bool | np.bool_):
        raise wrong_type(name, "True or False", value)
    return bool(value)


def flags(**values: Any) -> None:
    """Several of them, by name."""
    for name, value in values.items():
        flag(name, value)


def text(name: str, value: Any) -> str:
    """A string."""
    if isinstance(value, _BYTES):
        raise wrong_type(name, "a string (decode the bytes first)", value)
    if not isinstance(value, str):
        raise wrong_type(name, "a string", value)
    return value


def one_of(name: str, value: Any, choices: Collection[str]) -> str:
    """One of a few strings."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, found {value!r}")
    return value


def function(name: str, value: Any) -> Any:
    """Something that can be called, or None."""
    if value is not None and not callable(value):
        raise wrong_type(name, "a function", value)
    return value


def work(n_threads: Any, progress: Any) -> None:
    """Check what every long work takes: a number of threads or None, a function or None."""
    if n_threads is not None:
        whole("n_threads", n_threads)
    function("progress", progress)


def path(name: str, value: Any) -> Path:
    """A path of a file or folder."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise wrong_type(name, "a path (str or os.PathLike)", value)
    return Path(value)


def token_ids(name: str, values: Any, n_vocab: int) -> list[int]:
    """Token ids below `n_vocab`, from whatever can be iterated over; not from bytes or floats."""
    if isinstance(values, str | Mapping | _BYTES) or not isinstance(values, Iterable):
        raise wrong_type(name, "a string or a sequence of token ids", values)
    ids = []
    for i, value in enumerate(values):
        try:
            token = operator.index(value)
        except TypeError:
            raise wrong_type(f"{name}: token id {i}", "a whole number", value) from None
        if not 0 <= token < n_vocab:
            raise ValueError(f"{name}: token id {i}: expected 0 to {n_vocab - 1}, found {token}")
        ids.append(token)
    return ids
