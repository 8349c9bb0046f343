"""How long a chain of samplers takes for one token, for docs/sampling.md.

python bench/samplers.py [--vocabulary 128256] [CHAIN ...]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from llmpy.sampling import Rng, chain

CHAINS = [
    "greedy",
    "top-k:k=40/top-p:p=0.95/min-p:p=0.05/temperature:0.8",
    "repetition:penalty=1.3/top-k:k=40/top-p:p=0.95/temperature:0.8",
    "repetition:penalty=1.1/frequency:penalty=0.1/presence:penalty=0.1/sequence-repetition:flat=1/"
    "top-k:k=40/tail-free:z=0.95/locally-typical:p=0.9/top-p:p=0.95/top-a/min-p:p=0.02/temperature:0.8",
    "dry:breakers=[13]/min-p:p=0.02/xtc/temperature:0.8",
    "top-n-sigma:n=1/temperature:1.2",
    "min-p:p=0.02/adaptive-p:target=0.3",
    "mirostat1",
    "temperature:0.8/mirostat2",
    "temperature:0.8",
    "top-p:p=0.95",
    "top-a",
    "locally-typical:p=0.9",
    "tail-free:z=0.95",
    "dynamic-temperature:low=0.5:high=1.5",
    "xtc:probability=1",
]
N_HISTORY = 2000


class Text:
    """A session that holds some tokens."""

    def __init__(self, tokens: np.ndarray) -> None:
        self.tokens = tokens

    def last_tokens(self, n: int) -> np.ndarray:
        """The last tokens, as a view."""
        return self.tokens if n < 0 else self.tokens[len(self.tokens) - n :]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocabulary", type=int, default=128256)
    parser.add_argument("chains", nargs="*", default=CHAINS)
    options = parser.parse_args()
    random, n = np.random.default_rng(0), options.vocabulary
    logits = (random.standard_normal(n) * 3).astype(np.float32)
    text = Text(random.integers(0, n, N_HISTORY).astype(np.int32))
    print(f"{n} tokens, logits of a normal distribution with a deviation of 3; best of 7 rounds")
    for one in options.chains:
        print(f"{seconds(one, logits, text) * 1e6:8.1f} us  {one}")
    own = chain("top-k:k=40", lambda logits, _: logits, "top-p:p=0.95/temperature:0.8")
    print(f"{seconds(own, logits, text) * 1e6:8.1f} us  {own}")


def seconds(steps: object, logits: np.ndarray, text: Text) -> float:
    """The best time for a token; logits are drawn from as a session's are, without a copy."""
    made = chain(steps)  # type: ignore[arg-type]
    rng, state, best = Rng(1), made.initial_state(), float("inf")
    for _ in range(7):
        begin = time.perf_counter()
        for _ in range(20):
            made.sample(logits, text, rng, state, in_place=True)
        best = min(best, (time.perf_counter() - begin) / 20)
    return best


if __name__ == "__main__":
    main()
