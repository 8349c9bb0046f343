"""Quantize a GGUF with llama-cpp-python's own quantizer (run it in the environment that has it).

    peer-env/bin/python tools/peer_quantize.py 1b-f16.gguf q8_0 q4_0 q4_k_m

writes 1b-q8_0.gguf and so on beside the input, so that both engines are compared on files that
llmpy did not make.
"""

from __future__ import annotations

import argparse
import ctypes
import re
import sys
from pathlib import Path

import llama_cpp

PREFIX = "LLAMA_FTYPE_MOSTLY_"
TYPES = {
    name.removeprefix(PREFIX).lower(): value
    for name, value in vars(llama_cpp).items()
    if name.startswith(PREFIX)
}


def quantize(source: Path, target: Path, kind: str, n_threads: int) -> None:
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.nthread = n_threads
    parameters.ftype = TYPES[kind]
    # The input is meant to be F16 or F32; a quantized one would be quantized twice.
    parameters.allow_requantize = False
    status = llama_cpp.llama_model_quantize(
        str(source).encode(), str(target).encode(), ctypes.byref(parameters)
    )
    if status != 0:
        target.unlink(missing_ok=True)
        raise SystemExit(f"{source}: the quantizer answered {status} for {kind}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="a GGUF file in F16 or F32")
    parser.add_argument("kinds", nargs="+", choices=sorted(TYPES), metavar="KIND")
    parser.add_argument("--out", type=Path, help="folder for the results (default: the input's)")
    parser.add_argument("-t", "--n-threads", type=int, default=2)
    parser.add_argument("-v", "--verbose", action="store_true", help="show the quantizer's log")
    arguments = parser.parse_args()
    callback = llama_cpp.llama_log_callback(lambda _level, _text, _data: None)
    if not arguments.verbose:
        llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    folder = arguments.out or arguments.source.parent
    stem = re.sub(r"-(f16|f32|bf16)$", "", arguments.source.stem)
    for kind in arguments.kinds:
        target = folder / f"{stem}-{kind}.gguf"
        quantize(arguments.source, target, kind, arguments.n_threads)
        print(f"{target}  {target.stat().st_size / 2**20:.1f} MiB", file=sys.stdout)


if __name__ == "__main__":
    main()
