"""What is made to cost ends soon in a typed error, or is followed; nothing ends the process."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

import llmpy
from llmpy.constraints import begin, compiling
from llmpy.engine.history import History
from llmpy.tokenizer import Tokenizer
from tests.constraints import hostile

NAMES = [
    (kind, name)
    for kind, names in (
        ("schema", hostile.SCHEMAS),
        ("regex", hostile.REGEXES),
        ("grammar", hostile.GRAMMARS),
    )
    for name in names
]
MEMORY = Path("/proc/self/statm")
MOST_SECONDS = 4.0  # for a machine that does other things too; alone, all of them take 1
MOST_BYTES = 100 << 20


def resident() -> int:
    """Bytes of memory in use."""
    return int(MEMORY.read_text().split()[1]) * 4096 if MEMORY.exists() else 0


@pytest.mark.parametrize(("kind", "name"), NAMES, ids=str)
def test_it_ends_soon(kind: str, name: str, tokenizer: Tokenizer) -> None:
    before, started = resident(), time.perf_counter()
    try:
        state, tokens = begin(hostile.made(kind, name), tokenizer), History()
        random = np.random.default_rng(0)
        for _ in range(20):
            if state.is_complete(tokens):
                break
            if forced := state.forced(tokens):
                state.take_forced(forced[0])
                tokens.add(forced[0])
                continue
            noise = random.standard_normal(tokenizer.n_embedded).astype(np.float32)
            token = int(state.allowed(tokens, noise).argmax())
            if token in tokenizer.end_ids:
                break
            tokens.add(token)
    except llmpy.ConstraintError:
        pass
    assert time.perf_counter() - started < MOST_SECONDS
    assert resident() - before < MOST_BYTES


def test_a_compilation_that_goes_on_is_an_error(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "SECONDS", 0.05)
    monkeypatch.setattr(compiling, "_attempt", lambda *_: time.sleep(0.5))
    with pytest.raises(llmpy.ConstraintError, match=r"takes more than 0\.05 s"):
        begin(llmpy.regex("[0-9]{7}x"), tokenizer)


def test_a_panic_of_native_code_is_a_typed_error(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        pass

    def panics(*_: object, **__: object) -> None:
        raise Panic("out of nothing")

    monkeypatch.setattr("llguidance.LLMatcher.grammar_from_lark", panics, raising=True)
    with pytest.raises(llmpy.ConstraintError, match="out of nothing"):
        begin(llmpy.regex("[0-9]{8}x"), tokenizer)
