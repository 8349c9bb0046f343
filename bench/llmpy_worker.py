"""The worker for llmpy: serves the line protocol of lines.py through the public interface alone."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from lines import resident_bytes, serve

import llmpy


class Engine:
    """One open model."""

    def __init__(self) -> None:
        self.model: Any = None

    def open(
        self,
        path: str,
        n_threads: int = 2,
        n_ctx: int = 1024,
        backend: str = "cpu",
        kv_dtype: str = "f16",
    ) -> dict:
        started = time.perf_counter()
        self.model = llmpy.load(
            path, n_threads=n_threads, n_ctx=n_ctx, backend=backend, kv_dtype=kv_dtype
        )
        self.model.warm_up()
        return {"seconds": time.perf_counter() - started}

    def prefill(self, tokens: list[int]) -> dict:
        """Seconds from the tokens to the first sampled token."""
        with self.model.session(sampler=llmpy.greedy()) as session:
            started = time.perf_counter()
            session.feed(tokens)
            session.next_token()
            return {"seconds": time.perf_counter() - started, "tokens": len(tokens)}

    def decode(self, tokens: list[int], n: int) -> dict:
        """Seconds for `n` greedy tokens, one at a time, after reading `tokens`."""
        with self.model.session(sampler=llmpy.greedy()) as session:
            session.feed(tokens)
            session.next_token()
            started = time.perf_counter()
            for _ in range(n):
                session.next_token()
            return {"seconds": time.perf_counter() - started, "tokens": n}

    def together(self, tokens: list[int], n: int, sessions: int) -> dict:
        """As `decode`, for `sessions` sessions in one batch; each begins with another token."""
        members = [self.model.session(sampler=llmpy.greedy()) for _ in range(sessions)]
        for i, session in enumerate(members):
            session.feed(tokens[i:] + tokens[:i])
        llmpy.next_tokens(members)
        started = time.perf_counter()
        for _ in range(n):
            llmpy.next_tokens(members)
        seconds = time.perf_counter() - started
        for session in members:
            session.close()
        return {"seconds": seconds, "tokens": n * sessions}

    def public(self, prompt: str, n: int, seed: int) -> dict:
        """Seconds of one `infer` of at most `n` tokens with the default sampler."""
        with self.model.session(seed=seed) as session:
            started = time.perf_counter()
            stats = session.infer(prompt, max_tokens=n)
            seconds = time.perf_counter() - started
        return {"seconds": seconds, "tokens": stats.n_generated}

    def logits(self, tokens: list[int], out: str) -> dict:
        """Write the logits of every position, float32 [tokens, vocabulary], to `out` (.npy).

        One token a step: a sampler that looks at the logits, then answers with the token that
        comes next anyway. The whole list at once must end in the same bits.
        """
        rows: list[np.ndarray] = []

        def follow(logits: np.ndarray, _session: Any) -> np.ndarray:
            rows.append(np.array(logits))
            forced = np.full_like(logits, -np.inf)
            forced[tokens[len(rows) % len(tokens)]] = 0.0
            return forced

        with self.model.session(sampler=follow) as session:
            session.feed(tokens[:1])
            for _ in tokens:
                session.next_token()
        with self.model.session(sampler=follow) as session:
            session.feed(tokens)
            session.next_token()
        whole = rows.pop()
        np.save(out, np.stack(rows))
        return {"tokens": len(tokens), "same_bits": bool(np.array_equal(whole, rows[-1]))}

    def first_token(self, path: str, prompt: str, n_threads: int, n_ctx: int) -> dict:
        """Seconds from nothing to one token, and memory after it; the tokenizer's share of it."""
        started = time.perf_counter()
        self.model = llmpy.load(path, n_threads=n_threads, n_ctx=n_ctx)
        opened = time.perf_counter()
        with self.model.session(sampler=llmpy.greedy()) as session:
            session.infer(prompt, max_tokens=1)
            done = time.perf_counter()
            result = {
                "open": opened - started,
                "seconds": done - started,
                "resident": resident_bytes(),
            }
        started = time.perf_counter()
        llmpy.load_tokenizer(path)
        result["tokenizer"] = time.perf_counter() - started
        return result

    def close(self) -> None:
        self.model.close()
        self.model = None


def main() -> None:
    engine = Engine()
    names = (
        "open", "prefill", "decode", "together", "public", "logits", "first_token", "close",
    )  # fmt: skip
    serve({name: getattr(engine, name) for name in names})


if __name__ == "__main__":
    main()
