"""The JSON Schema test suite: what is not refused accepts exactly what is valid, token by token."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmpy import ConstraintError, json_schema
from llmpy.constraints import begin
from llmpy.tokenizer import Tokenizer
from tests.constraints.accepting import accepts_value

SUITE = "jsonschema/draft2020-12"
OPTIONAL = ("ecmascript-regex", "non-bmp-regex", "bignum", "anchor", "id", "unknownKeyword")
FORMATS = (
    "date",
    "date-time",
    "time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
    "uri",
)
CLAIMED = 0.88  # of the cases


def cases(path: Path) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return groups


def verdicts(
    group: dict[str, Any], tokenizer: Tokenizer, *, formats: bool = False
) -> list[tuple[str, bool, bool]] | None:
    """Description, acceptance and validity of each case; None where the schema is refused."""
    try:
        constraint = json_schema(group["schema"], assert_formats=formats)
        begin(constraint, tokenizer)
    except ConstraintError as error:
        if "no value is valid" in str(error):
            return [(t["description"], False, t["valid"]) for t in group["tests"]]
        return None
    return [
        (t["description"], accepts_value(constraint, t["data"], tokenizer), t["valid"])
        for t in group["tests"]
    ]


def test_acceptance_is_validity_for_most_of_the_suite(
    shared_data: Callable[[str], Path], tokenizer: Tokenizer
) -> None:
    n_claimed = n_all = 0
    wrong = []
    for path in sorted(shared_data(SUITE).glob("*.json")):
        for group in cases(path):
            n_all += len(group["tests"])
            found = verdicts(group, tokenizer)
            n_claimed += len(found or ())
            wrong += [
                (path.stem, group["description"], case)
                for case, accepted, valid in found or ()
                if accepted != valid
            ]
    assert wrong == []
    assert n_claimed >= CLAIMED * n_all


@pytest.mark.parametrize("name", OPTIONAL)
def test_acceptance_is_validity_in_optional_parts(
    name: str, shared_data: Callable[[str], Path], tokenizer: Tokenizer
) -> None:
    for group in cases(shared_data(f"{SUITE}/optional/{name}.json")):
        for case, accepted, valid in verdicts(group, tokenizer) or ():
            assert accepted == valid, (group["description"], case)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_that_is_checked_accepts_nothing_invalid(
    name: str, shared_data: Callable[[str], Path], tokenizer: Tokenizer
) -> None:
    n_accepted = 0
    for group in cases(shared_data(f"{SUITE}/optional/format/{name}.json")):
        found = verdicts(group, tokenizer, formats=True)
        assert found is not None
        assert [case for case, accepted, valid in found if accepted and not valid] == []
        n_accepted += sum(accepted for _, accepted, _ in found)
    assert n_accepted > 6  # which is the number of values that are no strings
