"""A writer of the files before GGUF, and a reader that shares no code with the one it checks."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGICS = {"GGML": 0x67676D6C, "GGMF": 0x67676D66, "GGJT": 0x67676A74}
TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q6_K": 14}
SIZES = {0: (1, 4), 1: (1, 2)}  # of the types that the second reader knows: block, bytes
HEADERS = {
    "bloom": "n_vocab n_embd n_mult n_head n_layer ftype",
    "falcon": "n_vocab n_embd n_head n_head_kv n_layer ftype",
    "gpt2": "n_vocab n_ctx n_embd n_head n_layer ftype n_vocab",
    "gptj": "n_vocab n_ctx n_embd n_head n_layer n_rot ftype n_vocab",
    "gptneox": "n_vocab n_ctx n_embd n_head n_layer n_rot par_res ftype",
    "llama": "n_vocab n_embd n_mult n_head n_layer n_rot ftype",
    "mpt": "n_embd n_ctx n_head n_layer n_vocab alibi clamp ftype",
}
FLOATS = ("alibi", "clamp")


@dataclass(frozen=True)
class Tensor:
    """`shape` is row-major; `data` are the bytes as the file has them."""

    name: str
    kind: int
    shape: tuple[int, ...]
    data: bytes


def plain(name: str, values: NDArray[Any], kind: str = "F32") -> Tensor:
    stored = np.ascontiguousarray(values, "<f4" if kind == "F32" else "<f2")
    return Tensor(name, TYPES[kind], values.shape, stored.tobytes())


@dataclass(frozen=True)
class Old:
    """What a file holds; `tokens` with their scores."""

    architecture: str
    header: Mapping[str, float]
    tokens: Sequence[tuple[bytes, float]]
    tensors: Sequence[Tensor]
    container: str = "GGJT"
    version: int = 3

    def bytes(self) -> bytes:
        out = bytearray(struct.pack("<I", MAGICS[self.container]))
        if self.container != "GGML":
            out += struct.pack("<I", self.version)
        for name in HEADERS[self.architecture].split():
            value = self.header[name]
            out += struct.pack("<f", value) if name in FLOATS else struct.pack("<i", int(value))
        for token, score in self.tokens:
            out += struct.pack("<I", len(token)) + token
            if self.container != "GGML":
                out += struct.pack("<f", score)
        for tensor in self.tensors:
            name = tensor.name.encode()
            out += struct.pack("<3i", len(tensor.shape), len(name), tensor.kind)
            out += struct.pack(f"<{len(tensor.shape)}i", *reversed(tensor.shape)) + name
            if self.container == "GGJT":
                out += bytes(-len(out) % 32)
            out += tensor.data
        return bytes(out)

    def write(self, path: Path) -> Path:
        path.write_bytes(self.bytes())
        return path


def second_reader(path: Path, architecture: str) -> dict[str, NDArray[np.float32]]:
    """The plain tensors of a file."""
    with path.open("rb") as file:

        def number(code: str = "i") -> Any:
            return struct.unpack("<" + code, file.read(4))[0]

        magic = number("I")
        version = number() if magic != MAGICS["GGML"] else 0
        header = {
            name: number("f" if name in FLOATS else "i") for name in HEADERS[architecture].split()
        }
        for _ in range(header["n_vocab"]):
            file.read(number())
            if version:
                number("f")
        tensors: dict[str, NDArray[np.float32]] = {}
        while head := file.read(12):
            n_dims, length, kind = struct.unpack("<3i", head)
            dims = [number() for _ in range(n_dims)]
            name = file.read(length).decode()
            if magic == MAGICS["GGJT"]:
                file.seek((file.tell() + 31) // 32 * 32)
            raw = file.read(int(np.prod(dims)) * SIZES[kind][1])
            values = np.frombuffer(raw, ("<f4", "<f2")[kind]).astype(np.float32)
            tensors[name] = values.reshape(dims[::-1])
        return tensors
