"""Identifying a model in milliseconds, by what its files say and samples of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from llmpy.errors import SnapshotError
from llmpy.graph import Graph, show

if TYPE_CHECKING:
    from llmpy.format import ModelFile
    from llmpy.tokenizer import Tokenizer

__all__ = ["Fingerprint", "SavedModel"]

N_SAMPLES = 1024  # of each file, evenly spaced
N_BYTES = 64  # of each of them
N_TOKENS = 256  # of the vocabulary, evenly spaced


class SavedModel:
    """The identity of a session's model, as snapshots know it: its fingerprint."""

    def __init__(self, path: Path, read: Callable[[], str]) -> None:
        self.path = path
        self._read = read

    def fingerprint(self, snapshot: Path) -> str:
        """The digits; SnapshotError where the model's file is not what was loaded any more."""
        try:
            return self._read()
        except (OSError, ValueError) as error:
            raise SnapshotError(
                snapshot, "model", "the file that was loaded", str(error),
                hint="Load the model again.",
            ) from error  # fmt: skip


class Fingerprint:
    """SHA-256 of what makes a model itself: 64 hexadecimal digits, the same on every machine.

    In it are the graph with all its numbers (so that another `rope` is another model), name, type
    and shape of every tensor, and of each file its size and 1024 samples of 64 bytes; of GGUF also
    the first 64 bytes of each tensor. A fine-tuned or otherwise quantized model differs nearly
    everywhere, and so in these; a file made to deceive need not. Of the tokenizer there are the
    special tokens and 256 others. Reading all of a file would take as long as loading it.
    """

    def __init__(self, file: ModelFile, graph: Graph, tokenizer: Tokenizer) -> None:
        self._paths = [(path, _stamp(path)) for path in file.paths]
        tensors = [(t.name, t.dtype.name, t.shape) for t in file.tensors.values()]
        texts = [show(graph), repr(sorted(tensors)), _tokenizer_text(tokenizer)]
        self._header = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogateescape"))
        gguf = file.format.startswith("GGUF")
        parts = [(t.part, t.offset) for t in file.tensors.values() if gguf and not t.pieces]
        self._starts = sorted(parts)
        self._found: str | None = None

    def read(self) -> str:
        """The digits. Raises OSError or ValueError where the files have changed since."""
        if self._found is None:
            digest = self._header.copy()
            for i, (path, stamp) in enumerate(self._paths):
                if _stamp(path) != stamp:
                    raise ValueError(f"{path} has changed since the model was loaded")
                starts = [offset for part, offset in self._starts if part == i]
                for sample in _samples(path, starts):
                    digest.update(sample)
            self._found = digest.hexdigest()
        return self._found


def _samples(path: Path, starts: list[int]) -> Iterator[bytes]:
    size = path.stat().st_size
    with path.open("rb", buffering=0) as file:
        yield size.to_bytes(8, "little")
        for place in [size * i // N_SAMPLES for i in range(N_SAMPLES)] + starts:
            file.seek(place)
            yield file.read(N_BYTES)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _tokenizer_text(tokenizer: Tokenizer) -> str:
    n = tokenizer.n_vocab
    tokens = [tokenizer.token(n * i // N_TOKENS) for i in range(N_TOKENS)]
    ends = sorted(tokenizer.end_ids)
    return repr((n, tokenizer.bos, tokenizer.eos, tokenizer.add_bos, ends, tokens))
