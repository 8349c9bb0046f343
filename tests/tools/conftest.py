"""Templates of real models, and a tokenizer that has the control tokens of all of them."""

from __future__ import annotations

from tests.chat.conftest import all_tokens, controls, templates

__all__ = ["all_tokens", "controls", "templates"]
