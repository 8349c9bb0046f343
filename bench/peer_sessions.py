"""What rewinding, branching and a known prompt cost llama.cpp, for sessions.py.

    PEER_PYTHON bench/peer_sessions.py MODEL N_CTX N_TOKENS SEED

Prints one line of JSON: seconds of removing the last token, of copying a sequence ("fork"), of the
first token after each, and of the first token of a prompt, new and known (`Llama` keeps what a new
prompt shares with the one before it).
"""

from __future__ import annotations

import ctypes
import json
import random
import sys
import time
from typing import Any

import llama_cpp

SILENT = llama_cpp.llama_log_callback(lambda *_: None)
N_BATCH = 512


def context_of(model: Any, n_ctx: int) -> Any:
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx, parameters.n_batch, parameters.n_seq_max = n_ctx, N_BATCH, 2
    parameters.n_threads = parameters.n_threads_batch = 2
    parameters.kv_unified = True
    context = llama_cpp.llama_init_from_model(model, parameters)
    if not context:
        raise SystemExit("llama.cpp makes no context of this size")
    return context


def read(context: Any, tokens: list[int], start: int, sequence: int) -> None:
    """Compute tokens of a sequence, from position `start` on."""
    for at in range(0, len(tokens), N_BATCH):
        part = tokens[at : at + N_BATCH]
        batch = llama_cpp.llama_batch_init(len(part), 0, 1)
        batch.n_tokens = len(part)
        for i, token in enumerate(part):
            batch.token[i], batch.pos[i] = token, start + at + i
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
            batch.logits[i] = i == len(part) - 1
        if llama_cpp.llama_decode(context, batch):
            raise SystemExit("llama.cpp does not decode")
        llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_synchronize(context)


def timed(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    path, (n_ctx, n, seed) = sys.argv[1], map(int, sys.argv[2:5])
    llama_cpp.llama_backend_init()
    llama_cpp.llama_log_set(SILENT, ctypes.c_void_p(0))
    llama = llama_cpp.Llama(path, n_ctx=n_ctx, n_batch=N_BATCH, n_threads=2, verbose=False)
    chance = random.Random(seed)
    least = min(300, llama.n_vocab() // 2)
    tokens = [chance.randrange(least, llama.n_vocab()) for _ in range(n)]
    model = llama_cpp.llama_model_load_from_file(
        path.encode(), llama_cpp.llama_model_default_params()
    )
    context = context_of(model, n_ctx)
    memory = llama_cpp.llama_get_memory(context)
    read(context, tokens, 0, 0)
    found = {
        "rewind": timed(lambda: llama_cpp.llama_memory_seq_rm(memory, 0, n - 1, -1)),
        "token after it": timed(lambda: read(context, tokens[-1:], n - 1, 0)),
        "fork": timed(lambda: llama_cpp.llama_memory_seq_cp(memory, 0, 1, -1, -1)),
        "first token of the fork": timed(lambda: read(context, tokens[:1], n, 1)),
    }
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    for name, last in (("new prompt", 0), ("known prompt, another last token", 1)):
        prompt = [*tokens[:-1], least + last]
        found[name] = timed(lambda prompt=prompt: next(llama.generate(prompt, temp=0.0)))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
