"""A process that is killed while it saves leaves the old file or the new one, and no other."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

import llmpy

TEXTS = ("Once upon a time", "A dog and a cat")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")


def save_until_killed(sessions: list[llmpy.Session], path: Path) -> None:
    """In a child of its own; never returns."""
    try:
        while True:
            for session in sessions:
                session.save(path)
    finally:
        os._exit(1)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize(
    "n_kills", [20, pytest.param(200, marks=pytest.mark.full)], ids=["some", "many"]
)
def test_the_old_file_or_the_new_one_is_there(
    fast_stories: llmpy.Model, tmp_path: Path, n_kills: int
) -> None:
    path = tmp_path / "saved"
    sessions = [fast_stories.session(seed=1) for _ in TEXTS]
    for session, text in zip(sessions, TEXTS, strict=True):
        session.infer(text, max_tokens=200)
    sessions[0].save(path)
    saved, moments = set(), random.Random(5)
    for i in range(n_kills):
        child = os.fork()
        if not child:
            save_until_killed(sessions[:: 1 if i % 2 else -1], path)
        time.sleep(moments.uniform(0.001, 0.08))
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        with fast_stories.load_session(path) as loaded:
            saved.add(tuple(loaded.tokens))
    assert saved <= {tuple(session.tokens) for session in sessions}
    assert len(saved) == 2, "no save was ever finished between two kills"
    left = [p for p in tmp_path.iterdir() if p != path]
    assert len(left) <= n_kills // 10, "files of killed saves pile up"
