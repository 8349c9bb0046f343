"""Memory read bandwidth: what this machine can read now, with as many threads as the engines use.

Shared machines change their memory speed within minutes, so this is measured in turns with the
engines. Each thread runs NumPy's maximum over its own array, far larger than the caches: NumPy
releases the interpreter's lock there and reads at the speed of memory.
"""

from __future__ import annotations

import argparse
import json
import threading
import time

import numpy as np

BYTES_PER_THREAD = 256 * 2**20


class ReadBandwidth:
    """Holds the arrays; `measure()` reads them all once or more and gives GB/s (10^9 bytes)."""

    def __init__(self, n_threads: int, bytes_per_thread: int = BYTES_PER_THREAD) -> None:
        # Written with ones, because pages never written all map the same page of zeros.
        self._arrays = [np.ones(bytes_per_thread // 4, np.float32) for _ in range(n_threads)]

    def measure(self, repeats: int = 4) -> float:
        """The best of `repeats` passes, in GB/s."""
        total = sum(array.nbytes for array in self._arrays)
        return max(total / self._one_pass() for _ in range(repeats)) / 1e9

    def _one_pass(self) -> float:
        threads = [threading.Thread(target=array.max) for array in self._arrays]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-t", "--n-threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args()
    meter = ReadBandwidth(arguments.n_threads)
    values = [meter.measure() for _ in range(arguments.rounds)]
    if arguments.json:
        print(json.dumps({"n_threads": arguments.n_threads, "gigabytes_per_second": values}))
    else:
        print("GB/s read:", " ".join(f"{value:.1f}" for value in values))


if __name__ == "__main__":
    main()
