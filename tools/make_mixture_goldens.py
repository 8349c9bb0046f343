"""Which types another engine's mixtures give: tests/quant/mixtures.json.

    python tools/make_mixture_goldens.py FOLDER

FOLDER has MODEL-KIND.gguf as tools/peer_quantize.py makes them, of the MODELs in
tests/quant/mixtures.py (written by `python tools/make_mixture_goldens.py FOLDER --models`).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from llmpy.format import open_gguf  # noqa: E402
from tests.quant import mixtures  # noqa: E402
from tools import random_gguf  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", action="store_true", help="write the models to quantize")
    given = parser.parse_args()
    found = {}
    for name, shape in mixtures.SHAPES.items():
        if given.models:
            random_gguf.SHAPES[name] = shape
            path = given.folder / f"{name}-f16.gguf"
            random_gguf.make(name, path, dtype="F16", vocabulary=None, seed=1)
            continue
        for kind in mixtures.KINDS:
            with open_gguf(given.folder / f"{name}-{kind.lower()}.gguf") as file:
                types = {n: str(info.dtype) for n, info in file.tensors.items()}
            found[f"{name} {kind}"] = mixtures.digest(types)
    if found:
        mixtures.GOLDENS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
