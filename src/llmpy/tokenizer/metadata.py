"""The `tokenizer.ggml.*` keys of a model file, checked as they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from llmpy.errors import ModelFileError
from llmpy.strings import Strings

__all__ = ["PREFIX", "TokenizerMetadata"]

PREFIX = "tokenizer.ggml."
NO_TOKEN = (0xFFFFFFFF, -1)  # what real files write for "this model has no such token"


class TokenizerMetadata:
    """The file's metadata, with errors that name the key."""

    def __init__(self, values: Mapping[str, Any], path: Path | None) -> None:
        self.values = values
        self.path = path

    def fail(self, key: str, expected: str, found: str, hint: str | None = None) -> NoReturn:
        """Raise the error about a key."""
        raise ModelFileError(self.path, PREFIX + key, expected, found, hint=hint)

    def fail_without_tokenizer(self, expected: str, found: str) -> NoReturn:
        """Raise the error about a model that comes without a tokenizer."""
        if self.path is None or not self.path.is_dir():
            hint = "This file has no tokenizer. Convert the model anew, from a folder with one."
            self.fail("model", f"one of {expected}", repr(found) if found else "nothing", hint)
        names = sorted(path.name for path in self.path.iterdir())
        other = [n for n in names if n == "tekken.json" or n.endswith(".tiktoken")]
        self.fail(
            "model",
            "a tokenizer: tokenizer.json, tokenizer.model, or vocab.json and merges.txt",
            f"only {', '.join(other)}, which llmpy cannot read" if other else "none of them",
            "Put the model's tokenizer.json there, from a copy in Hugging Face's format.",
        )

    def has(self, key: str) -> bool:
        """Whether the file says anything under a key."""
        return PREFIX + key in self.values

    def text(self, key: str) -> str:
        """A string; "" where the key is missing."""
        value = self.values.get(PREFIX + key, "")
        if not isinstance(value, str):
            self.fail(key, "a string", _short(value))
        return value

    def flag(self, key: str, default: bool) -> bool:
        """A bool."""
        value = self.values.get(PREFIX + key, default)
        if not isinstance(value, (bool, np.bool_)):
            self.fail(key, "a bool", _short(value))
        return bool(value)

    def id(self, key: str, n_vocab: int, default: int | None = None) -> int | None:
        """A token id; None where the file says that there is no such token."""
        value = self.values.get(PREFIX + key)
        if value is None:
            return default if default is not None and default < n_vocab else None
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
            self.fail(key, "a token id", _short(value))
        if value in NO_TOKEN:
            return None
        if not 0 <= value < n_vocab:
            self.fail(key, f"a token id from 0 to {n_vocab - 1}", str(value))
        return int(value)

    def ids(self, key: str, n_vocab: int) -> list[int]:
        """Token ids, one or an array; those outside the vocabulary are left out."""
        value = self.values.get(PREFIX + key)
        if value is None:
            return []
        array = self._array(key, value, "token ids")
        if array.ndim > 1 or (array.size and array.dtype.kind not in "iu"):
            self.fail(key, "token ids", f"an array of {array.dtype}")
        return [int(i) for i in np.atleast_1d(array) if 0 <= i < n_vocab]

    def strings(self, key: str, what: str) -> Sequence[str]:
        """An array of strings, as `Strings` where the file has them so."""
        value = getattr(self.values, "raw", self.values.get)(PREFIX + key)
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
        """An array of bytes."""
        value = self.values.get(PREFIX + key, b"")
        if isinstance(value, bytes):
            return value
        array = self._array(key, value, "bytes")
        if array.dtype.kind not in "iu" or array.ndim != 1:
            self.fail(key, "an array of bytes", _short(value))
        return array.astype(np.uint8).tobytes()

    def numbers(self, key: str, n_vocab: int) -> npt.NDArray[Any] | None:
        """An array of `n_vocab` numbers; None where the key is missing."""
        value = self.values.get(PREFIX + key)
        if value is None:
            return None
        if not isinstance(value, (list, tuple, np.ndarray)):
            self.fail(key, "an array of numbers", _short(value))
        array = self._array(key, value, "numbers")
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iuf"):
            self.fail(key, "an array of numbers", f"an array of {array.dtype}")
        if array.size != n_vocab:
            self.fail(key, f"{n_vocab} numbers, one for each token", str(array.size))
        return array

    def _array(self, key: str, value: object, what: str) -> npt.NDArray[Any]:
        try:
            return np.asarray(value)
        except (ValueError, OverflowError):
            self.fail(key, f"an array of {what}", "an array of other things")


def _short(value: object) -> str:
    kind = type(value).__name__
    return f"{kind} {value!r}" if isinstance(value, (str, int, float)) else kind
