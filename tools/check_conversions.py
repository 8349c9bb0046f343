"""Opens what llama.cpp's own converter makes of the tiny checkpoints, and compares to goldens.

    PYTHONPATH=src:. goldens/bin/python tools/check_conversions.py LLAMA_CPP_FOLDER [NAME ...]

In the environment of tools/make_goldens.py, with llama.cpp's sources in a folder. Vocabularies are
left out: their checkpoints are made up. Says what each file gives: the largest difference, or why
one of the two programs refuses.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from tests.arch import checkpoints
from tests.arch.steps import load, make_backend

NEAR = 2e-4


def converted(llama_cpp: Path, folder: Path) -> Path:
    """The GGUF file that llama.cpp's converter makes of a checkpoint, in F32."""
    if str(llama_cpp) not in sys.path:
        sys.path[:0] = [str(llama_cpp), str(llama_cpp / "gguf-py")]
    import gguf
    from conversion import ModelBase, ModelType, get_model_architecture, get_model_class

    config = ModelBase.load_hparams(folder, False)
    made: Any = get_model_class(get_model_architecture(config, ModelType.TEXT))
    out = folder / "theirs.gguf"
    made.set_vocab = lambda self: self._set_vocab_none()
    made(folder, gguf.LlamaFileType.ALL_F32, out).write()
    return out


def difference(name: str, llama_cpp: Path) -> float:
    """The largest one from the golden, over the largest logit."""
    spec, golden = checkpoints.spec(name), checkpoints.load_golden(name)
    with tempfile.TemporaryDirectory() as folder:
        path = checkpoints.write(
            Path(folder) / "model", golden.about["config"], golden.weights(spec), spec.relative
        )
        runner = load(converted(llama_cpp, path), make_backend("reference"))
        embedding = next(n for n in runner.graph.nodes if n.op == "embed").weights[0]
        logits = runner.whole(list(checkpoints.prompt(runner.graph.shapes[embedding][0])))
    return float(np.abs(logits - golden.logits).max() / np.abs(golden.logits).max())


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("llama_cpp", type=Path)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    for name in given.names or checkpoints.goldens():
        try:
            found = difference(name, given.llama_cpp)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            side = "llmpy" if "llmpy" in where.filename else "converter"
            print(f"{name}: {side}: {type(error).__name__}: {str(error)[:300]}", flush=True)
            continue
        print(f"{name}: {found:.0e} {'' if found <= NEAR else 'FAR'}", flush=True)


if __name__ == "__main__":
    main()
