"""Requests at random, from what each path takes: nothing that is sent makes the server fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmpy.server.description import REQUESTS
from tests.server.conftest import Running, serving

TEXTS = st.one_of(
    st.text(max_size=20), st.sampled_from(["user", "tiny", "json_schema", "text", "<|im_end|>"])
)
NUMBERS = st.one_of(st.integers(-3, 70), st.integers(), st.floats(allow_nan=False))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool"])},
        optional={
            "content": st.one_of(
                TEXTS, st.lists(st.fixed_dictionaries({"type": TEXTS, "text": TEXTS}), max_size=2)
            ),
            "tool_calls": JSON,
            "tool_call_id": TEXTS,
        },
    ),
    max_size=4,
)
KNOWN: dict[str, Any] = {
    "model": st.just("tiny"),
    "messages": MESSAGES,
    "input": st.one_of(TEXTS, st.lists(TEXTS, max_size=3), MESSAGES),
    "prompt": st.one_of(TEXTS, st.lists(TEXTS, max_size=3), st.lists(st.integers(0, 600))),
    "content": TEXTS,
    "tokens": st.lists(st.integers(-1, 600), max_size=5),
    "max_tokens": st.integers(0, 9),
    "n": st.integers(0, 3),
    "query": TEXTS,
    "documents": st.lists(TEXTS, max_size=3),
}
LEAVE = "keep_alive"  # which would unload the model, and load it for each request


@pytest.fixture(scope="module")
def tiny(stories: Path) -> Iterator[Running]:
    with serving(f"tiny={stories}", template="chatml", n_ctx=48) as running:
        yield running


def requests(path: str) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with the fields of a path's request, sensible ones or not."""
    names = [name for name in REQUESTS[path].__struct_fields__ if name != LEAVE]
    fields = {name: KNOWN.get(name, JSON) for name in names}
    wild = st.dictionaries(st.sampled_from(names), JSON, max_size=4)
    return st.one_of(st.fixed_dictionaries({}, optional=fields), wild)


@pytest.mark.parametrize("path", REQUESTS)
def test_no_request_makes_the_server_fail(tiny: Running, path: str) -> None:
    @settings(
        max_examples=25,
        suppress_health_check=list(HealthCheck),
    )
    @given(requests(path))
    def ask(body: dict[str, Any]) -> None:
        answer = tiny.post(path, body)
        assert answer.status in (200, 400, 404), answer.body[:300]
        if answer.status != 200:
            assert answer.json["error"]

    ask()
    assert tiny.ask("GET", "/health").status == 200
