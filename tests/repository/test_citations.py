"""What prose cites is there: paths exist, and files have the names for which they are cited."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

from tests.repository import sources

BASES = [sources.ROOT / base for base in (".", "src", "src/llmpy", "native", "native/include")]
BASES += [sources.ROOT / base for base in ("native/include/llmpy", "native/src", "docs")]
FILE = r"[\w-]+\.(?:py|h|cpp|inl|md|svg)"
PATH = re.compile(rf"(?<![\w/.:-])((?:[\w-]+/)+{FILE})\b")
SYMBOL = re.compile(rf"`(\w+)` (?:in|of) `?((?:[\w-]+/)*{FILE})\b")
OTHERS = {"docs/gguf.md", "src/llama-vocab.cpp", "llama.cpp", "rwkv.cpp"}  # of other projects
TEMPLATES = {"src/llmpy/arch/NAME.py"}
FILES = [p for p in sources.project_files() if p.name != "LOG.md"]  # which tells of the past


def prose(path: Path) -> str:
    """The text of a page; of code, its comments and docstrings."""
    text = path.read_text(encoding="utf-8")
    if path.suffix in (".h", ".cpp", ".inl"):
        return "\n".join(re.findall(r"//(.*)", text))
    if path.suffix != ".py":
        return text
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join(
        token.string
        for token in tokens
        if token.type == tokenize.COMMENT or token.string.startswith('"""')
    )


def found(cited: str, citing: Path) -> list[Path]:
    """The files that a path in prose may mean."""
    near = [base / cited for base in (*BASES, citing.parent)]
    if "/" not in cited:
        near += [p for p in FILES if p.name == cited]
    return [path for path in near if path.is_file()]


@pytest.mark.parametrize("path", FILES, ids=sources.name)
def test_a_cited_path_exists(path: Path) -> None:
    cited = set(PATH.findall(prose(path))) - OTHERS - TEMPLATES
    assert {c for c in cited if not found(c, path)} == set()


@pytest.mark.parametrize("path", FILES, ids=sources.name)
def test_a_file_has_the_name_that_it_is_cited_for(path: Path) -> None:
    wrong = {
        (name, cited)
        for name, cited in SYMBOL.findall(prose(path))
        if cited not in OTHERS
        and not any(
            re.search(rf"\b{name}\b", file.read_text("utf-8")) for file in found(cited, path)
        )
    }
    assert wrong == set()
