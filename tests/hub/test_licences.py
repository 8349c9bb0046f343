"""Licences that are allowed, by a call or by the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import llmpy
from llmpy import LicenseRefused
from llmpy.hub.licences import allowed_licenses, check_license, plain_license


@pytest.mark.parametrize(
    ("given", "variable", "expected"),
    [
        (None, None, None),
        (None, "", set()),
        (None, "MIT, Apache-2.0,", {"mit", "apache-2.0"}),
        ([], "mit", set()),
        (["BSD"], "mit", {"bsd"}),
        (iter(("a", " ")), None, {"a"}),
    ],
)
def test_a_call_goes_before_the_environment(
    monkeypatch: pytest.MonkeyPatch, given: Any, variable: str | None, expected: set[str] | None
) -> None:
    if variable is not None:
        monkeypatch.setenv("LLMPY_ALLOW_LICENSES", variable)
    assert allowed_licenses(given) == expected


@pytest.mark.parametrize("given", ["mit", [5], [b"mit"]])
def test_what_is_no_list_of_licences_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match="allow_licenses"):
        allowed_licenses(given)


def test_no_licence_is_unknown() -> None:
    check_license("x", None, None)
    check_license("x", None, frozenset({"unknown"}))
    with pytest.raises(LicenseRefused, match="x: its licence is unknown"):
        check_license("x", None, frozenset({"mit"}))


@pytest.mark.parametrize(
    ("found", "plain"),
    [(None, None), ("", None), (5, None), (["mit", "x"], "mit, x"), ("a\n b\x1b", "a b\ufffd")],
)
def test_a_licence_is_one_short_line(found: object, plain: str | None) -> None:
    assert plain_license(found) == plain


def test_loading_a_file_looks_at_what_it_says(
    smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llmpy.load(smollm2, n_ctx=64, allow_licenses=["apache-2.0"]).close()
    monkeypatch.setenv("LLMPY_ALLOW_LICENSES", "mit")
    with pytest.raises(LicenseRefused, match=r"apache-2\.0; allowed .*: mit"):
        llmpy.load(smollm2, n_ctx=64)
    llmpy.load(smollm2, n_ctx=64, allow_licenses=["Apache-2.0"]).close()
