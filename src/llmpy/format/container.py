"""The neutral form of a model file: metadata and tensors, whatever the format was.

Every reader of this folder yields a `ModelFile`. Names of keys and tensors are GGUF's, shapes are
row-major (the last dimension is the length of a row), tensor bytes are little-endian blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from llmpy.dtypes import DType
from llmpy.errors import ModelFileError
from llmpy.format.cursor import quoted
from llmpy.format.mapped import MappedFile
from llmpy.process import ProcessBound
from llmpy.strings import Strings

__all__ = ["Metadata", "ModelFile", "TensorInfo", "Value"]

Value: TypeAlias = bool | int | float | str | list[str] | list[Any] | NDArray[Any]
"""One metadata value. Arrays of numbers are NumPy arrays, arrays of strings lists of str, arrays of
arrays lists. Strings that are not UTF-8 are kept without loss: their odd bytes are surrogate
escapes, and `text.encode("utf-8", "surrogateescape")` gives the file's bytes back."""

T = TypeVar("T")
D = TypeVar("D")


class _Required:
    """The default of a key that must be there."""


_REQUIRED: Final = _Required()
_EXPECTED = {
    bool: "a bool",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "an array of strings",
    np.ndarray: "an array of numbers",
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """The place of one tensor: `size` bytes from byte `offset` of file number `part`.

    `shape` is row-major: (outputs, inputs) for a matrix of weights. A tensor with `pieces` is what
    these are, one after another, wherever they lie.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    offset: int
    size: int
    part: int = 0
    pieces: tuple[TensorInfo, ...] = ()

    @property
    def n_values(self) -> int:
        """Number of values in the tensor."""
        return math.prod(self.shape)


class Metadata(Mapping[str, Value]):
    """Read-only metadata. `Strings` become a list when they are looked at, but not by `raw`."""

    def __init__(self, values: Mapping[str, Value | Strings]) -> None:
        self._values = dict(values)
        self._lists: dict[str, list[str]] = {}

    def raw(self, key: str) -> Value | Strings | None:
        """The value as it was read; None for a key that is not there."""
        return self._values.get(key)

    def __getitem__(self, key: str) -> Value:
        value = self._values[key]
        if not isinstance(value, Strings):
            return value
        if key not in self._lists:
            self._lists[key] = value.all()
        return self._lists[key]

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(dict(self))


class ModelFile(ProcessBound):
    """An open model file: read-only, shareable between threads, to be closed or used with `with`.

    `kinds` gives the stored type of each metadata key in GGUF's words ("u32", "[string]"),
    `offsets` the byte at which its value begins. `adapt`, if given, turns the stored bytes of a
    tensor into those of the neutral form.
    """

    def __init__(
        self,
        files: Sequence[MappedFile],
        format: str,
        metadata: Mapping[str, Value | Strings],
        tensors: Mapping[str, TensorInfo],
        *,
        kinds: Mapping[str, str],
        offsets: Mapping[str, int],
        adapt: Callable[[TensorInfo, NDArray[np.uint8]], NDArray[np.uint8]] | None = None,
    ) -> None:
        self._files = tuple(files)
        self._offsets = offsets
        self._adapt = adapt
        self.path: Path = files[0].path
        self.format = format
        self.metadata: Mapping[str, Value] = Metadata(metadata)
        self.kinds: Mapping[str, str] = MappingProxyType(dict(kinds))
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType(dict(tensors))

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files that make up this model, in order."""
        return tuple(file.path for file in self._files)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self._files)

    @property
    def parameters(self) -> int:
        """Number of values in all tensors together."""
        return sum(info.n_values for info in self.tensors.values())

    def where(self, key: str) -> int | None:
        """Byte offset of the value of a metadata key, for error messages; None if not known."""
        return self._offsets.get(key)

    def error(self, key: str, expected: str, hint: str | None = None) -> ModelFileError:
        """The error to raise when the value of `key` will not do: what the file has, and where."""
        return ModelFileError(
            self.path,
            f"metadata '{key}'",
            expected,
            self._describe(key),
            offset=self.where(key),
            hint=hint,
        )

    def _describe(self, key: str) -> str:
        if key not in self.metadata:
            return "no such key"
        value, kind = self.metadata[key], self.kinds.get(key, "")
        if isinstance(value, list | np.ndarray):
            return f"{kind} of {len(value)} values"
        return f"{kind} {quoted(value)}"

    @overload
    def get(self, key: str, kind: type[T], *, finite: bool = ...) -> T: ...
    @overload
    def get(self, key: str, kind: type[T], default: D, *, finite: bool = ...) -> T | D: ...
    def get(self, key: str, kind: Any, default: Any = _REQUIRED, *, finite: bool = True) -> Any:
        """Metadata `key` as a bool, int, float, str, list (of str) or np.ndarray (of numbers).

        A bool is no int; an integer is accepted where a float is asked for. Without a `default` the
        key must be there. NaN and infinities are refused unless `finite` is False. Raises
        `ModelFileError` that names the key, its place, and what was expected and found.
        """
        if key not in self.metadata:
            if default is _REQUIRED:
                raise self.error(key, _EXPECTED[kind])
            return default
        value: Any = self.metadata[key]
        if kind is float and type(value) is int:
            value = float(value)
        right = type(value) is kind
        if kind is list:
            right = right and all(type(item) is str for item in value)
        if not right:
            raise self.error(key, _EXPECTED[kind])
        if finite and kind is float and not math.isfinite(value):
            raise self.error(key, "a finite number")
        if (
            finite
            and kind is np.ndarray
            and value.dtype.kind == "f"
            and not np.isfinite(value).all()
        ):
            raise self.error(key, "an array of finite numbers")
        return value

    def data(self, name: str) -> NDArray[np.uint8]:
        """The bytes of tensor `name` as a read-only uint8 array of `tensors[name].size` bytes.

        A view into the mapped file, without a copy, unless the format needs adapting (big-endian
        files) or the tensor lies in pieces. It stays valid after `close()`. Raises KeyError for a
        name that the file lacks.
        """
        return self._bytes(self.tensors[name])

    def _bytes(self, info: TensorInfo) -> NDArray[np.uint8]:
        if info.pieces:
            whole = np.concatenate([self._bytes(piece) for piece in info.pieces])
            whole.flags.writeable = False
            return whole
        view = self._files[info.part].view(info.offset, info.size)
        return view if self._adapt is None else self._adapt(info, view)

    def pieces(self, name: str) -> Iterator[NDArray[np.uint8]]:
        """The bytes of tensor `name` in order, in arrays of whole rows."""
        if not (pieces := self.tensors[name].pieces):
            yield self.data(name)
        for piece in pieces:
            yield self._bytes(piece)

    def release(self, name: str) -> None:
        """Tell the system that this tensor's pages are not needed for now; they stay readable."""
        info = self.tensors[name]
        for piece in info.pieces or (info,):
            self._files[piece.part].release(piece.offset, piece.size)

    def release_all(self) -> None:
        """As `release`, for everything in the files."""
        for file in self._files:
            file.release(0, file.size)

    def close(self) -> None:
        """Give the maps back; metadata stays, and so do arrays that `data` returned."""
        for file in self._files:
            file.close()

    def _how_to_copy(self) -> str:
        return f"another process opens it itself, with llmpy.open_model({str(self.path)!r})"

    def __enter__(self) -> ModelFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"<ModelFile {self.path.name}: {self.format}, "
            f"{len(self.metadata)} keys, {len(self.tensors)} tensors>"
        )
