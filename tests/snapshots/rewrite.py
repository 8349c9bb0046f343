"""Rewrites the printed graphs beside it; the difference then shows what changed.

python tests/snapshots/rewrite.py

`tiny/` has the variants of tests/arch/tiny.py, `checkpoints/` one graph for each golden in
tests/arch/golden, so at least one for each architecture. `programs/` has what the native backend
makes of some of them, which differ in what is fused.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))


PROGRAMS = ("llama", "qwen3", "gemma3", "olmo2", "mamba2", "gpt-oss")


def graphs(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the name of each snapshot and the graph that is printed there."""
    from llmpy.graph import show
    from tests.arch import checkpoints, tiny
    from tests.arch.steps import load, make_backend

    for variant in tiny.VARIANTS.values():
        path = tiny.write(folder / "model.gguf", variant)
        yield f"tiny/{variant.name}", show(load(path, make_backend("reference")).graph) + "\n"
    for name in checkpoints.goldens():
        golden, spec = checkpoints.load_golden(name), checkpoints.spec(name)
        path = folder / name
        checkpoints.write(path, golden.about["config"], golden.weights(spec), spec.relative)
        graph = load(path, make_backend("reference")).graph
        yield f"checkpoints/{name}", show(graph) + "\n"
        if name in PROGRAMS:
            yield f"programs/{name}", program(path) + "\n"


def program(path: Path) -> str:
    """Return the program of a checkpoint, for keys and values as they usually are."""
    import llmpy

    return llmpy.program_text(path, backend="cpu", n_ctx=128)


def main() -> None:
    for old in HERE.glob("*/*.txt"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        for name, text in graphs(Path(folder)):
            path = HERE / f"{name}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
