"""The worker for llama-cpp-python: serves the line protocol of lines.py in the peer's environment.

"prefill" and "decode" drive its low-level interface (llama_decode, greedy sampler), which has the
least overhead that it offers; "public" calls its high-level interface as its users do.
Both ways of attention (flash and plain) are opened over the same weights, so that the controller
can take whichever serves the peer better.
"""

from __future__ import annotations

import ctypes
import time
from typing import Any

import llama_cpp
import numpy as np
from lines import Pair, resident_bytes, serve

N_BATCH = 512
SILENT = llama_cpp.llama_log_callback(lambda _level, _text, _data: None)


class Engine:
    """One model, a low-level context for each way of attention, and the high-level object."""

    def __init__(self) -> None:
        self.model: Any = None
        self.contexts: dict[tuple[bool, str], Any] = {}
        self.held: dict[tuple[bool, str], list[int]] = {}  # what "decode" read last
        self.samplers: Any = None
        self.llama: Any = None

    def open(
        self,
        path: str,
        n_threads: int = 2,
        n_ctx: int = 1024,
        n_outputs: int = 1,
        n_gpu_layers: int = 0,
    ) -> dict:
        """Load `path`; contexts are made when first asked for."""
        started = time.perf_counter()
        self.path, self.n_threads, self.n_ctx = path, n_threads, n_ctx
        self.n_outputs = n_outputs
        parameters = llama_cpp.llama_model_default_params()
        parameters.n_gpu_layers = n_gpu_layers
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), parameters)
        if not self.model:
            raise ValueError(f"{path}: the peer cannot load it")
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.model)
        self.samplers = llama_cpp.llama_sampler_init_greedy()
        return {
            "n_vocab": llama_cpp.llama_vocab_n_tokens(self.vocabulary),
            "seconds": time.perf_counter() - started,
            "bytes": llama_cpp.llama_model_size(self.model),
            "system": llama_cpp.llama_print_system_info().decode(),
        }

    def context(self, flash: bool, kv_dtype: str = "f16") -> Any:
        """The context for one way of attention, empty."""
        key = (flash, kv_dtype)
        if key not in self.contexts:
            parameters = llama_cpp.llama_context_default_params()
            parameters.n_ctx = self.n_ctx
            parameters.n_batch = max(N_BATCH, self.n_outputs)
            parameters.n_ubatch = max(N_BATCH, self.n_outputs)
            parameters.n_threads = parameters.n_threads_batch = self.n_threads
            parameters.flash_attn_type = 1 if flash else 0
            parameters.type_k = parameters.type_v = {"f32": 0, "f16": 1, "q8_0": 8}[kv_dtype]
            context = llama_cpp.llama_init_from_model(self.model, parameters)
            if not context:
                raise ValueError(f"the peer makes no context with flash={flash} {kv_dtype}")
            self.contexts[key] = context
        context = self.contexts[key]
        self.held.pop(key, None)
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), False)
        return context

    def prefill(self, tokens: list[int], flash: bool = False, kv_dtype: str = "f16") -> dict:
        """Seconds from the tokens to the first sampled token."""
        context = self.context(flash, kv_dtype)
        started = time.perf_counter()
        self._read(context, tokens)
        llama_cpp.llama_sampler_sample(self.samplers, context, -1)
        return {"seconds": time.perf_counter() - started, "tokens": len(tokens)}

    def decode(self, tokens: list[int], n: int, flash: bool = False, kv_dtype: str = "f16") -> dict:
        """Seconds for `n` greedy tokens, one at a time, after reading `tokens`.

        A long text is read once: what a turn added to it is forgotten before the next.
        """
        key, end = (flash, kv_dtype), len(tokens) - 1
        if self.held.get(key) == tokens:
            memory = llama_cpp.llama_get_memory(self.contexts[key])
            if not llama_cpp.llama_memory_seq_rm(memory, 0, end, -1):
                raise RuntimeError("the peer does not forget")
            context, unread = self.contexts[key], tokens[end:]
        else:
            context, unread = self.context(flash, kv_dtype), tokens
            self.held[key] = tokens
        self._read(context, unread)
        token = llama_cpp.llama_sampler_sample(self.samplers, context, -1)
        one = (llama_cpp.llama_token * 1)()
        started = time.perf_counter()
        for _ in range(n):
            one[0] = token
            _check(llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(one, 1)))
            token = llama_cpp.llama_sampler_sample(self.samplers, context, -1)
        return {"seconds": time.perf_counter() - started, "tokens": n}

    def public(self, prompt: str, n: int, seed: int, least: float, flash: bool = False) -> dict:
        """Seconds of `create_completion` with the default sampler, of at most `n` tokens a text.

        Text after text for at least that many seconds.
        """
        if self.llama is None or self.llama_flash != flash:
            self.llama, self.llama_flash = self._high_level(flash), flash
        seconds, tokens = 0.0, 0
        while seconds < least:
            self.llama.reset()
            self.llama._ctx.kv_cache_clear()
            started = time.perf_counter()
            answer = self.llama.create_completion(prompt, max_tokens=n, seed=seed)
            seconds += time.perf_counter() - started
            tokens += answer["usage"]["completion_tokens"]
        return {"seconds": seconds, "tokens": tokens}

    def logits(self, tokens: list[int], out: str, flash: bool = False) -> dict:
        """Write the logits of every position, float32 [tokens, vocabulary], to `out` (.npy)."""
        context = self.context(flash, "f32")
        count = len(tokens)
        batch = llama_cpp.llama_batch_init(count, 0, 1)
        batch.n_tokens = count
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i] = token, i
            batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = 1, 0, 1
        _check(llama_cpp.llama_decode(context, batch))
        n_vocab = llama_cpp.llama_vocab_n_tokens(self.vocabulary)
        rows = [
            np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, i), (n_vocab,))
            for i in range(count)
        ]
        np.save(out, np.stack(rows))
        llama_cpp.llama_batch_free(batch)
        return {"tokens": count}

    def first_token(self, path: str, prompt: str, n_threads: int, n_ctx: int) -> dict:
        """Seconds from nothing to one token by the high-level interface, and memory after it."""
        started = time.perf_counter()
        llama = llama_cpp.Llama(
            path,
            n_ctx=n_ctx,
            n_threads=n_threads,
            n_threads_batch=n_threads,
            verbose=False,
        )
        opened = time.perf_counter()
        llama.create_completion(prompt, max_tokens=1, temperature=0.0)
        return {
            "open": opened - started,
            "seconds": time.perf_counter() - started,
            "resident": resident_bytes(),
        }

    def close(self) -> None:
        """Free the model and all contexts."""
        if self.llama is not None:
            self.llama.close()
            self.llama = None
        for context in self.contexts.values():
            llama_cpp.llama_free(context)
        self.contexts.clear()
        self.held.clear()
        if self.model:
            llama_cpp.llama_sampler_free(self.samplers)
            llama_cpp.llama_model_free(self.model)
            self.model = None

    def _read(self, context: Any, tokens: list[int]) -> None:
        for start in range(0, len(tokens), N_BATCH):
            part = tokens[start : start + N_BATCH]
            array = (llama_cpp.llama_token * len(part))(*part)
            _check(llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(array, len(part))))
        llama_cpp.llama_synchronize(context)

    def _high_level(self, flash: bool) -> Any:
        if self.llama is not None:
            self.llama.close()
        return llama_cpp.Llama(
            self.path,
            n_ctx=self.n_ctx,
            n_batch=N_BATCH,
            n_ubatch=N_BATCH,
            n_threads=self.n_threads,
            n_threads_batch=self.n_threads,
            flash_attn=flash,
            logits_all=False,
            verbose=False,
        )


def _check(status: int) -> None:
    if status != 0:
        raise RuntimeError(f"llama_decode answered {status}")


def main() -> None:
    llama_cpp.llama_backend_init()
    llama_cpp.llama_log_set(SILENT, ctypes.c_void_p(0))
    engine = Engine()
    names = ("prefill", "decode", "public", "logits", "first_token", "close")
    pair = Pair(engine)
    handlers = {name: getattr(engine, name) for name in names}
    serve(handlers | {"open": pair.open, "both": pair.both})


if __name__ == "__main__":
    main()
