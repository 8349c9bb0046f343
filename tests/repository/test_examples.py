"""The examples run, and the README's commands and lines of Python do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import llmpy
from llmpy.hub.catalogue import CATALOGUE
from tests.repository import sources

STORIES = "weights/stories260K/stories260K.gguf"
EXAMPLES = sorted((sources.ROOT / "examples").glob("*.py"))
README = (sources.ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.S)
CHAT_PAGES = (  # need an instruct model
    "docs/chat.md",
    "docs/coming-from.md",
    "docs/pull.md",
    "docs/sampling.md",
    "docs/sessions.md",
    "docs/tools.md",
    "docs/typed.md",
)
CHAT_BLOCKS = [
    (page, kind, code)
    for page in CHAT_PAGES
    for kind, code in re.findall(
        r"```(python|sh)\n(.*?)```", (sources.ROOT / page).read_text(encoding="utf-8"), re.S
    )
]
COMMANDS = [line for kind, code in BLOCKS if kind == "sh" for line in code.splitlines() if line]
PYTHON = [code for kind, code in BLOCKS if kind == "python"]
INSTALLS = ("python -m pip install ", "python -m pytest", "git ")


def run(arguments: list[str] | str) -> str:
    """Standard output of a command run from the project's root."""
    done = subprocess.run(
        arguments,
        cwd=sources.ROOT,
        shell=isinstance(arguments, str),
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def pulled(smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for models with the files of smollm2, where a pull leaves them and finds them."""
    weights = CATALOGUE[0].files[smollm2.name]
    folder = tmp_path / f"{smollm2.stem}-{weights[:12]}"
    folder.mkdir()
    (folder / smollm2.name).symlink_to(smollm2)
    monkeypatch.setenv("LLMPY_MODELS", str(tmp_path))
    llmpy.pull("smollm2")
    return tmp_path


@pytest.mark.parametrize("path", EXAMPLES, ids=sources.name)
def test_an_example_runs(path: Path, shared_data: Callable[[str], Path]) -> None:
    assert run([sys.executable, str(path), str(shared_data(STORIES))]).strip()


def test_the_readme_begins_with_the_commands_of_a_new_user() -> None:
    top = README.split("\n## ")[0]
    commands = [
        line for code in re.findall(r"```sh\n(.*?)```", top, re.S) for line in code.split("\n")
    ]
    install, pull, chat = [line for line in commands if line]
    assert install == 'python -m pip install . && llmpy dates "c. 450–438 BC"'
    assert pull == "llmpy pull smollm2"
    assert chat.startswith("llmpy chat smollm2 ")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_runs(
    command: str, shared_data: Callable[[str], Path], request: pytest.FixtureRequest
) -> None:
    instruct = "llmpy chat" in command
    model = str(request.getfixturevalue("smollm2") if instruct else shared_data(STORIES))
    python = f'"{sys.executable}"'
    if "smollm2" in command:
        request.getfixturevalue("pulled")
    parts = [p for p in command.split(" && ") if not p.startswith(INSTALLS)]
    for part in parts:
        line = re.sub(r"\bllmpy (?=[a-z-])", lambda _: f"{python} -m llmpy ", part)
        line = re.sub(r"(llmpy chat .*)", r"\1 --seed 1", line)  # by chance it may never end
        line = re.sub(r"^python ", lambda _: f"{python} ", line)
        assert run(line.replace("MODEL.gguf", f'"{model}"')).strip()


@pytest.mark.parametrize("code", PYTHON)
def test_the_readmes_python_runs(
    code: str, shared_data: Callable[[str], Path], request: pytest.FixtureRequest
) -> None:
    instruct = "model.chat" in code
    if "smollm2" in code:
        request.getfixturevalue("pulled")
    else:
        assert "MODEL.gguf" in code
    model = request.getfixturevalue("smollm2") if instruct else shared_data(STORIES)
    assert run([sys.executable, "-c", code.replace('"MODEL.gguf"', repr(str(model)))])


@pytest.mark.parametrize(("page", "kind", "code"), CHAT_BLOCKS)
@pytest.mark.filterwarnings("ignore::llmpy.ContextWarning")
def test_an_example_of_a_page_about_chats_runs(
    page: str, kind: str, code: str, smollm2: Path, request: pytest.FixtureRequest
) -> None:
    if page == "docs/pull.md":
        request.getfixturevalue("pulled")
    else:
        assert "MODEL.gguf" in code, page
    model, python = str(smollm2), f'"{sys.executable}"'
    if kind == "python":
        assert run([sys.executable, "-c", code.replace('"MODEL.gguf"', repr(model))]).strip()
        return
    for line in code.splitlines():
        line = re.sub(r"^llmpy ", lambda _: f"{python} -m llmpy ", line)
        line = re.sub(r"(llmpy chat .*)", r"\1 --seed 1", line)  # by chance it may never end
        assert run(line.replace("MODEL.gguf", f'"{model}"')).strip()
