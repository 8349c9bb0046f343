"""docs/app-rules.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[2]
PAGE = TESTS.parent / "docs" / "app-rules.md"


def test_each_rule_names_tests_that_exist() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    rules = [row for row in rows if not re.match(r"\| (rule|convention) \|", row)]
    missing = []
    for rule in rules:
        named = re.findall(r"`([\w/]+)::(\w+)`", rule)
        assert named, rule
        for file, test in named:
            folder = TESTS if file.startswith("server/") else Path(__file__).parent
            path = folder / f"{file}.py"
            if not path.exists() or f"def {test}(" not in path.read_text("utf-8"):
                missing.append(f"{file}::{test}")
    assert missing == []
    assert rules
