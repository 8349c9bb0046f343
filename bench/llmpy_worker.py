"""The worker for llmpy: serves the line protocol of lines.py through the public interface.

Only "python" looks inside: it puts clocks around the native calls of a token.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from lines import Pair, resident_bytes, serve

import llmpy
import llmpy.backends.cpu.backend
import llmpy.model  # imported before "first_token", as all of the peer is
from llmpy.ffi import library


class Engine:
    """One open model."""

    def __init__(self) -> None:
        self.model: Any = None
        self.read: Any = None  # a session that has read what "decode" read last

    def open(
        self,
        path: str,
        n_threads: int = 2,
        n_ctx: int = 1024,
        backend: str = "cpu",
        kv_dtype: str = "auto",
    ) -> dict:
        started = time.perf_counter()
        self.model = llmpy.load(
            path,
            n_threads=n_threads,
            n_ctx=n_ctx,
            backend=backend,
            kv_dtype=kv_dtype,
            prefix_cache_bytes=0,  # nothing that was read before is known
        )
        self.model.warm_up()
        return {"seconds": time.perf_counter() - started}

    def prefill(self, tokens: list[int]) -> dict:
        """Seconds from the tokens to the first sampled token."""
        with self.model.session(sampler=llmpy.greedy()) as session:
            started = time.perf_counter()
            session.infer(tokens, max_tokens=1)  # feed and next_token would be two steps
            return {"seconds": time.perf_counter() - started, "tokens": len(tokens)}

    def decode(self, tokens: list[int], n: int) -> dict:
        """Seconds for `n` greedy tokens, one at a time, after reading `tokens`.

        A long text is read once: each turn goes on from a fork of what has read it.
        """
        if self.read is None or self.read.tokens != tokens:
            self.read = self.model.session(sampler=llmpy.greedy())
            self.read.feed(tokens)
        with self.read.fork() as session:
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
        llmpy.next_tokens(members, ignore_eos=True)
        started = time.perf_counter()
        for _ in range(n):
            llmpy.next_tokens(members, ignore_eos=True)
        seconds = time.perf_counter() - started
        for session in members:
            session.close()
        return {"seconds": seconds, "tokens": n * sessions}

    def public(self, prompt: str, n: int, seed: int, least: float) -> dict:
        """Seconds of `infer` with the default sampler, of at most `n` tokens a text.

        Text after text for at least that many seconds.
        """
        seconds, tokens = 0.0, 0
        while seconds < least:
            with self.model.session(seed=seed) as session:
                started = time.perf_counter()
                stats = session.infer(prompt, max_tokens=n)
                seconds += time.perf_counter() - started
            tokens += stats.n_generated
        return {"seconds": seconds, "tokens": tokens}

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

    def python(self, path: str, prompt: str, n: int, seed: int, n_threads: int) -> dict:
        """Microseconds a token outside of native code, by two loops with the default sampler.

        With a piece of text for each token in the first. And the native call of the other, in
        microseconds a token.
        """
        clocks = clocked()
        found: dict[str, float] = {}
        with llmpy.load(path, n_threads=n_threads, n_ctx=512) as model:
            for loop in ("infer", "next_token"):
                with model.session(seed=seed) as session:
                    session.feed(prompt)
                    session.next_token()
                    for clock in clocks.values():
                        clock.seconds[0] = 0.0
                    done, started = n, time.perf_counter()
                    if loop == "infer":
                        done = session.infer([], lambda _: None, max_tokens=n).n_generated
                    else:
                        for _ in range(n):
                            session.next_token()
                    whole = time.perf_counter() - started
                native = {name: 1e6 * clock.seconds[0] / done for name, clock in clocks.items()}
                found[loop] = 1e6 * whole / done - sum(native.values())
        return found | native

    def close(self) -> None:
        self.read = None
        self.model.close()
        self.model = None


NATIVE = ("llmpy_plan_run", "llmpy_plan_generate", "llmpy_sample")


class Clocked:
    """A foreign function that counts the seconds spent in it."""

    def __init__(self, function: Any) -> None:
        self.__dict__.update(function=function, seconds=[0.0])

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.function, name, value)  # its types are declared after this took its place

    def __call__(self, *arguments: Any) -> Any:
        begin = time.perf_counter()
        result = self.function(*arguments)
        self.seconds[0] += time.perf_counter() - begin
        return result


def clocked() -> dict[str, Clocked]:
    """The native functions that a token needs, with clocks for models loaded from now on."""
    native = library()
    for name in NATIVE:
        if not isinstance(getattr(native, name), Clocked):
            setattr(native, name, Clocked(getattr(native, name)))
    return {name: getattr(native, name) for name in NATIVE}


def main() -> None:
    engine = Engine()
    names = (
        "prefill", "decode", "together", "public", "logits", "first_token", "python", "close",
    )  # fmt: skip
    pair = Pair(engine)
    handlers = {name: getattr(engine, name) for name in names}
    serve(handlers | {"open": pair.open, "both": pair.both})


if __name__ == "__main__":
    main()
