"""The block layouts that came before today's, and how to get from them to types of today.

Until quantization version 1 neighbouring values shared a byte, until version 2 scales of 4-bit and
8-bit blocks were float32. Source: ggml's quantizers of April to June 2023.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmpy.dtypes import BY_ID, BY_NAME, DType

__all__ = ["Layout", "adapted", "is_plausible", "keeps_blocks", "layouts"]

Bytes = NDArray[np.uint8]
F32 = BY_NAME["F32"]
AT_ONCE = 1 << 15  # blocks: bounds the temporaries to some megabytes
K_QUANTS = range(10, 15)  # came after the last change


@dataclass(frozen=True)
class Layout:
    """The layout of one type in an old file: `block` values in `size` bytes.

    In front of a block are `n_scales` float32 or float16 numbers: a factor, and with two of them
    the smallest value. `pairs`: neighbours share a byte; otherwise a value and the one half a block
    behind it. `today` is the type that has the same values, None where no type has.
    """

    name: str
    block: int
    size: int
    today: DType | None
    n_scales: int = 0
    wide: bool = False
    pairs: bool = False

    @property
    def is_current(self) -> bool:
        """Whether the bytes are those of today's type."""
        return self.today is not None and not self.wide and not self.pairs


def _today(number: int) -> Layout:
    dtype = BY_ID[number]
    return Layout(dtype.name, dtype.block, dtype.size, dtype)


def _wide(name: str, n_scales: int, pairs: bool) -> Layout:
    today = BY_NAME[name]
    return Layout(name, 32, today.size + 2 * n_scales, today, n_scales, True, pairs)


def _five(name: str) -> Layout:
    return Layout(name, 32, BY_NAME[name].size, BY_NAME[name], pairs=True)


_SINCE_1 = {
    **{i: _today(i) for i in (0, 1, 6, 7)},
    2: _wide("Q4_0", 1, False),
    3: _wide("Q4_1", 2, False),
    8: _wide("Q8_0", 1, False),
}
_SINCE_0 = {
    **{i: _today(i) for i in (0, 1)},
    2: _wide("Q4_0", 1, True),
    3: _wide("Q4_1", 2, True),
    4: Layout("Q4_2", 16, 10, None, 1, pairs=True),
    5: Layout("Q4_3", 16, 12, None, 2, pairs=True),
    6: _five("Q5_0"),
    7: _five("Q5_1"),
    8: _wide("Q8_0", 1, False),
}
_SINCE_2 = {i: _today(i) for i in (0, 1, 2, 3, 6, 7, 8, *K_QUANTS)}


def layouts(quantization: int) -> dict[int, Layout]:
    """The layouts of quantization version 0, 1 or 2, by the number of the type in the file."""
    return (_SINCE_0, _SINCE_1, _SINCE_2)[quantization]


def _scales(layout: Layout, blocks: Bytes) -> NDArray[np.float32]:
    """[blocks, n_scales]."""
    kind, width = ("<f4", 4) if layout.wide else ("<f2", 2)
    front = np.ascontiguousarray(blocks[:, : width * layout.n_scales])
    return front.view(kind).astype(np.float32)


def is_plausible(layout: Layout, data: Bytes) -> bool:
    """Whether the scales can be such: all finite, and no factor that weights never have."""
    scales = _scales(layout, data.reshape(-1, layout.size))
    return bool((np.abs(scales) < 65_504).all())


def keeps_blocks(layout: Layout, data: Bytes) -> bool:
    """Whether today's blocks can hold the very same values: no scale needs more than a float16."""
    if layout.today is None:
        return False
    if not layout.wide:
        return True
    scales = _scales(layout, data.reshape(-1, layout.size))
    with np.errstate(over="ignore", invalid="ignore"):
        return bool((scales.astype(np.float16).astype(np.float32) == scales).all())


def adapted(layout: Layout, data: Bytes, to: DType) -> Bytes:
    """The bytes of a tensor as `to`: today's type of the layout, or F32 with the same values."""
    if layout.is_current:
        return data
    blocks = data.reshape(-1, layout.size)
    out = np.empty((len(blocks), layout.block // to.block * to.size), np.uint8)
    for start in range(0, len(blocks), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        if to is F32:
            out[some] = _values(layout, blocks[some]).view(np.uint8)
        else:
            out[some] = _narrow(layout, blocks[some])
    return out.reshape(-1)


def _narrow(layout: Layout, blocks: Bytes) -> Bytes:
    """Blocks of today's type."""
    if not layout.wide:  # 5 bits: the fifth ones stand between scales and nibbles, as today
        front, nibbles = blocks[:, :-16], blocks[:, -16:]
        return np.concatenate([front, _packed(_nibbles(layout, nibbles))], axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        scales = _scales(layout, blocks).astype("<f2").view(np.uint8)
    rest: Bytes = blocks[:, 4 * layout.n_scales :]
    if layout.pairs:
        rest = _packed(_nibbles(layout, rest))
    return np.concatenate([scales, rest], axis=1)


def _nibbles(layout: Layout, packed: Bytes) -> Bytes:
    """[blocks, block / 2] bytes -> [blocks, block] values of 0 to 15."""
    halves = [packed & 15, packed >> 4]
    if layout.pairs:
        return np.stack(halves, axis=-1).reshape(len(packed), -1)
    return np.concatenate(halves, axis=1)


def _packed(values: Bytes) -> Bytes:
    """Pack values in today's order; the inverse of `_nibbles`."""
    half = values.shape[1] // 2
    return np.bitwise_or(values[:, :half], np.left_shift(values[:, half:], 4, dtype=np.uint8))


def _values(layout: Layout, blocks: Bytes) -> NDArray[np.float32]:
    """[blocks, block], computed as these files' own time did: in float32."""
    scales = _scales(layout, blocks)
    rest = blocks[:, (4 if layout.wide else 2) * layout.n_scales :]
    if layout.name == "Q8_0":
        whole = rest.view(np.int8).astype(np.float32)
    else:
        whole = _nibbles(layout, rest).astype(np.float32)
        whole -= 8 if layout.n_scales == 1 else 0
    whole *= scales[:, :1]
    if layout.n_scales == 2:
        whole += scales[:, 1:]
    return whole
