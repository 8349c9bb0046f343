"""The trained folder as the model of the package: `python tools/dates/export.py OUT/hf`.

llmpy converts the checkpoint (F32), quantizes it to Q8_0 and names it; no PyTorch is needed.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import llmpy
from llmpy.format import open_gguf, write_gguf

MODEL = Path(__file__).resolve().parents[2] / "src" / "llmpy" / "apps" / "dates" / "dates-q8_0.gguf"
NAMED = {
    "general.name": "llmpy dates",
    "general.license": "apache-2.0",
    "general.description": "Dates as people write them to EDTF (ISO 8601-2)",
}


def export(checkpoint: Path, out: Path) -> None:
    """Convert, quantize and name; raise RuntimeError where the file is above 8 MB."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder, "f32.gguf"), Path(folder, "q8_0.gguf")
        llmpy.convert(checkpoint, whole)
        llmpy.quantize(whole, small, "q8_0", pure=True)
        with open_gguf(small) as file:
            metadata = {k: v for k, v in file.metadata.items() if k not in NAMED}
            tensors = [
                (t.name, t.dtype, t.shape, file.data(t.name).tobytes())
                for t in file.tensors.values()
            ]
            write_gguf(
                out,
                {"general.architecture": metadata.pop("general.architecture"), **NAMED, **metadata},
                tensors,
            )
    if out.stat().st_size > 8_000_000:
        raise RuntimeError(f"{out}: expected 8 MB at most, found {out.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, default=MODEL)
    args = parser.parse_args()
    export(args.checkpoint, args.out)
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
