"""Saves and loads a sequence of llama-cpp-python, for bench/sessions.py: run by its Python.

    python bench/peer_state.py MODEL.gguf N_CTX N_TOKENS FILE ROUNDS

Prints JSON: seconds to save and load of each round, and bytes of the file.
"""

from __future__ import annotations

import ctypes
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["main"]


def main(model: str, n_ctx: int, n: int, file: Path, rounds: int) -> dict[str, Any]:
    """Read `n` tokens, then save and load them."""
    import llama_cpp

    llama = llama_cpp.Llama(model, n_ctx=n_ctx, verbose=False)
    llama.eval([random.Random(1).randrange(300, llama.n_vocab()) for _ in range(n)])
    tokens = (llama_cpp.llama_token * n)(*[int(t) for t in llama.input_ids[:n]])
    found = (llama_cpp.llama_token * n)()
    count = ctypes.c_size_t(0)
    context, path = llama.ctx, str(file).encode()
    save, load = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        llama_cpp.llama_state_seq_save_file(context, path, 0, tokens, n)
        save.append(time.perf_counter() - start)
        start = time.perf_counter()
        read = llama_cpp.llama_state_seq_load_file(context, path, 0, found, n, ctypes.byref(count))
        load.append(time.perf_counter() - start)
        assert read > 0
        assert count.value == n
    return {"save": save, "load": load, "bytes": file.stat().st_size}


if __name__ == "__main__":
    arguments = sys.argv[1:]
    numbers = int(arguments[1]), int(arguments[2])
    print(json.dumps(main(arguments[0], *numbers, Path(arguments[3]), int(arguments[4]))))
