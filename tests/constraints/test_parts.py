"""Constraints of a part of a text: free text, then JSON by one of several schemas."""

from __future__ import annotations

import pytest

from llmpy.constraints import Constraint, schema_rules
from llmpy.tokenizer import Tokenizer
from tests.constraints.accepting import accepts

CALL = Constraint(
    "\n".join(
        [
            'start: TEXT "<call>" (add | find) "</call>"',
            "TEXT: /[^<]*/",
            schema_rules({"properties": {"n": {"type": "integer"}}, "type": "object"}, "add"),
            schema_rules({"enum": ["here", "there"]}, "find"),
        ]
    ),
    "a call",
)


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ('Let me add.<call>{"n": 3}</call>', True),
        ('<call>"there"</call>', True),
        ('<call>"nowhere"</call>', False),
        ('<call>{"n": "3"}</call>', False),
        ("Let me add.", False),
    ],
)
def test_free_text_then_a_call(text: str, accepted: bool, tokenizer: Tokenizer) -> None:
    assert accepts(CALL, text, tokenizer) == accepted


@pytest.mark.parametrize("name", ["start", "A", "a-b", ""])
def test_names_of_rules(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        schema_rules(True, name)
