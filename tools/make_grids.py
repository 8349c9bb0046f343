"""Writes src/llmpy/quant/grids.py: the codebooks of IQ1, IQ2 and IQ3, from the gguf package.

    python tools/make_grids.py

The tables are part of the file format: a file holds numbers of their rows.
"""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
from gguf import quants

TARGET = Path(__file__).resolve().parents[1] / "src" / "llmpy" / "quant" / "grids.py"
NAMES = ("IQ1_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S")
HEAD = '''"""The codebooks of IQ1, IQ2 and IQ3 (made by tools/make_grids.py): data, not code.

A row has 8 values of 2 bits, or 4 of 4 bits in IQ3, that number the levels of its type: two bytes
a row, the first value lowest, written in base 85.
"""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray

__all__ = ["grid"]


def grid(name: str) -> NDArray[np.float32]:
    """The codebook of a type as float32 [rows, 8], in IQ3 [rows, 4]."""
    rows = np.frombuffer(base64.b85decode(_ROWS[name]), "<u2")
    width = 4 if name.startswith("IQ3") else 2
    codes = rows[:, None] >> np.arange(0, 16, width, dtype=np.uint16) & np.uint16((1 << width) - 1)
    values: NDArray[np.float32] = np.array(_LEVELS[name], np.float32)[codes]
    return values


'''


def packed(name: str) -> str:
    table = getattr(quants, name)
    table.init_grid()
    values = table.grid.reshape(table.grid_shape).astype(int)
    codes = np.searchsorted(table.grid_map, values)
    width = 4 if values.shape[1] == 4 else 2
    rows = (codes << np.arange(0, 16, width)).sum(axis=1).astype("<u2")
    return base64.b85encode(rows.tobytes()).decode()


def main() -> None:
    text = HEAD + "_LEVELS = {\n"
    for name in NAMES:
        text += f'    "{name}": {tuple(getattr(quants, name).grid_map)},\n'
    text += "}\n_ROWS = {\n"
    for name in NAMES:
        digits = packed(name)
        lines = [digits[i : i + 88] for i in range(0, len(digits), 88)]
        text += f'    "{name}": (\n' + "".join(f'        "{line}"\n' for line in lines) + "    ),\n"
    TARGET.write_text(text + "}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
