"""Rewrites the printed graphs beside it; the difference then shows what changed.

python tests/snapshots/rewrite.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))


def main() -> None:
    from llmpy.graph import show
    from tests.arch import tiny
    from tests.arch.steps import load, make_backend

    for old in HERE.glob("*.txt"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        for variant in tiny.VARIANTS.values():
            path = tiny.write(Path(folder) / "model.gguf", variant)
            graph = load(path, make_backend("reference")).graph
            (HERE / f"{variant.name}.txt").write_text(show(graph) + "\n", "utf-8")


if __name__ == "__main__":
    main()
