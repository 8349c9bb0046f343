"""Templates of real models render as in transformers, byte for byte."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from llmpy.chat import ChatTemplate, sandbox
from llmpy.errors import TemplateError
from llmpy.tokenizer import Tokenizer
from tests.chat.conversations import CASES

GOLDENS: dict[str, dict[str, str | None]] = json.loads(
    (Path(__file__).parent / "goldens.json").read_text(encoding="utf-8")
)["rendered"]


class Then(datetime):
    """The clock of the goldens."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # noqa: ARG003
        return datetime(2026, 2, 3, 14, 5, 6)


@pytest.mark.parametrize("name", GOLDENS)
def test_a_template_renders_as_in_transformers(
    name: str,
    templates: dict[str, str],
    plain_tokenizer: Tokenizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sandbox, "datetime", Then)
    template = ChatTemplate(templates[name], plain_tokenizer)
    different = []
    for case, golden in GOLDENS[name].items():
        if golden is None:  # transformers raises; we may do better, but in our own type of error
            try:
                template.render(**CASES[case])
            except (TemplateError, ValueError):
                continue
        elif hashlib.sha256(template.render(**CASES[case]).encode()).hexdigest() != golden:
            different.append(case)
    assert different == []


def test_every_template_has_goldens_and_most_cases_render(templates: dict[str, str]) -> None:
    assert GOLDENS.keys() == templates.keys()
    rendered = [digest for cases in GOLDENS.values() for digest in cases.values()]
    assert len(rendered) == len(templates) * len(CASES)
    assert sum(digest is not None for digest in rendered) > 0.9 * len(rendered)
