"""Places of values in the arena: no two values that live at once ever share one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmpy.graph import Value, Weights
from tests.ops.harness import Model, cpu_backend, random

pytest.importorskip("llmpy.backends.cpu.lower.buffers")
from llmpy.backends.cpu.lower.buffers import Places

lives = st.lists(
    st.tuples(st.integers(1, 500), st.integers(0, 20), st.integers(0, 8), st.booleans()),
    min_size=1,
    max_size=40,
)


@given(lives)
def test_values_alive_together_lie_apart(values: list[tuple[int, int, int, bool]]) -> None:
    spaces = ["all" if everywhere else "output" for *_, everywhere in values]
    places = Places([size for size, *_ in values], spaces)
    alive: set[int] = set()
    for now in range(30):
        for i, (_, begin, length, _) in enumerate(values):
            if begin + length + 1 == now:
                places.end(i)
                alive.discard(i)
        for i, (_, begin, _, _) in enumerate(values):
            if begin == now:
                places.begin(i)
                alive.add(i)
        for space in ("all", "output"):
            here = sorted(
                (places.of(i), places.of(i) + values[i][0]) for i in alive if spaces[i] == space
            )
            assert all(a[1] <= b[0] for a, b in pairwise(here))
            assert all(end <= places.size(space) and begin % 64 == 0 for begin, end in here)


@st.composite
def programs(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    n = draw(st.integers(1, 12))
    kinds = st.sampled_from(["add", "mul", "silu", "scale", "rms_norm", "linear"])
    return [(draw(kinds), draw(st.integers(0, i)), draw(st.integers(0, i))) for i in range(n)]


@given(programs())
def test_any_graph_is_lowered_to_what_it_means(program: list[tuple[str, int, int]]) -> None:
    """Fusion, grouping and shared places change nothing: compare with the reference backend."""
    from llmpy.backends.reference.backend import ReferenceBackend

    def trace(x: Value, w: Weights) -> Value:
        values = [x]
        for kind, i, j in program:
            a, b = values[i], values[j]
            values.append(
                {
                    "add": lambda a=a, b=b: a + b,
                    "mul": lambda a=a, b=b: a.rms_norm(w.norm, 1e-3) * b,
                    "silu": lambda a=a: a.silu(),
                    "scale": lambda a=a: a.scale(0.5),
                    "rms_norm": lambda a=a: a.rms_norm(w.norm, 1e-3),
                    "linear": lambda a=a: a.linear(w.a),
                }[kind]()
            )
        return (values[-1] + x).linear(w.a)

    weights = {"a.weight": ("F32", random(2, 20, 20) / 5), "norm.weight": ("F32", random(3, 20))}
    ours, reference = (
        Model(engine, random(1, 3, 20), trace, weights).rows()
        for engine in (cpu_backend(), ReferenceBackend())
    )
    scale = max(1.0, float(np.abs(reference).max()))
    np.testing.assert_allclose(ours, reference, rtol=0, atol=2e-5 * scale)
