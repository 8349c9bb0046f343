"""Batch invariance: bitwise equal results however many threads run and tokens come in batches.

The model is large enough for threads to share its work, and its context for several segments.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from llmpy.backends.cpu import packing as cpu_packing
from llmpy.graph import Rope, Value, Weights
from tests.ops.harness import LEVELS, Array, Model, cpu_backend, random

N_EMBD, N_HEAD, N_KV, D, N_FF = 256, 8, 4, 64, 512
LONG = np.random.Generator(np.random.PCG64(5)).integers(0, 300, 1100)

levels = pytest.mark.parametrize("level", LEVELS)


def block(x: Value, w: Weights, name: str, window: int, norms: str = "") -> Value:
    """A layer; `norms` of queries and keys: of each head ("head"), of all ("all"), or none."""
    part = getattr(w, name)
    y = x.rms_norm(part.norm, 1e-5)
    q, k, v = y.linear(part.q), y.linear(part.k), y.linear(part.v)
    if norms == "all":
        q, k = q.rms_norm(part.q_norm, 1e-5), k.rms_norm(part.k_norm, 1e-5)
    q, k = q.heads(N_HEAD), k.heads(N_KV)
    if norms == "head":
        q, k = q.rms_norm(part.head_norm, 1e-5), k.rms_norm(None, 1e-5)
    q, k = q.rope(Rope(D)), k.rope(Rope(D))
    x = x + q.attend(k.cached(), v.heads(N_KV).cached(), window=window).linear(part.o)
    y = x.rms_norm(part.norm, 1e-5)
    return x + (y.linear(part.gate).silu() * y.linear(part.up)).linear(part.down)


def transformer(x: Value, w: Weights) -> Value:
    x = block(x, w, "a", window=0)
    x = block(x, w, "b", window=700, norms="head")
    x = x + x.moe(x.linear(w.router).route(2), w.e_gate, w.e_up, w.e_down, 2)
    return x.rms_norm(w.a.norm, 1e-5).linear(w.out)


SHAPES = {
    "q": (N_HEAD * D, N_EMBD),
    "k": (N_KV * D, N_EMBD),
    "v": (N_KV * D, N_EMBD),
    "o": (N_EMBD, N_HEAD * D),
    "gate": (N_FF, N_EMBD),
    "up": (N_FF, N_EMBD),
    "down": (N_EMBD, N_FF),
}


@cache
def model(dtype: str, level: str, n_threads: int, kv_dtype: str = "auto") -> Model:
    weights: dict[str, tuple[str, Array]] = {
        f"{name}.{part}.weight": (dtype, random(i, *shape) / 16)
        for name in "ab"
        for i, (part, shape) in enumerate(SHAPES.items())
    }
    for name in "ab":
        weights[f"{name}.norm.weight"] = ("F32", random(20, N_EMBD))
    weights["b.head_norm.weight"] = ("F32", random(22, D))
    weights["router.weight"] = ("F32", random(21, 4, N_EMBD))
    for i, part in enumerate(("e_gate", "e_up", "e_down")):
        shape = (4, N_EMBD, 256) if part == "e_down" else (4, 256, N_EMBD)
        weights[f"{part}.weight"] = (dtype, random(30 + i, *shape) / 16)
    weights["out.weight"] = (dtype, random(40, 300, N_EMBD))
    engine = cpu_backend(level, n_threads)
    return Model(engine, random(1, 300, N_EMBD), transformer, weights, kv_dtype)


@levels
@pytest.mark.parametrize("dtype", ["F32", "F16", "Q8_0", "Q4_0", "Q2_K", "Q4_K", "Q6_K", "MXFP4"])
def test_chunks_and_threads(dtype: str, level: str) -> None:
    n = 150 if level == "portable" else 300
    alone = model(dtype, level, 1)
    tokens = LONG[:n].tolist()
    whole = alone.read(tokens)
    assert np.isfinite(whole).all()
    for chunk in (1, 37, 64):
        np.testing.assert_array_equal(alone.read(tokens, chunk), whole)
    shared = model(dtype, level, 2)
    for chunk in (1, 5, 512):
        np.testing.assert_array_equal(shared.read(tokens, chunk), whole)


@levels
@pytest.mark.parametrize("dtype", ["F32", "F16", "Q8_0", "Q4_0", "Q2_K", "Q4_K", "Q6_K", "MXFP4"])
def test_weights_that_are_not_packed_yet(
    dtype: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = LONG[:30].tolist()
    packed = model(dtype, level, 2).read(tokens)
    monkeypatch.setattr(cpu_packing, "AT_ONCE", 0)
    monkeypatch.setattr(cpu_packing, "IDLE", 600.0)  # so that the first step comes first
    lazy = model.__wrapped__(dtype, level, 2)
    assert unpacked(lazy) > 0
    np.testing.assert_array_equal(lazy.read(tokens), packed)
    lazy.plan.warm_up()
    assert unpacked(lazy) == 0
    np.testing.assert_array_equal(lazy.read(tokens), packed)


def test_a_plan_is_closed_before_its_weights_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_packing, "AT_ONCE", 0)
    monkeypatch.setattr(cpu_packing, "IDLE", 600.0)
    lazy = model.__wrapped__("Q8_0", LEVELS[-1], 2)
    packing = lazy.plan._packing
    lazy.plan.close()
    assert not any(thread.is_alive() for thread in packing._threads)


def unpacked(lazy: Model) -> int:
    weights = [tensor.weights for tensor in lazy.plan._code.tensors.values()]
    return sum(w is not None and not w.ready for w in weights)


@levels
@pytest.mark.parametrize("kv_dtype", ["auto", "q8_0"])
def test_attention_behind_norms_of_all_heads(level: str, kv_dtype: str) -> None:
    """Its heads are shared by threads for one token, its matmuls are not among them."""
    weights: dict[str, tuple[str, Array]] = {
        f"a.{part}.weight": ("Q8_0", random(i, *shape) / 16)
        for i, (part, shape) in enumerate(SHAPES.items())
    }
    widths = {"norm": N_EMBD, "q_norm": N_HEAD * D, "k_norm": N_KV * D}
    for i, (part, width) in enumerate(widths.items()):
        weights[f"a.{part}.weight"] = ("F32", random(20 + i, width))

    def trace(x: Value, w: Weights) -> Value:
        return block(block(x, w, "a", 0, "all"), w, "a", 0, "all")

    alone, shared = (
        Model(cpu_backend(level, n), random(1, 300, N_EMBD), trace, weights, kv_dtype)
        for n in (1, 2)
    )
    tokens = LONG[:90].tolist()
    whole = alone.read(tokens)
    for chunk in (1, 90):
        np.testing.assert_array_equal(shared.read(tokens, chunk), whole)


@levels
@pytest.mark.parametrize("kv_dtype", ["auto", "q8_0", "f16", "q4_0"])
def test_long_contexts_and_threads(kv_dtype: str, level: str) -> None:
    """Past 512 tokens one token's attention is shared between threads by segments."""
    alone, shared = (model("F32", level, n, kv_dtype) for n in (1, 2))
    state, other = alone.state(), shared.state()
    for at in range(0, 1000, 500):
        tokens = LONG[at : at + 500].tolist()
        alone.step([(state, at, tokens)], [])
        shared.step([(other, at, tokens)], [])
    ends = [(1000, 1), (1001, 3), (1004, 1), (1005, 20), (1025, 1)]
    for at, n in ends:
        tokens = LONG[at : at + n].tolist()
        one = alone.step([(state, at, tokens)])
        two = shared.step([(other, at, tokens)])
        np.testing.assert_array_equal(one, two)
    whole = alone.read(LONG[:1026].tolist())
    np.testing.assert_array_equal(one[0], whole[1025])


@levels
@pytest.mark.parametrize("dtype", ["F32", "Q4_0"])
def test_a_session_in_company_is_as_alone(dtype: str, level: str) -> None:
    shared = model(dtype, level, 2)
    first, second, third = LONG[:40].tolist(), LONG[100:230].tolist(), LONG[300:303].tolist()
    alone = [shared.read(tokens) for tokens in (first, second, third)]
    a, b, c = shared.state(), shared.state(), shared.state()
    shared.step([(b, 0, second[:100])], [])
    mixed = shared.step([(a, 0, first[:30]), (b, 100, second[100:129])])
    np.testing.assert_array_equal(mixed, np.concatenate([alone[0][:30], alone[1][100:129]]))
    last = shared.step([(b, 129, second[129:]), (c, 0, third), (a, 30, first[30:])])
    np.testing.assert_array_equal(last, np.concatenate([alone[1][129:], alone[2], alone[0][30:]]))


@pytest.mark.parametrize("n_new", [1, 3])
@pytest.mark.parametrize("kv_dtype", ["auto", "q8_0"])
def test_many_sessions_at_once(kv_dtype: str, n_new: int) -> None:
    shared = model("Q8_0", LEVELS[-1], 2, kv_dtype)
    prompts = [LONG[i : i + 5 + 9 * i].tolist() for i in range(16)]
    states = [shared.state() for _ in prompts]
    for state, prompt in zip(states, prompts, strict=True):
        shared.step([(state, 0, prompt[:-n_new])], [])
    parts = [(s, len(p) - n_new, p[-n_new:]) for s, p in zip(states, prompts, strict=True)]
    together = shared.step(parts).reshape(16, n_new, -1)
    for rows, prompt in zip(together, prompts, strict=True):
        np.testing.assert_array_equal(rows, shared.read(prompt)[-n_new:])
