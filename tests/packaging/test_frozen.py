"""Programs frozen by PyInstaller run without Python, in an environment without variables."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from llmpy.frozen import PROCESSES, hook_dirs
from tests.repository import sources

CHAT = """\
import sys
import llmpy

model = llmpy.load(sys.argv[1], n_ctx=512)
print(model.chat(sampler=llmpy.greedy()).ask(sys.argv[2], max_tokens=20))
"""
COMMAND = """\
from llmpy.__main__ import main

main()
"""
MOST_MEGABYTES = 150  # of which symbols of debuggers are 30, and OpenBLAS 28
FOLDER = Path(hook_dirs()[0])
HOOK = FOLDER / "rthooks" / "pyi_rth_llmpy.py"


def test_the_hook_is_where_the_entry_point_says() -> None:
    assert (FOLDER / "hook-llmpy.py").is_file()
    assert HOOK.is_file()


def test_the_hook_knows_all_modules_that_are_run_as_processes() -> None:
    package = sources.ROOT / "src"
    found = {
        ".".join(path.relative_to(package).with_suffix("").parts)
        for path in package.rglob("*.py")
        if re.search(r'"-m", __name__', path.read_text("utf-8"))
    }
    assert found == set(PROCESSES)


@pytest.mark.parametrize("module", PROCESSES)
def test_a_frozen_program_runs_such_a_module_instead(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []
    monkeypatch.setattr(runpy, "run_module", lambda name, **_: ran.append((name, sys.argv)))
    monkeypatch.setattr(sys, "argv", ["program", "-m", module, "title"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(HOOK))
    assert ran == [(module, ["program", "title"])]


@pytest.mark.parametrize("argv", [["-m", "llmpy.gguf"], ["app", "-m", PROCESSES[0]], ["-m"], []])
def test_a_frozen_program_runs_itself_with_other_arguments(
    argv: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["program", *argv])
    runpy.run_path(str(HOOK))
    assert sys.argv == ["program", *argv]


def frozen(folder: Path, name: str, text: str) -> Path:
    """Freeze a program of that text; its size is checked."""
    pytest.importorskip("PyInstaller")
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN"]
    subprocess.run([*command, "--onedir", f"{name}.py"], cwd=folder, check=True)
    made = folder / "dist" / name
    size = sum(p.stat().st_size for p in made.rglob("*") if p.is_file() and not p.is_symlink())
    assert size < MOST_MEGABYTES * 1e6
    return made / (f"{name}.exe" if sys.platform == "win32" else name)


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command `llmpy`, frozen."""
    return frozen(tmp_path_factory.mktemp("command"), "llmpy-program", COMMAND)


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example of a chat, frozen."""
    return frozen(tmp_path_factory.mktemp("chat"), "chat", CHAT)


def test_each_application_with_files_has_a_hook() -> None:
    package = sources.ROOT / "src" / "llmpy" / "apps"
    files = (path.relative_to(package) for path in package.rglob("*") if path.is_file())
    found = {path.parts[0] for path in files if path.suffix not in (".py", ".pyc")}
    hooks = {path.stem.rpartition(".")[2] for path in FOLDER.glob("hook-llmpy.apps.*.py")}
    assert found == hooks


@pytest.mark.full
def test_a_frozen_library_leaves_commands_and_applications_out(chat: Path) -> None:
    inside = {path.relative_to(chat.parent).as_posix() for path in chat.parent.rglob("*")}
    assert any(name.endswith("/llmpy/_native") for name in inside)
    assert not [name for name in inside if re.search("/llmpy/apps|libtcl|/tkinter", name)]


@pytest.mark.full
def test_a_frozen_program_chats(chat: Path, smollm2: Path) -> None:
    arguments = [smollm2, "What is the capital of France?"]
    plain = subprocess.run(
        [sys.executable, chat.parents[2] / "chat.py", *arguments],
        capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    done = subprocess.run(
        [chat, *arguments],
        env={}, cwd="/", capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert done.stdout.strip()
    assert done.stdout == plain.stdout


@pytest.mark.full
def test_a_frozen_command_serves_its_app(command: Path, tmp_path: Path, smollm2: Path) -> None:
    app = [command, "app", "--no-browser", "--port", "0", "--data", tmp_path, "-m", smollm2]
    with subprocess.Popen(app, env={}, cwd="/", stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            lines = iter(process.stderr.readline, "")
            address = next(found[0] for line in lines if (found := re.search(r"http://\S+", line)))
            with urlopen(address) as page:
                assert b"<title>" in page.read()
        finally:
            process.terminate()


@pytest.mark.full
def test_a_frozen_command_knows_what_is_in_it(command: Path) -> None:
    doctor = [command, "doctor", "--json", "--no-measure"]
    done = subprocess.run(doctor, env={}, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["level"] is not None
    assert {"llmpy", "numpy", "tokenizers", "llguidance"} <= found["versions"].keys()
    assert [name for name in found["missing"] if "llmpy[" not in name] == []


@pytest.mark.full
def test_a_frozen_command_runs_its_processes(command: Path) -> None:
    window = [command, "-m", "llmpy.apps.anywhere.window", "title"]
    done = subprocess.run(window, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 1  # there is no screen
    assert re.search("tkinter|display", done.stderr)
