"""Sampling that a file recommends: as its writer meant it, or not at all."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["CHECKPOINT_KEYS", "GGUF_KEYS", "recommended", "recommended_sampling"]

# Keys of a file -> parameters of llmpy.default_chain; what later ones say of an earlier one counts.
GGUF_KEYS = {
    "general.sampling.temp": "temperature",
    "general.sampling.top_k": "top_k",
    "general.sampling.top_p": "top_p",
    "general.sampling.min_p": "min_p",
    "general.sampling.penalty_repeat": "repeat_penalty",
}
CHECKPOINT_KEYS = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repetition_penalty": "repeat_penalty",
}
# What makers recommend of files that do not say it, by name and size in bytes.
KNOWN: dict[str, tuple[int, dict[str, Any]]] = {
    # https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct
    "SmolLM2-135M-Instruct.Q4_1.gguf": (98_362_432, {"temperature": 0.2, "top_p": 0.9}),
}
LARGEST = 1e6  # of a temperature and a penalty: whatever is larger is no recommendation


def recommended_sampling(path: Path, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of `default_chain` that a file recommends, or its makers where it does not.

    What a user says comes before either.
    """
    size, known = KNOWN.get(path.name, (0, {}))
    known = known if size and path.stat().st_size == size else {}
    return {**known, **recommended(path, metadata, GGUF_KEYS)}


def recommended(path: Path, settings: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """Parameters of `default_chain` that work, of what the file at `path` has under `keys`.

    A value beyond a range that switches the step off, or makes it greedy, in other engines does so
    here. A value without a meaning is ignored, and a warning names file and key.
    """
    found: dict[str, Any] = {}
    for key, name in keys.items():
        value = settings.get(key)
        if value is None:
            continue
        try:
            found |= _meant(name, value)
        except ValueError as error:
            warnings.warn(
                f"{path}: {key}: expected {error}, found {value!r:.40}; it is ignored",
                RuntimeWarning, stacklevel=2,
            )  # fmt: skip
    return found


def _meant(name: str, value: Any) -> dict[str, Any]:
    """Return the meaning of one value; raise ValueError with what was expected."""
    number = isinstance(value, int | float | np.integer | np.floating)
    if isinstance(value, bool) or not number or not math.isfinite(value):
        raise ValueError("a finite number")
    if name == "top_k":
        if value != int(value):
            raise ValueError("a whole number")
        return {name: min(max(int(value), 0), 2**31 - 1)}  # -1: all
    value = float(value)
    if name == "temperature" and value <= LARGEST:
        return {name: max(value, 0.0)}  # below 0: greedy
    if name == "top_p" and value >= 0:
        return {name: min(value, 1.0)} if value else {"temperature": 0.0}  # 0: the likeliest alone
    if name == "min_p" and value <= 1:
        return {name: max(value, 0.0)}
    if name == "repeat_penalty" and 1 / LARGEST <= value <= LARGEST:
        return {name: value}
    ranges = {
        "temperature": f"a number up to {LARGEST:g}",
        "top_p": "a number from 0 to 1",
        "min_p": "a number from 0 to 1",
        "repeat_penalty": f"a number above 0, up to {LARGEST:g}",
    }
    raise ValueError(ranges[name])
