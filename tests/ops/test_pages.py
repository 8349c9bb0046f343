"""Pages of keys and values: what they held before never shows, copies are copies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from llmpy.backends.base import PAGE_TOKENS, Backend
from llmpy.backends.cpu.backend import CpuBackend
from llmpy.backends.reference.backend import ReferenceBackend
from llmpy.engine.cache import PagedState
from llmpy.errors import BackendError
from llmpy.ffi import level_names
from llmpy.graph import Graph, Value, Weights
from llmpy.graph.check import finish
from tests.ops.harness import Array, Model, Trace, cpu_backend, random
from tests.ops.test_attention import attention


def model(kv_dtype: str = "int14", window: int = 0) -> Model:
    weights = {f"{p}.weight": ("F32", random(i, 32, 32)) for i, p in enumerate("qkv")}
    trace = attention(2, 2, window, 0.2)
    return Model(cpu_backend(), random(1, 200, 32), trace, weights, kv_dtype)


def attention_of_parts(d: int) -> Trace:
    def trace(x: Value, _: Weights) -> Value:
        q, k, v = (part.heads(1) for part in x.split(d, d, d))
        return q.attend(k.cached(), v.cached())

    return trace


def contents(model: Model, state: PagedState) -> list[bytes]:
    return [model.kv.pages.read(page.id) for page in state.pages]


def fill(model: Model, state: PagedState, n: int, value: int) -> None:
    state.prepare(0, n)
    for page in state.pages:
        for pool, piece in ((model.kv.pages, page.id), (model.kv.windowed, page.windowed)):
            if piece:
                pool.write(piece, bytes([value]) * pool.n_bytes)


@pytest.mark.parametrize("kv_dtype", CpuBackend.kv_dtypes)
@pytest.mark.parametrize("window", [0, 70])
@pytest.mark.parametrize("chunk", [1, 9, 200])
def test_what_a_page_held_before_never_shows(kv_dtype: str, window: int, chunk: int) -> None:
    ours = model(kv_dtype, window)
    clean = ours.read(range(200), chunk)
    state = ours.state()
    fill(ours, state, 200, 0xFF)  # NaN in any type
    rows: list[Array] = [
        ours.step([(state, at, range(at, min(at + chunk, 200)))]) for at in range(0, 200, chunk)
    ]
    np.testing.assert_array_equal(np.concatenate(rows), clean)


def test_a_new_page_is_zeros() -> None:
    ours = model()
    page = ours.kv.pages.allocate()
    assert ours.kv.pages.read(page) == bytes(ours.kv.pages.n_bytes)
    assert page % 64 == 0


def test_a_page_has_room_for_all_keys_and_values() -> None:
    assert model("int14").kv.pages.n_bytes == PAGE_TOKENS * (2 + 2) * (16 * 2 + 4)
    assert model("f32").kv.pages.n_bytes == PAGE_TOKENS * (32 + 32) * 4
    assert model("q8_0").kv.pages.n_bytes == PAGE_TOKENS * (2 + 2) * (32 + 2)  # 16 wide, padded
    assert model("f16").kv.pages.n_bytes == PAGE_TOKENS * (2 + 2) * 16 * 2
    assert model("q4_0").kv.pages.n_bytes == PAGE_TOKENS * (2 + 2) * (16 + 2)


def test_f16_is_half_precision() -> None:
    exact, ours = (model(kind, window=1).read(range(100)) for kind in ("f32", "f16"))
    np.testing.assert_array_equal(ours, exact.astype(np.float16))


def test_a_copied_page_is_independent() -> None:
    ours = model()
    state = ours.state()
    ours.step([(state, 0, range(10))])
    before = contents(ours, state)
    other = state.fork()
    ours.step([(other, 10, [3])])
    assert contents(ours, state) == before
    assert contents(ours, other) != before


@pytest.mark.parametrize(("kv_dtype", "steps"), [("int14", 8191), ("q8_0", 127), ("q4_0", 8)])
def test_memory_has_the_error_of_its_steps(kv_dtype: str, steps: int) -> None:
    """A token that sees only itself gives back its value, to half a step."""
    exact, rounded = (model(kind, window=1).read(range(100)) for kind in ("f32", kv_dtype))
    heads = exact.reshape(-1, 2, 16)
    step = np.abs(heads).max(axis=2, keepdims=True) / steps
    most = 1.01 if kv_dtype == "q4_0" else 0.57  # as ggml, it has no 8 where the largest is -8
    assert (np.abs(rounded.reshape(heads.shape) - heads) <= most * step).all()
    assert not np.array_equal(exact, rounded)


def test_int14_loses_less_than_half_precision() -> None:
    engines = cpu_backend(), ReferenceBackend()
    weights = {f"{p}.weight": ("F32", random(i, 128, 32)) for i, p in enumerate("qkv")}
    exact, ours, half = (
        Model(engine, random(1, 200, 32), attention(2, 2, 0, 0.01), weights, kv_dtype).rows()
        for engine, kv_dtype in ((engines[1], "f32"), (engines[0], "int14"), (engines[1], "f16"))
    )
    assert np.square(ours - exact).mean() < np.square(half - exact).mean()


@pytest.mark.parametrize("kv_dtype", ["int14", "q8_0", "q4_0"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("part", [0, 1, 2])
def test_rounding_does_not_hide_what_is_no_number(kv_dtype: str, wrong: float, part: int) -> None:
    x = random(1, 3, 3 * 16)
    x[1, 5 + 16 * part] = wrong  # in the query, key or value of the second token
    rows = Model(cpu_backend(), x, attention_of_parts(16), kv_dtype=kv_dtype).rows()
    assert np.isfinite(rows[0]).all()
    assert np.isnan(rows[1]).all()
    assert np.isfinite(rows[2]).all() if part == 0 else np.isnan(rows[2]).all()


def test_a_cache_may_be_keys_and_values_at_once() -> None:
    x = random(1, 70, 24)
    ours = Model(
        cpu_backend(), x, lambda x, _: (lambda h: h.attend(h.cached(), h.cached()))(x.heads(3))
    )
    one = Model(
        cpu_backend(),
        x,
        lambda x, _: (lambda h, c: h.attend(c, c))(x.heads(3), x.heads(3).cached()),
    )
    np.testing.assert_array_equal(ours.rows(), one.rows())


@pytest.mark.parametrize(
    ("backend", "kv_dtype"),
    [(b, kv) for b in (CpuBackend, ReferenceBackend) for kv in b.kv_dtypes],  # type: ignore[attr-defined]
)
@pytest.mark.parametrize("d", [2, 16, 20, 34])
def test_slots_tell_whose_each_byte_is(
    backend: Callable[[], Backend], kv_dtype: str, d: int
) -> None:
    """A byte that is the same whatever was there before was written with the token."""
    ours = Model(backend(), random(1, 70, 3 * d), attention_of_parts(d), {}, kv_dtype)
    slots = ours.kv.pages.slots()
    assert slots.shape == (ours.kv.pages.n_bytes,)
    states = [ours.state(), ours.state()]
    for state, value in zip(states, (0, 0xFF), strict=True):
        fill(ours, state, 64, value)
    for token in range(64):
        for state in states:
            ours.step([(state, token, [token])])
        a, b = (np.frombuffer(contents(ours, state)[0], np.uint8) for state in states)
        np.testing.assert_array_equal(a == b, slots <= token)


@pytest.mark.parametrize("kv_dtype", ["int14", "f32", "q8_0"])
def test_pages_of_one_layout_have_the_same_bytes_at_all_levels(kv_dtype: str) -> None:
    found: dict[str, set[bytes]] = {}
    for level in level_names():
        try:
            engine = CpuBackend(level=level, n_threads=1)
        except BackendError:
            continue  # this processor lacks it
        ours = Model(engine, random(1, 70, 3 * 32), attention_of_parts(32), kv_dtype=kv_dtype)
        state = ours.state()
        ours.step([(state, 0, range(70))])
        found.setdefault(ours.kv.layout, set()).add(contents(ours, state)[0])
    assert {layout: len(pages) for layout, pages in found.items()} == dict.fromkeys(found, 1)
    assert len(set.union(*found.values())) == len(found), "layouts that do not differ"


def test_a_pool_of_another_layout_is_refused() -> None:
    ours, other = model("f32"), model("int14")
    graph = Graph({"x.weight": (200, 32)})
    x = graph.tokens().embed(Weights(graph.shapes).x).heads(4)
    finished = finish(graph, x.attend(x.cached(), x.cached()))
    for pool in (ours.kv, other.kv):
        with pytest.raises(BackendError, match=r"kv_pool: expected the layout cpu/.*, found cpu/"):
            cpu_backend().compile(finished, {}, pool, n_ctx=64)
    with pytest.raises(BackendError, match="expected one of the cpu backend, found reference/f32"):
        cpu_backend().compile(finished, {}, ReferenceBackend().kv_pool(finished, "f32"), n_ctx=64)
