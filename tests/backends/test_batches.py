"""Checks of batches of one token, which have a way of their own, are those of any batch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmpy.backends.base import PAGE_TOKENS, Batch
from llmpy.backends.batches import BatchCheck
from llmpy.backends.reference.backend import ReferenceBackend
from tests.ops.harness import N_CTX, Model, random
from tests.ops.test_attention import any_kind

N_ROWS = 50
X = random(1, N_ROWS, 4 * 16 + 2 * 28)
TRACES: dict[str, Any] = {
    "plain": lambda x, _: x + x,
    "pages": any_kind(4, 2, 16, 12),
    "states": lambda x, _: x.previous(),
    "whole": any_kind(4, 2, 16, 12, causal=False),
}


class Cache(NamedTuple):
    """What checks read of a KV cache."""

    n_pages: int
    state: int


def check(name: str) -> BatchCheck:
    found: BatchCheck = Model(ReferenceBackend(), X, TRACES[name]).plan._check
    return found


CHECKS = {name: check(name) for name in TRACES}
NUMBERS = {
    "tokens": st.integers(-1, N_ROWS),
    "positions": st.one_of(st.just(0), st.integers(-1, N_CTX)),
    "sessions": st.integers(-1, 2),
    "output_rows": st.integers(-1, 1),
}


@pytest.mark.parametrize("name", TRACES)
@given(
    st.fixed_dictionaries({k: st.lists(v, min_size=1, max_size=1) for k, v in NUMBERS.items()}),
    st.lists(st.builds(Cache, st.integers(0, -(-N_CTX // PAGE_TOKENS)), st.integers(0, 2))),
    st.sampled_from([None, *NUMBERS]),
)
def test_one_token_is_refused_where_any_batch_would_be(
    name: str, columns: dict[str, list[int]], caches: list[Any], emptied: str | None
) -> None:
    if emptied not in (None, "tokens"):
        columns = {**columns, emptied: []}
    batch = Batch(*(np.array(column, np.int32) for column in map(columns.__getitem__, NUMBERS)))
    fits = CHECKS[name]._one_fits(batch, caches)
    try:
        CHECKS[name]._check_all(batch, caches)
    except ValueError:
        assert not fits
        with pytest.raises(ValueError, match="batch: "):
            CHECKS[name](batch, caches)
    else:
        assert fits
