"""Sampling from the few logits that a device finds draws the tokens that all logits give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmpy
from llmpy.backends.base import Sampling as Row
from llmpy.backends.gpu.backend import GpuBackend
from llmpy.backends.gpu.candidates import ROOM, SEGMENT
from llmpy.backends.gpu.device import Step
from llmpy.backends.gpu.header import WORDS
from llmpy.backends.gpu.plan import PART
from llmpy.backends.gpu.tensors import Kept
from llmpy.backends.gpu.top import Top
from llmpy.ffi import address
from llmpy.sampling import NativeChain, Rng
from tests.backends.gpu.devices import gpu_backend, gpu_device
from tests.backends.gpu.recording import RecordingDevice
from tests.ops.harness import random
from tests.session.conftest import STORIES

N_VOCAB = 4796
LESS = N_VOCAB - 30  # the last ones are no tokens
SENTENCE = "Once upon a time, there was a little girl named Lily."
USUAL: dict[str, Any] = {"top_k": 40, "top_p": 0.95, "min_p": 0.05, "temperature": 0.8}

CHAINS: dict[str, tuple[Any, ...]] = {
    "usual": (llmpy.default_chain(**USUAL),),
    "greedy": (llmpy.greedy(),),
    "top-k": (llmpy.top_k(60), llmpy.temperature(1.2)),
    "min-p": (llmpy.min_p(0.1), llmpy.temperature(0.7)),
    "penalties": (
        llmpy.repetition(1.3, 100), llmpy.frequency(0.5, -1), llmpy.presence(0.2, 20),
        llmpy.logit_bias({3: -2.0, 7: float("-inf")}), llmpy.top_k(40), llmpy.top_p(0.9),
    ),
    "raised": (llmpy.logit_bias({5: 9.0, N_VOCAB // 2: 12.0, 40: -3.0}), llmpy.top_k(40)),
    "mirostat": (llmpy.top_k(50), llmpy.mirostat2(5.0, 0.1)),
}  # fmt: skip
OTHERS: dict[str, tuple[Any, ...]] = {  # that may need all logits
    "top-p": (llmpy.top_p(0.9),),
    "temperature first": (llmpy.temperature(0.5), llmpy.top_k(40)),
    "many raised": (llmpy.logit_bias(dict.fromkeys(range(20), 1.0)), llmpy.top_k(40)),
    "rewarded": (llmpy.repetition(0.5, 100), llmpy.top_k(40)),
    "dry": (llmpy.dry(0.8, breakers=(3,)), llmpy.top_k(40)),
}


class Sampling:
    """Rows of logits on a device, and samplers that draw from them."""

    def __init__(self, on: str, rows: Any, n_seen: int = LESS) -> None:
        self.n_seen = n_seen
        self.device: Any = RecordingDevice() if on == "numpy" else gpu_device()
        self.rows, n = rows, len(rows)
        words = np.zeros(WORDS, np.uint32)
        words[:3] = n
        self.header, self.arena = self.device.buffer(4 * WORDS), self.device.buffer(rows.nbytes)
        self.device.write(self.header, 0, words)
        self.device.write(self.arena, 0, rows)
        self.history = np.array([*range(0, 500, 7), *np.argsort(-rows[0, :n_seen])[:9]], np.int32)
        self.top = Top(self.device, rows.shape[1])

    def draws(self, chain: Any, masks: Any = None) -> tuple[list[int], list[int] | None]:
        """What all logits give for each row, and what the few give if they are enough."""
        natives = [native(chain) for _ in self.rows]
        wanted = [
            Row(each, *self.seen(each), None if masks is None else masks[i])
            for i, each in enumerate(natives)
        ]
        whole = [row[:LESS].copy() for row in self.rows]
        if masks is not None:
            for row, mask in zip(whole, masks, strict=True):
                bits = np.unpackbits(mask.view(np.uint8), count=LESS, bitorder="little")
                row[bits == 0] = -np.inf
        expected = [
            self.draw(each, row, i)
            for i, (each, row) in enumerate(zip(natives, whole, strict=True))
        ]
        sparse = self.top.found(self.header, self.arena, 0, wanted)
        if sparse is None:
            return expected, None
        return expected, [self.draw(each, sparse[i], i) for i, each in enumerate(natives)]

    def seen(self, chain: NativeChain) -> tuple[int, int]:
        n = len(self.history) if chain.n_history < 0 else min(len(self.history), chain.n_history)
        return address(self.history[len(self.history) - n :]) if n else 0, n

    def draw(self, chain: NativeChain, row: Any, i: int) -> int:
        return chain.sample(address(row), self.n_seen, *self.seen(chain), Rng(i), None)


def native(steps: tuple[Any, ...], n_vocab: int = LESS) -> NativeChain:
    flat = [step for each in steps for step in getattr(each, "steps", (each,))]
    return NativeChain(flat, n_vocab)


def logits(kind: str, n: int = 6) -> Any:
    rows = random(3, n, N_VOCAB) * 3
    if kind == "ties":
        rows = np.round(rows * 2) / 2
        rows[0] = 0.0
    elif kind == "bunched":  # all of the largest in one segment, more than there is room for
        rows[:, 100 : 100 + ROOM + 30] += 20
    elif kind == "empty":
        rows[:, SEGMENT : 2 * SEGMENT] = -np.inf
        rows[0] = -np.inf
        rows[0, [5, SEGMENT + 1]] = -0.0, 0.0
    return rows.astype(np.float32)


@pytest.fixture(params=["numpy", "adapter"])
def on(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("kind", ["plain", "ties", "bunched", "empty"])
def test_the_few_logits_give_the_same_tokens(on: str, kind: str) -> None:
    sampling, used = Sampling(on, logits(kind)), 0
    for name, chain in CHAINS.items():
        expected, found = sampling.draws(chain)
        assert found in (None, expected), name
        used += found is not None
    assert used == {"plain": len(CHAINS), "ties": 0, "bunched": len(CHAINS), "empty": 2}[kind]


@pytest.mark.parametrize("n", [ROOM, ROOM + 1])
def test_a_segment_that_may_have_more_is_not_enough(on: str, n: int) -> None:
    chain = (llmpy.top_k(n), llmpy.temperature(2.0))
    assert Sampling(on, logits("plain")).draws(chain)[1] is not None
    expected, found = Sampling(on, logits("bunched")).draws(chain)
    assert found == (expected if n == ROOM else None)


def test_masks_leave_tokens_out(on: str) -> None:
    sampling = Sampling(on, logits("plain"))
    generator = np.random.Generator(np.random.PCG64(5))
    masks = generator.integers(0, 1 << 32, (6, -(-LESS // 32)), np.uint32)
    for name, chain in CHAINS.items():
        expected, found = sampling.draws(chain, masks)
        assert found == expected, name


def test_a_logit_that_is_no_number_is_left_to_the_sampler(on: str) -> None:
    for wrong in (np.nan, np.inf):
        rows = logits("plain")
        rows[2, SEGMENT + 5] = wrong
        sampling = Sampling(on, rows)
        each = native(CHAINS["usual"])
        wanted = [Row(each, 0, 0) for _ in rows]
        assert sampling.top.found(sampling.header, sampling.arena, 0, wanted) is None
    rows = logits("plain")
    rows[2, LESS:] = np.nan  # no token
    expected, found = Sampling(on, rows).draws(CHAINS["usual"])
    assert found == expected


@pytest.mark.parametrize("name", OTHERS)
def test_a_sampler_that_may_need_all_logits_gets_them(name: str) -> None:
    assert Sampling("numpy", logits("plain")).draws(OTHERS[name])[1] is None


@pytest.fixture
def stories(shared_data: Callable[[str], Path]) -> Path:
    return shared_data(STORIES)


def texts(path: Path, backend: GpuBackend, monkeypatch: pytest.MonkeyPatch, few: bool) -> list[str]:
    """Texts of one session, of several together, and under a constraint."""
    with monkeypatch.context() as patched, llmpy.load(path, backend=backend) as model:
        patched.setattr(backend.device, "shared", False)
        if not few:
            patched.setattr(Top, "found", lambda *_: None)
        one = model.session(**USUAL, repeat_penalty=1.2, seed=3)
        one.infer(SENTENCE, max_tokens=30)
        sessions = [model.session(**USUAL, seed=i) for i in range(3)]
        for i, session in enumerate(sessions):
            session.feed(SENTENCE[: 20 + i])
        for _ in range(8):
            llmpy.next_tokens(sessions)
        choice = model.session(**USUAL, seed=4)
        choice.infer(SENTENCE, max_tokens=12, constrain=llmpy.regex("( [a-z]{1,6})*"))
        return [session.text for session in (one, *sessions, choice)]


def test_a_model_says_the_same(on: str, stories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = GpuBackend(RecordingDevice()) if on == "numpy" else gpu_backend()
    found = texts(stories, backend, monkeypatch, few=True)
    if on == "numpy":
        assert backend.device.ran.count("top") > 30 + 8
    assert found == texts(stories, backend, monkeypatch, few=False)


@pytest.mark.parametrize("kind", ["plain", "ties", "wrong"])
def test_the_largest_logit_is_found_in_parts(on: str, kind: str) -> None:
    rows = logits("ties" if kind == "ties" else "plain")
    if kind == "wrong":
        rows[1, 3], rows[2, N_VOCAB - 1], rows[3, PART] = np.nan, np.inf, -np.inf
    sampling, parts = Sampling(on, rows), -(-N_VOCAB // PART)
    device = sampling.device
    found, ids = (Kept(device.buffer(4 * n)) for n in (2 * parts * len(rows), 64))
    values = {"x": 0, "n": N_VOCAB, "parts": parts}
    steps = [
        Step("largest_part", "output", parts, values, (found,)),
        Step("largest", "output", 1, values, (found, ids)),
    ]
    device.run(device.program(steps, sampling.header, sampling.arena), {"output": len(rows)})
    tokens = np.frombuffer(device.read(ids.buffer, 0, 4 * len(rows)), np.uint32)
    expected = rows.argmax(axis=1).astype(np.uint32)
    if kind == "wrong":
        expected[1:3] = 0xFFFFFFFF
    assert tokens.tolist() == expected.tolist()
