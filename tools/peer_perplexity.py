"""Perplexity of a text by llama-cpp-python (run it in the environment that has it).

    peer-env/bin/python tools/peer_perplexity.py MODEL.gguf TEXT --windows 4

The same windows as `llmpy perplexity`: each begun with BOS, the second half of each scored.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import llama_cpp
import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("-c", "--n-ctx", type=int, default=512)
    parser.add_argument("--windows", type=int, default=4)
    given = parser.parse_args()
    f32 = llama_cpp.GGML_TYPE_F32
    model = llama_cpp.Llama(
        str(given.model), n_ctx=given.n_ctx, n_batch=given.n_ctx, n_threads=2, verbose=False,
        logits_all=True, type_k=f32, type_v=f32,
    )  # fmt: skip
    ids = model.tokenize(given.text.read_bytes(), add_bos=True, special=False)
    n, losses = given.n_ctx, []
    for i in range(min(given.windows, len(ids) // n)):
        window = [model.token_bos(), *ids[i * n + 1 : (i + 1) * n]]
        model.reset()
        model.eval(window)
        logits = np.array(model.scores[: n - 1], np.float64)[n // 2 :]
        logits -= logits.max(axis=1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        losses.append(-log_p[np.arange(len(log_p)), window[n // 2 + 1 :]])
    every = np.concatenate(losses)
    value = np.exp(every.mean())
    error = value * every.std() / np.sqrt(len(every) - 1)
    print(f"perplexity {value:.4f} +/- {error:.5f} ({len(every)} tokens)")


if __name__ == "__main__":
    main()
