"""The worker for OpenVINO GenAI: serves the line protocol of lines.py in its environment.

Token ids go in and come out, so that no text is in the way. Its cache of prefixes is off, and what
it chooses for itself (precision of activations and of keys and values) is left as it is.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import openvino
import openvino_genai
from lines import serve

CACHE_GB = 2  # of keys and values: it wants to be told


class Times(openvino_genai.StreamerBase):
    """Notes when each token came."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[float] = []

    def write(self, token: Any) -> openvino_genai.StreamingStatus:
        """One token, or several at once."""
        self.at += [time.perf_counter()] * (len(token) if isinstance(token, list) else 1)
        return openvino_genai.StreamingStatus.RUNNING

    def end(self) -> None:
        """Nothing is held back."""


class Engine:
    """One model on the CPU."""

    def __init__(self) -> None:
        self.pipeline: Any = None

    def open(self, path: str, n_threads: int = 2, n_ctx: int = 1024) -> dict:
        """Load `path`; `n_ctx` is what all engines are told, this one has a cache of fixed size."""
        started = time.perf_counter()
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.cache_size = CACHE_GB
        scheduler.enable_prefix_caching = False
        scheduler.max_num_batched_tokens = max(512, n_ctx)  # a prompt in one step
        self.pipeline = openvino_genai.LLMPipeline(
            path, "CPU", scheduler_config=scheduler, INFERENCE_NUM_THREADS=n_threads
        )
        return {"seconds": time.perf_counter() - started, "version": openvino_genai.__version__}

    def prefill(self, tokens: list[int]) -> dict:
        """Seconds from the tokens to the first sampled token."""
        started = time.perf_counter()
        self._generate(tokens, 1, Times())
        return {"seconds": time.perf_counter() - started, "tokens": len(tokens)}

    def decode(self, tokens: list[int], n: int) -> dict:
        """Seconds for `n` greedy tokens, one at a time, after reading `tokens`."""
        times = Times()
        self._generate(tokens, n + 1, times)
        return {"seconds": times.at[-1] - times.at[0], "tokens": len(times.at) - 1}

    def close(self) -> None:
        """Free the model."""
        self.pipeline = None

    def _generate(self, tokens: list[int], n: int, times: Times) -> None:
        ids = np.array([tokens], np.int64)
        inputs = openvino_genai.TokenizedInputs(
            openvino.Tensor(ids), openvino.Tensor(np.ones_like(ids))
        )
        self.pipeline.generate(
            inputs, streamer=times, max_new_tokens=n, min_new_tokens=n, ignore_eos=True,
            do_sample=False,
        )  # fmt: skip
        if len(times.at) != n:
            raise RuntimeError(f"expected {n} tokens, found {len(times.at)}")


def main() -> None:
    engine = Engine()
    serve({name: getattr(engine, name) for name in ("open", "prefill", "decode", "close")})


if __name__ == "__main__":
    main()
