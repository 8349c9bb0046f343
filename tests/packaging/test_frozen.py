"""A program frozen by PyInstaller runs without Python, in an environment without variables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llmpy.frozen import hook_dirs

CHAT = """\
import sys
import llmpy

model = llmpy.load(sys.argv[1], n_ctx=512)
print(model.chat(sampler=llmpy.greedy()).ask(sys.argv[2], max_tokens=20))
"""
MOST_MEGABYTES = 145  # of which debuggers' symbols are 30, and OpenBLAS 28


def test_the_hook_is_where_the_entry_point_says() -> None:
    (folder,) = hook_dirs()
    assert (Path(folder) / "hook-llmpy.py").is_file()


@pytest.mark.full
def test_a_frozen_program_chats(tmp_path: Path, smollm2: Path) -> None:
    pytest.importorskip("PyInstaller")
    (tmp_path / "chat.py").write_text(CHAT, encoding="utf-8")
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN"]
    subprocess.run([*command, "--onedir", "chat.py"], cwd=tmp_path, check=True)
    folder = tmp_path / "dist" / "chat"
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    assert size < MOST_MEGABYTES * 1e6
    program = folder / ("chat.exe" if sys.platform == "win32" else "chat")
    question = "What is the capital of France?"
    done = subprocess.run(
        [program, smollm2, question], env={}, cwd="/", capture_output=True, text=True, check=True
    )
    assert "Paris" in done.stdout
