"""`llmpy doctor`."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.cli.conftest import Result


def test_it_says_what_is_here_and_what_to_do(run: Callable[..., Result]) -> None:
    result = run("doctor", "--no-measure")
    assert result.code == 0
    for row in ("versions", "processor", "instructions", "backends", "models"):
        assert f"\n{row}" in f"\n{result.out}"


def test_json_has_all_facts(run: Callable[..., Result]) -> None:
    found = json.loads(run("doctor", "--no-measure", "--json").out)
    assert found["processors"] >= 1
    assert found["versions"]["Python"]
    assert isinstance(found["weaknesses"], list)
