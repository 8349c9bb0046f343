"""Whether a constraint accepts a text, asked token by token, as generation asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice, permutations, product
from typing import Any

import numpy as np

from llmpy.constraints import Constraint, begin
from llmpy.engine.history import History
from llmpy.errors import ConstraintError
from llmpy.tokenizer import Tokenizer

MOST_FORMS = 200


def accepts(constraint: Constraint, text: str, tokenizer: Tokenizer) -> bool:
    """Whether each token of `text` is allowed where it comes, and the end after the last."""
    state = begin(constraint, tokenizer)
    tokens = History()
    for token in tokenizer.encode(text, start=False):
        try:
            logits = state.allowed(tokens, np.zeros(tokenizer.n_embedded, np.float32))
        except ConstraintError:
            return False
        if logits[token] != 0.0:
            return False
        tokens.add(token)
    return state.is_accepting(tokens)


def accepts_value(constraint: Constraint, value: Any, tokenizer: Tokenizer) -> bool:
    """Whether it accepts a value, with the properties of its objects in some order."""
    return any(accepts(constraint, text, tokenizer) for text in islice(forms(value), MOST_FORMS))


def forms(value: Any) -> Iterator[str]:
    """The value as JSON on one line, with the properties of its objects in each order."""
    if isinstance(value, list):
        for items in product(*(list(islice(forms(item), MOST_FORMS)) for item in value)):
            yield "[" + ", ".join(items) + "]"
    elif isinstance(value, dict):
        for names in permutations(value):
            parts = [list(islice(forms(value[name]), MOST_FORMS)) for name in names]
            for items in product(*parts):
                pairs = zip(names, items, strict=True)
                yield "{" + ", ".join(f"{_text(name)}: {item}" for name, item in pairs) + "}"
    elif isinstance(value, float) and value.is_integer():
        yield str(int(value))
    else:
        yield _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
