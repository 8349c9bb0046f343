"""The logits of a GGUF file as llama.cpp computes them, through llama-cpp-python.

    python peer_logits.py MODEL.gguf TOKENS.npy LOGITS.npy [--states]

reads all tokens at once with keys and values in float32; --states: the last states of an encoder.
"""

from __future__ import annotations

import sys

import llama_cpp
import numpy as np


def main(path: str, tokens_path: str, out: str, *options: str) -> None:
    tokens = np.load(tokens_path).tolist()
    states = "--states" in options
    llama = llama_cpp.Llama(
        path,
        n_ctx=max(64, len(tokens)),
        n_batch=len(tokens),
        n_ubatch=len(tokens),
        n_threads=2,
        logits_all=not states,
        embedding=states,
        pooling_type=llama_cpp.LLAMA_POOLING_TYPE_NONE if states else -1,
        type_k=llama_cpp.GGML_TYPE_F32,
        type_v=llama_cpp.GGML_TYPE_F32,
        flash_attn=False,
        verbose=True,
    )
    if states:
        llama.tokenize = lambda *_, **__: tokens  # it wants a text
        np.save(out, np.array(llama.embed("", truncate=False), np.float32))
        return
    llama.eval(tokens)
    np.save(out, np.array(llama.scores[: len(tokens)], np.float32))


if __name__ == "__main__":
    main(*sys.argv[1:])
