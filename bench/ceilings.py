"""What the processors can compute at most: products per second, by measured loops of ceilings.cpp.

The loops are built with the C++ compiler of this machine when they are first needed. All threads
run at once, as the engines' do.
"""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SECONDS = 0.05


@functools.cache
def _library() -> ctypes.CDLL:
    """The built loops; raises CalledProcessError if the compiler refuses them."""
    source = Path(__file__).with_name("ceilings.cpp")
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "ceilings.so"
        compiler = os.environ.get("CXX", "c++")
        options = ("-std=c++17", "-O2", "-shared", "-fPIC", "-o", str(built))
        subprocess.run([compiler, *options, str(source)], check=True)
        return ctypes.CDLL(str(built))


def peak(kind: str, n_threads: int, seconds: float = SECONDS) -> float:
    """Products per second of `n_threads` threads together; `kind`: "int8", "float" or "bf16".

    0 where this processor has no such instruction.
    """
    function = getattr(_library(), f"peak_{kind}")
    function.argtypes, function.restype = (ctypes.c_double,), ctypes.c_double
    with ThreadPoolExecutor(n_threads) as threads:
        return float(sum(threads.map(function, [seconds] * n_threads)))


if __name__ == "__main__":
    for each in ("int8", "float", "bf16"):
        print(f"{each:6} {peak(each, 2) / 1e9:7.0f} GMAC/s on two threads")
