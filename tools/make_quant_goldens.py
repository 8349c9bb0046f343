"""Goldens of the storage types from another engine's library: tests/quant/goldens.json, flat.json.

    python tools/make_quant_goldens.py PATH/llama_cpp/lib/libggml-base.so

Digests of what it reads from blocks and of the bytes that it writes where there is no choice; the
errors of its quantizers where there is one.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from llmpy import quant  # noqa: E402
from llmpy.dtypes import BY_NAME  # noqa: E402
from tests.quant import samples  # noqa: E402


class Traits(ctypes.Structure):
    """`ggml_type_traits`."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("block", ctypes.c_int64),
        ("interleaved", ctypes.c_int64),
        ("size", ctypes.c_size_t),
        ("quantized", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)),
    )


class Peer:
    """The other engine's quantizers and readers."""

    def __init__(self, path: Path) -> None:
        self.library = ctypes.CDLL(str(path))
        self.library.ggml_get_type_traits.restype = ctypes.POINTER(Traits)
        count, address = ctypes.c_int64, ctypes.c_void_p
        self.library.ggml_quantize_chunk.restype = ctypes.c_size_t
        self.library.ggml_quantize_chunk.argtypes = [
            ctypes.c_int, address, address, count, count, count, address
        ]  # fmt: skip

    def read(self, name: str, blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
        dtype = BY_NAME[name]
        traits = self.library.ggml_get_type_traits(dtype.id).contents
        assert (traits.block, traits.size) == (dtype.block, dtype.size), name
        out = np.zeros((len(blocks), dtype.block), np.float32)
        traits.to_float(blocks.ctypes.data, out.ctypes.data, out.size)
        return out

    def write(
        self, name: str, x: NDArray[np.float32], w: NDArray[np.float32] | None = None
    ) -> NDArray[np.uint8]:
        dtype = BY_NAME[name]
        out = np.zeros((len(x), dtype.row_bytes(x.shape[1])), np.uint8)
        weights = None if w is None else w.ctypes.data
        self.library.ggml_quantize_chunk(
            dtype.id, x.ctypes.data, out.ctypes.data, 0, *x.shape, weights
        )
        return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", type=Path)
    peer = Peer(parser.parse_args().library)
    weights, hard = samples.importance(), samples.hard_rows()
    goldens = {
        "read": {n: samples.digest(peer.read(n, samples.blocks(n))) for n in samples.READ},
        "written": {n: samples.digest(peer.write(n, hard)) for n in samples.EXACT},
        "errors": {},
    }
    for w, names in ((None, samples.SEARCHED), (weights, samples.WEIGHTED)):
        for name in names:
            for kind in samples.KINDS:
                x = samples.rows(kind)
                made = quant.dequantize(name, peer.write(name, x, w), x.shape)
                key = f"{name} {kind}" + (" weighted" if w is not None else "")
                goldens["errors"][key] = round(samples.weighted_error(made, x, w), 7)
    samples.GOLDENS.write_text(json.dumps(goldens, indent=1) + "\n", encoding="utf-8")
    lines = [f"{json.dumps(key)}: {errors}" for key, errors in flat_errors(peer).items()]
    samples.FLAT_GOLDENS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def flat_errors(peer: Peer) -> dict[str, list[float]]:
    """What its quantizers lose of rows of nearly equal values, by type."""
    x, found = samples.flat_rows(), {}
    for w, names in ((None, samples.SEARCHED), (samples.importance()[:256], samples.WEIGHTED)):
        for name in names:
            made = quant.dequantize(name, peer.write(name, x.reshape(-1, 256), w), x.shape)
            key = name + (" weighted" if w is not None else "")
            found[key] = [float(f"{error:.4g}") for error in samples.flat_errors(made, w)]
    return found


if __name__ == "__main__":
    main()
