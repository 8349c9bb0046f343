"""Every storage type of tensors in GGML's files: number, name, block length and bytes per block.

A block is the smallest unit that can be stored: `block` values in `size` bytes. Rows of a tensor
are whole blocks. Source: the type table of the GGUF specification.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BY_ID", "BY_NAME", "DType"]


@dataclass(frozen=True, slots=True)
class DType:
    """One storage type: `id` in GGUF files, `name`, `size` bytes for a block of `block` values.

    `wide`: the runs of numbers wider than a byte in a block, which big-endian files swap: position,
    width and count of each. None where blocks are read at several widths and nothing is agreed.
    """

    id: int
    name: str
    block: int
    size: int
    wide: tuple[tuple[int, int, int], ...] | None = None

    @property
    def is_float(self) -> bool:
        """Whether it is a plain floating-point type."""
        return self.name in ("F32", "F16", "BF16", "F64")

    @property
    def is_integer(self) -> bool:
        """Whether it is a plain integer type, which no weight may have."""
        return self.name in ("I8", "I16", "I32", "I64")

    def row_bytes(self, n: int) -> int:
        """Bytes of a row of `n` values; `n` must be a multiple of `block`."""
        if n % self.block:
            raise ValueError(
                f"{n} values are no whole number of {self.name} blocks of {self.block}"
            )
        return n // self.block * self.size

    def __str__(self) -> str:
        return self.name


_ALL = [
    DType(0, "F32", 1, 4, ((0, 4, 1),)),
    DType(1, "F16", 1, 2, ((0, 2, 1),)),
    DType(2, "Q4_0", 32, 18, ((0, 2, 1),)),
    DType(3, "Q4_1", 32, 20, ((0, 2, 2),)),
    DType(6, "Q5_0", 32, 22, ((0, 2, 1),)),
    DType(7, "Q5_1", 32, 24, ((0, 2, 2),)),
    DType(8, "Q8_0", 32, 34, ((0, 2, 1),)),
    DType(9, "Q8_1", 32, 36, ((0, 2, 2),)),
    DType(10, "Q2_K", 256, 84, ((80, 2, 2),)),
    DType(11, "Q3_K", 256, 110, ((108, 2, 1),)),
    DType(12, "Q4_K", 256, 144, ((0, 2, 2),)),
    DType(13, "Q5_K", 256, 176, ((0, 2, 2),)),
    DType(14, "Q6_K", 256, 210, ((208, 2, 1),)),
    DType(15, "Q8_K", 256, 292, ((0, 4, 1), (260, 2, 16))),
    DType(16, "IQ2_XXS", 256, 66),
    DType(17, "IQ2_XS", 256, 74, ((0, 2, 33),)),
    DType(18, "IQ3_XXS", 256, 98),
    DType(19, "IQ1_S", 256, 50, ((0, 2, 1), (34, 2, 8))),
    DType(20, "IQ4_NL", 32, 18, ((0, 2, 1),)),
    DType(21, "IQ3_S", 256, 110, ((0, 2, 1),)),
    DType(22, "IQ2_S", 256, 82, ((0, 2, 1),)),
    DType(23, "IQ4_XS", 256, 136, ((0, 2, 2),)),
    DType(24, "I8", 1, 1, ()),
    DType(25, "I16", 1, 2, ((0, 2, 1),)),
    DType(26, "I32", 1, 4, ((0, 4, 1),)),
    DType(27, "I64", 1, 8, ((0, 8, 1),)),
    DType(28, "F64", 1, 8, ((0, 8, 1),)),
    DType(29, "IQ1_M", 256, 56),
    DType(30, "BF16", 1, 2, ((0, 2, 1),)),
    DType(34, "TQ1_0", 256, 54, ((52, 2, 1),)),
    DType(35, "TQ2_0", 256, 66, ((64, 2, 1),)),
    DType(39, "MXFP4", 32, 17, ()),
    DType(40, "NVFP4", 64, 36, ()),
    DType(41, "Q1_0", 128, 18, ((0, 2, 1),)),
    DType(42, "Q2_0", 64, 18, ((0, 2, 1),)),
]

BY_ID: dict[int, DType] = {t.id: t for t in _ALL}
BY_NAME: dict[str, DType] = {t.name: t for t in _ALL}
