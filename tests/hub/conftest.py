"""A server, an empty folder for models, and no waiting."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmpy.hub import neighbours, transfer, web
from tests.hub.server import Site, serving


@pytest.fixture
def site() -> Iterator[Site]:
    """A server of files."""
    with serving() as found:
        yield found


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without models, of any program."""
    monkeypatch.setenv("LLMPY_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    monkeypatch.setattr(neighbours, "_home", lambda: tmp_path / "home")
    monkeypatch.delenv("LLMPY_ALLOW_LICENSES", raising=False)
    return tmp_path


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses and little patience."""
    monkeypatch.setattr(transfer, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(web, "TIMEOUT", 0.5)
    monkeypatch.setattr(web, "PAUSE", 0.001)


@pytest.fixture(scope="session")
def large() -> bytes:
    """Two chunks and a half."""
    return random.Random(1).randbytes(5 * transfer.CHUNK // 2)
