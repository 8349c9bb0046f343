"""Headers of one token, which have a way of their own, are those of any batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from llmpy.backends.base import PAGE_TOKENS, Batch
from llmpy.backends.gpu.header import BLOCK, Rotations, _of_many, _of_one, header
from llmpy.graph.rope import Rope

N_CTX = 5 * PAGE_TOKENS
FACTORS = np.linspace(1, 3, 4, dtype=np.float32)
TABLES = [
    (Rope(n_dims=8, base=10000.0), None),
    (Rope(n_dims=8, base=500.0, growth=0.1, growth_every=50), FACTORS),
]


class Cache(NamedTuple):
    """The KV cache of a sequence."""

    page_table: NDArray[np.uint64]
    window_table: NDArray[np.uint64]
    n_pages: int
    state: int


def cache(n_pages: int, state: int) -> Cache:
    pages = np.arange(10, 10 + N_CTX // PAGE_TOKENS, dtype=np.uint64)
    return Cache(pages, pages + 100, n_pages, state)


def batch(token: int, position: int, session: int, outputs: list[int]) -> Batch:
    return Batch(*(np.array(v, np.int32) for v in ([token], [position], [session], outputs)))


@given(
    st.integers(0, 99), st.integers(0, N_CTX - 1), st.integers(0, 1), st.sampled_from([[], [0]]),
    st.integers(0, 2), st.booleans(), st.booleans(), st.integers(0, 15),
)  # fmt: skip
def test_the_header_of_one_token(
    token: int, position: int, session: int, outputs: list[int], n_tables: int, has_pages: bool,
    has_windows: bool, slot: int,
) -> None:  # fmt: skip
    caches, rotations = [cache(5, 3), cache(5, 4)], Rotations(TABLES[:n_tables])
    given_ = batch(token, position, session, outputs), caches, rotations
    options = has_pages, has_pages and has_windows, slot
    found = header(*given_, *options)
    assert found.dtype == np.uint32
    np.testing.assert_array_equal(found, _of_one(*given_, *options))
    np.testing.assert_array_equal(found, _of_many(*given_, *options))


def test_rotations_of_one_position_are_those_of_many() -> None:
    one, at = Rotations(TABLES), np.arange(2 * BLOCK + 3, dtype=np.int32)
    whole = Rotations(TABLES).of(at).reshape(2, len(at), 8)
    for i in (*at.tolist(), 5, 2 * BLOCK):
        np.testing.assert_array_equal(one.of(at[i : i + 1]).reshape(2, 8), whole[:, i])
