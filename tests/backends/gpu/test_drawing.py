"""Tokens that a device draws itself are those that the sampler draws from all logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmpy
from llmpy.backends.base import Sampling as Row
from llmpy.backends.gpu.backend import GpuBackend
from llmpy.backends.gpu.plan import GpuPlan
from llmpy.backends.gpu.samplers import APART, record
from llmpy.backends.gpu.top import NONE
from llmpy.ffi import address
from llmpy.sampling import Rng
from tests.backends.gpu import drawing
from tests.backends.gpu.devices import gpu_backend
from tests.backends.gpu.recording import RecordingDevice
from tests.backends.gpu.test_sampling import LESS, N_VOCAB, SENTENCE, Sampling, logits, native
from tests.session.conftest import STORIES

HOT = llmpy.temperature(1.5)
PENALTIES = (
    llmpy.repetition(1.3, 100), llmpy.frequency(0.5, -1), llmpy.presence(0.2, 20),
    llmpy.logit_bias({3: -2.0, 7: float("-inf"), 40: 6.0, N_VOCAB // 2: 9.0}),
)  # fmt: skip
CHAINS: dict[str, tuple[Any, ...]] = {
    "usual": (llmpy.default_chain(),),
    "of OpenAI": (llmpy.temperature(0.7), llmpy.top_p(0.9)),
    "of transformers": (HOT, llmpy.top_k(50), llmpy.top_p(0.95)),
    "top-p": (llmpy.top_p(0.9),),
    "top-p twice": (llmpy.top_p(0.9), llmpy.temperature(0.5), llmpy.top_p(0.8)),
    "none": (),
    "temperature": (llmpy.temperature(0.8),),
    "hot": (*PENALTIES, HOT),
    "top-k": (llmpy.top_k(200), HOT),
    "top-k of 1": (llmpy.top_k(1), HOT),
    "min-p": (llmpy.min_p(0.05), llmpy.temperature(0.7)),
    "min-p of 1": (llmpy.min_p(1.0),),
    "all off": (llmpy.top_k(0), llmpy.top_p(1.0), llmpy.min_p(0.0), llmpy.top_k(40)),
    "greedy": (llmpy.repetition(1.2), llmpy.temperature(0.0)),
    "penalties": (*PENALTIES, llmpy.top_k(40), llmpy.top_p(0.9)),
    "of llama.cpp": (*PENALTIES[::-1], llmpy.top_k(40), llmpy.top_p(0.95), llmpy.min_p(0.05), HOT),
}  # fmt: skip


# Of 200 draws from flat logits, those that are sure where some cannot be.
FLAT = {"hot": 180}


class Drawing(Sampling):
    """Rows of logits on a device, and the tokens that chains draw from them."""

    def drawn(
        self, chain: Any, masks: Any = None, wrong: int = 0, skip: int = -1
    ) -> tuple[list[int], list[int]]:
        """What all logits give for each row, and what the device draws; a seed for each.

        The first `wrong` rows, and row `skip`, cannot be sampled.
        """
        natives = [native(chain, self.n_seen) for _ in self.rows]
        wanted = [
            Row(
                each, *self.seen(each), None if masks is None else masks[i],
                Rng(i),
            )
            for i, each in enumerate(natives)
        ]  # fmt: skip
        whole = [row[: self.n_seen].copy() for row in self.rows]
        if masks is not None:
            for row, mask in zip(whole, masks, strict=True):
                bits = np.unpackbits(mask.view(np.uint8), count=self.n_seen, bitorder="little")
                row[bits == 0] = -np.inf
        expected = [
            NONE if i < wrong or i == skip else self.draw(each, row, i)
            for i, (each, row) in enumerate(zip(natives, whole, strict=True))
        ]
        found = self.top.draw(self.header, self.arena, 0, wanted)
        assert found is not None
        return expected, found


def n_sure(expected: list[int], found: list[int]) -> int:
    """How many tokens are sure; all of these must be right."""
    sure = [(a, b) for a, b in zip(expected, found, strict=True) if b != NONE]
    assert [a for a, _ in sure] == [b for _, b in sure]
    return len(sure)


@pytest.fixture(params=["numpy", "adapter"])
def on(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_draws_what_it_draws_from_all_logits(on: str, name: str) -> None:
    drawing = Drawing(on, np.tile(logits("plain", 8), (25, 1)))
    assert n_sure(*drawing.drawn(CHAINS[name])) >= FLAT.get(name, 190)


def test_quotients_are_those_of_the_host(on: str) -> None:
    generator = np.random.Generator(np.random.PCG64(7))
    rows = np.full((200, N_VOCAB), -np.inf, np.float32)
    rows[:, 20] = generator.uniform(1, 40, 200)
    rows[:, 10] = np.nextafter(rows[:, 20], np.float32(0))  # which may be equal when divided
    expected, found = Drawing(on, rows).drawn((HOT, llmpy.top_k(1)))
    assert expected.count(10) > 10
    assert n_sure(expected, found) == expected.count(20)


@pytest.mark.parametrize("kind", ["ties", "bunched", "empty"])
def test_logits_of_all_kinds(on: str, kind: str) -> None:
    drawing = Drawing(on, np.tile(logits(kind), (4, 1)))
    total = sum(n_sure(*drawing.drawn(chain)) for chain in CHAINS.values())
    assert total >= {"ties": 300, "bunched": 350, "empty": 360}[kind]


def test_masks_leave_tokens_out(on: str) -> None:
    drawing = Drawing(on, np.tile(logits("plain", 8), (5, 1)))
    generator = np.random.Generator(np.random.PCG64(5))
    masks = generator.integers(0, 1 << 32, (40, -(-LESS // 32)), np.uint32)
    masks[0] = 0
    masks[0, 77] = 1 << 9  # one token alone
    masks[1] = 0  # none
    for name, chain in CHAINS.items():
        expected, found = drawing.drawn(chain, masks, skip=1)
        assert n_sure(expected, found) >= min(FLAT.get(name, 200) // 6, 37)
        assert found[0] == 77 * 32 + 9
        assert found[1] == NONE


def test_logits_that_are_no_numbers_are_left_to_the_host(on: str) -> None:
    rows = logits("plain", 8)
    rows[0, 5], rows[1, LESS - 1], rows[2, 40] = np.nan, np.inf, np.nan  # 40 has a bias
    rows[3, 2100] = -np.inf
    rows[4, 40] = -np.inf
    rows[5:, LESS:] = np.nan  # no tokens
    for name, chain in CHAINS.items():
        expected, found = Drawing(on, rows).drawn(chain, wrong=3)
        assert found[:3] == [NONE] * 3
        assert n_sure(expected, found) >= (0 if name in FLAT else 4)


def test_what_is_not_for_the_device() -> None:
    drawing = Drawing("numpy", logits("plain", 1))
    history = np.array([1, 2, N_VOCAB], np.int32)
    for chain in (
        (llmpy.top_k(2000),),
        (llmpy.top_p(0.9, min_keep=2),),
        (llmpy.top_k(5), llmpy.presence(0.5)),
        (llmpy.dry(0.8, breakers=(3,)),),
        (llmpy.top_k(5), llmpy.mirostat2()),
        (llmpy.logit_bias(dict.fromkeys(range(APART), 1.0)),),
        (*[llmpy.temperature(0.9)] * 9,),
    ):
        assert (
            drawing.top.draw(drawing.header, drawing.arena, 0, [Row(native(chain), 0, 0)]) is None
        )
    outside = Row(native((llmpy.presence(0.5),)), address(history), 3)
    assert record(outside, [0.5]) is None


@pytest.fixture
def stories(shared_data: Callable[[str], Path]) -> Path:
    return shared_data(STORIES)


MODELS: dict[str, tuple[Any, ...]] = {
    "usual": (llmpy.default_chain(repeat_penalty=1.1, presence_penalty=0.1),),
    "of OpenAI": (llmpy.temperature(0.9), llmpy.top_p(0.95)),
    "none": (),
    "short window": (llmpy.frequency(0.8, 5), llmpy.logit_bias({400: 2.0}), HOT),
    "all tokens": (llmpy.repetition(1.3, -1), llmpy.min_p(0.02)),
    "greedy": (llmpy.repetition(1.3, 30), llmpy.greedy()),
    "of the host": (llmpy.top_k(50), llmpy.adaptive_p(0.3)),
}  # fmt: skip


@pytest.mark.parametrize(("of", "n"), [("stories", 200), ("smollm2", 12)])
def test_logits_of_models(on: str, of: str, n: int, request: pytest.FixtureRequest) -> None:
    with llmpy.load(request.getfixturevalue(of), backend="cpu", n_ctx=512) as model:
        session = model.session(seed=6)
        session.infer(SENTENCE, max_tokens=n)
        rows = np.concatenate([part.copy() for part in model.logits(session.tokens)])[-n:]
    drawing = Drawing(on, np.ascontiguousarray(rows), rows.shape[1])
    for name, chain in MODELS.items():
        if name != "of the host":
            assert n_sure(*drawing.drawn(chain)) >= 0.9 * n


def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows of logits plans bring to the host, each time."""
    found, logits_of = [], GpuPlan.logits

    def logits(self: GpuPlan, at: int, n: int) -> Any:
        found.append(n)
        return logits_of(self, at, n)

    monkeypatch.setattr(GpuPlan, "logits", logits)
    return found


def backend_on(on: str) -> GpuBackend:
    return GpuBackend(RecordingDevice()) if on == "numpy" else gpu_backend()


def texts(
    backend: GpuBackend, path: Path, monkeypatch: pytest.MonkeyPatch, here: bool, saved: Path
) -> Any:
    """What sessions say, where the device draws or does not."""
    with monkeypatch.context() as patched, llmpy.load(path, backend=backend) as model:
        patched.setattr(backend.device, "shared", not here)
        found: list[Any] = []
        for seed, chain in enumerate(MODELS.values()):
            session = model.session(sampler=llmpy.chain(*chain), seed=seed)
            session.infer(SENTENCE, max_tokens=23)
            session.save(saved)
            other = session.fork()
            session.infer(" Then", max_tokens=7)
            other.infer(" One", max_tokens=7)
            again = model.load_session(saved)
            again.infer(max_tokens=7)
            found += [session.text, other.text, again.text]
        several = [model.session(sampler=llmpy.chain(*chain), seed=9) for chain in MODELS.values()]
        for i, session in enumerate(several):
            session.feed(SENTENCE[: 20 + i])
        for _ in range(8):
            llmpy.next_tokens(several)
        found += [session.text for session in several]
        choice = model.session(sampler=llmpy.chain(*MODELS["of OpenAI"]), seed=4)
        choice.infer(SENTENCE, max_tokens=12, constrain=llmpy.regex("( [a-z]{1,6})*"))
        ended = model.session(seed=5)
        ended.infer(SENTENCE, max_tokens=60, stop=[" she"])
        return [*found, choice.text, ended.text]


def endings(
    backend: GpuBackend, path: Path, monkeypatch: pytest.MonkeyPatch, here: bool, saved: Path
) -> Any:
    """Texts that end or are left in the middle of what the device draws at once, and go on."""
    with monkeypatch.context() as patched, llmpy.load(path, backend=backend) as model:
        patched.setattr(backend.device, "shared", not here)
        found: list[Any] = []

        def left_after(n: int) -> Callable[[str], bool]:
            pieces: list[str] = []

            def callback(piece: str) -> bool:
                pieces.append(piece)
                return len(pieces) < n

            return callback

        ends = llmpy.chain(
            llmpy.logit_bias(dict.fromkeys(model.tokenizer.end_ids, 12.0)), llmpy.top_p(0.95)
        )
        for seed in range(4):
            session = model.session(sampler=ends, seed=seed)
            stats = session.infer(SENTENCE, max_tokens=40)
            found += [session.tokens, stats.finish_reason]
            session = model.session(seed=seed)
            session.infer(SENTENCE, max_tokens=1 + seed)
            stats = session.infer(callback=left_after(3 + seed), max_tokens=40)
            found += [session.tokens, stats.finish_reason]
            session.save(saved)
            for each in (session, model.load_session(saved)):
                each.infer(" And", max_tokens=11)
                found.append(each.tokens)
        return found


@pytest.mark.parametrize("what", [texts, endings])
def test_a_model_says_the_same(
    on: str, stories: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: Any
) -> None:
    backend, read = backend_on(on), reads(monkeypatch)
    expected = what(backend, stories, monkeypatch, False, tmp_path / "saved")
    n_all = len(read)
    assert what(backend, stories, monkeypatch, True, tmp_path / "saved") == expected
    assert len(read) - n_all < n_all / 20


def test_the_host_draws_where_the_device_is_not_sure(
    stories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, read = RecordingDevice(), reads(monkeypatch)
    monkeypatch.setattr(drawing, "ERROR", 0.02)
    found = []
    for device.shared in (True, False):
        with llmpy.load(stories, backend=GpuBackend(device)) as model:
            session = model.session(sampler=llmpy.chain(*MODELS["of OpenAI"]), seed=2)
            session.infer(SENTENCE, max_tokens=1)
            device.ran.clear()
            read.clear()
            session.infer(max_tokens=80)
            found.append((session.text, device.ran.count("embed")))
    assert found[0] == found[1]  # and no token is computed twice
    assert device.ran.count("draw") == 80
    assert 10 < len(read) < 70
