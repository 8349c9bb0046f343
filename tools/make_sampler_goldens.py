"""Writes what llama.cpp's samplers make of some logits, for tests/sampling/test_peer_samplers.py.

Run it with a Python that has llama-cpp-python, and give it any GGUF file with a vocabulary (the
sampler DRY wants one): python tools/make_sampler_goldens.py MODEL.gguf
"""

from __future__ import annotations

import argparse
import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llama_cpp as llama
import numpy as np

OUT = Path(__file__).resolve().parents[1] / "tests" / "sampling" / "golden" / "llama_cpp.npz"
N_VOCAB = 300
SEED = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a GGUF file with a vocabulary of at least 300 tokens")
    model = vocabulary_of(parser.parse_args().model)
    random = np.random.default_rng(SEED)
    logits = np.stack(
        [
            (random.standard_normal(N_VOCAB) * scale).astype(np.float32)
            for scale in (0.3, 1.0, 2.0, 3.0, 5.0)
        ]
    )
    history = random.integers(0, 6, 60).astype(np.int32)
    rows: list[tuple[str, int]] = []
    found, drawn = [], []
    for text, make in samplers(model).items():
        for case in range(len(logits)):
            sampler = make()
            for token in history.tolist():
                llama.llama_sampler_accept(sampler, token)
            steps = [applied(sampler, logits[case]), applied(sampler, logits[case])]
            llama.llama_sampler_free(sampler)
            rows.append((text, case))
            found.append(np.stack([out for out, _ in steps]))
            drawn.append(steps[0][1])
    OUT.parent.mkdir(exist_ok=True)
    np.savez_compressed(
        OUT, logits=logits, history=history, texts=np.array([text for text, _ in rows]),
        cases=np.array([case for _, case in rows]), found=np.stack(found), drawn=np.array(drawn),
        version=np.array(llama.__version__),
    )  # fmt: skip
    print(f"wrote {OUT}: {len(rows)} rows")


def vocabulary_of(path: str) -> Any:
    """The vocabulary of a model file."""
    llama.llama_log_set(_quiet, ctypes.c_void_p(0))
    parameters = llama.llama_model_default_params()
    parameters.vocab_only = True
    model = llama.llama_model_load_from_file(path.encode(), parameters)
    return llama.llama_model_get_vocab(model)


@llama.llama_log_callback
def _quiet(*_: Any) -> None:
    pass


def samplers(vocabulary: Any) -> dict[str, Callable[[], Any]]:
    """Sampler strings of llmpy, and what makes the same sampler there."""
    breakers = (ctypes.c_char_p * 0)()

    def dry(*values: Any) -> Any:
        return llama.llama_sampler_init_dry(vocabulary, *values, breakers, 0)

    return {
        "top-k:k=1": lambda: llama.llama_sampler_init_top_k(1),
        "top-k:k=40": lambda: llama.llama_sampler_init_top_k(40),
        "top-p:p=0.5": lambda: llama.llama_sampler_init_top_p(0.5, 1),
        "top-p:p=0.95": lambda: llama.llama_sampler_init_top_p(0.95, 1),
        "top-p:p=0.1:min_keep=7": lambda: llama.llama_sampler_init_top_p(0.1, 7),
        "min-p:p=0.05": lambda: llama.llama_sampler_init_min_p(0.05, 1),
        "min-p:p=0.5:min_keep=5": lambda: llama.llama_sampler_init_min_p(0.5, 5),
        "locally-typical:p=0.3": lambda: llama.llama_sampler_init_typical(0.3, 1),
        "locally-typical:p=0.9": lambda: llama.llama_sampler_init_typical(0.9, 1),
        "top-n-sigma:n=1": lambda: llama.llama_sampler_init_top_n_sigma(1.0),
        "top-n-sigma:n=0.4": lambda: llama.llama_sampler_init_top_n_sigma(0.4),
        "xtc:probability=1:threshold=0.1": lambda: llama.llama_sampler_init_xtc(1.0, 0.1, 1, 0),
        "xtc:probability=1:threshold=0.02": lambda: llama.llama_sampler_init_xtc(1.0, 0.02, 1, 0),
        "temperature:0.7": lambda: llama.llama_sampler_init_temp(0.7),
        "temperature:0": lambda: llama.llama_sampler_init_temp(0.0),
        "dynamic-temperature:low=0.5:high=1.5": lambda: llama.llama_sampler_init_temp_ext(
            1.0, 0.5, 1.0
        ),
        "dynamic-temperature:low=0.8:high=1.2:exponent=2.5": (
            lambda: llama.llama_sampler_init_temp_ext(1.0, 0.2, 2.5)
        ),
        "repetition:penalty=1.3:last_n=20": lambda: llama.llama_sampler_init_penalties(
            N_VOCAB, 20, 1.3, 0.0, 0.0
        ),
        "frequency:penalty=0.2:last_n=40": lambda: llama.llama_sampler_init_penalties(
            N_VOCAB, 40, 1.0, 0.2, 0.0
        ),
        "presence:penalty=0.4:last_n=8": lambda: llama.llama_sampler_init_penalties(
            N_VOCAB, 8, 1.0, 0.0, 0.4
        ),
        "dry:multiplier=0.8:base=1.75:allowed_length=2:last_n=60:breakers=[]": (
            lambda: dry(0.8, 1.75, 2, 60)
        ),
        "dry:multiplier=0.5:base=1.2:allowed_length=1:last_n=25:breakers=[]": (
            lambda: dry(0.5, 1.2, 1, 25)
        ),
        "mirostat1:tau=3:eta=0.2:m=100": lambda: llama.llama_sampler_init_mirostat(
            N_VOCAB, 1, 3.0, 0.2, 100
        ),
        "mirostat1:tau=1.5:eta=0.5:m=20": lambda: llama.llama_sampler_init_mirostat(
            N_VOCAB, 1, 1.5, 0.5, 20
        ),
        "mirostat2:tau=3:eta=0.2": lambda: llama.llama_sampler_init_mirostat_v2(1, 3.0, 0.2),
        "mirostat2:tau=1:eta=0.5": lambda: llama.llama_sampler_init_mirostat_v2(1, 1.0, 0.5),
        "adaptive-p:target=0.3": lambda: llama.llama_sampler_init_adaptive_p(0.3, 0.9, 1),
        "adaptive-p:target=0.7:decay=0.5": lambda: llama.llama_sampler_init_adaptive_p(0.7, 0.5, 1),
    }


def applied(sampler: Any, logits: np.ndarray) -> tuple[np.ndarray, int]:
    """The logits after a sampler [n], -inf where a token is gone, and what it drew, or -1."""
    data = (llama.llama_token_data * len(logits))()
    for i, logit in enumerate(logits.tolist()):
        data[i].id, data[i].logit, data[i].p = i, logit, 0.0
    array = llama.llama_token_data_array(data=data, size=len(logits), selected=-1, sorted=False)
    llama.llama_sampler_apply(sampler, ctypes.byref(array))
    out = np.full(len(logits), -np.inf, np.float32)
    for i in range(array.size):
        out[array.data[i].id] = array.data[i].logit
    selected = array.data[array.selected].id if array.selected >= 0 else -1
    if selected >= 0:
        llama.llama_sampler_accept(sampler, selected)
    return out, selected


if __name__ == "__main__":
    main()
