"""Wheels: their names, files and bytes; heavy tests build them and install one."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from llmpy import ffi
from llmpy.ffi.abi import FUNCTIONS
from tests.repository import sources
from tools import binaries, build_wheels

STORIES = "weights/stories260K/stories260K.gguf"


@pytest.fixture(scope="module")
def pure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel without native code."""
    pytest.importorskip("scikit_build_core", reason="builds a wheel")
    return build(tmp_path_factory.mktemp("pure"))


def build(folder: Path) -> Path:
    """In a process of its own: the build backend sets up logging."""
    code = (
        "import os, sys; from pathlib import Path; from tools import build_wheels as b;"
        "os.environ['SOURCE_DATE_EPOCH'] = '1700000000'; print(b.build_pure(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, cwd=sources.ROOT, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def files(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name[-1] != "/"}


def record(found: dict[str, bytes]) -> str:
    return next(name for name in found if name.endswith(".dist-info/RECORD"))


@pytest.mark.parametrize("name", build_wheels.TARGETS)
def test_tags_are_those_of_installers(name: str) -> None:
    utils = pytest.importorskip("packaging.utils")
    target = build_wheels.TARGETS[name]
    *_, tags = utils.parse_wheel_filename(f"llmpy-0.1.0-py3-none-{target.tag}.whl")
    assert {str(tag) for tag in tags} == {f"py3-none-{tag}" for tag in target.tag.split(".")}


def test_a_wheel_of_this_platform_is_taken_by_its_installer() -> None:
    tags = pytest.importorskip("packaging.tags")
    ours = {f"py3-none-{tag}" for t in build_wheels.TARGETS.values() for tag in t.tag.split(".")}
    assert ours & {str(tag) for tag in tags.sys_tags()}


def test_the_wheel_has_the_package_and_nothing_else(pure: Path) -> None:
    package = [p for p in (sources.ROOT / "src" / "llmpy").rglob("*") if p.is_file()]
    names = {p.relative_to(sources.ROOT / "src").as_posix() for p in package}
    wanted = {name for name in names if "/__pycache__/" not in name}
    assert {name for name in files(pure) if ".dist-info/" not in name} == wanted


def test_built_twice_equal_bytes(pure: Path, tmp_path: Path) -> None:
    assert build(tmp_path).read_bytes() == pure.read_bytes()


def test_a_platforms_wheel_adds_the_library(
    pure: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    target = build_wheels.TARGETS["windows-arm64"]
    library = tmp_path / "llmpy.dll"
    library.write_bytes(b"a library")
    wheel = build_wheels.with_library(pure, target, library, tmp_path)
    first = wheel.read_bytes()
    build_wheels.with_library(pure, target, library, tmp_path)
    assert wheel.read_bytes() == first
    assert wheel.name == "llmpy-0.1.0-py3-none-win_arm64.whl"
    found, before = files(wheel), files(pure)
    assert found.keys() - before.keys() == {"llmpy/_native/llmpy.dll"}
    assert found["llmpy/_native/llmpy.dll"] == b"a library"
    info = found["llmpy-0.1.0.dist-info/WHEEL"].decode()
    assert "Root-Is-Purelib: false\nTag: py3-none-win_arm64\n" in info
    assert "any" not in info


def test_the_record_has_the_hash_of_every_file(pure: Path, tmp_path: Path) -> None:
    target = build_wheels.TARGETS["macos-arm64"]
    library = tmp_path / target.library
    library.write_bytes(b"a library")
    found = files(build_wheels.with_library(pure, target, library, tmp_path))
    rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(found[record(found)].decode()))}
    assert rows.keys() == found.keys()
    for name, data in found.items():
        if name != record(found):
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert rows[name] == [f"sha256={digest}", str(len(data))]


@pytest.mark.skipif(not ffi.available(), reason="reads the compiled library")
def test_the_library_exports_what_python_calls() -> None:
    assert binaries.read(ffi.library_path()).exports == set(FUNCTIONS)


@pytest.mark.skipif(not ffi.available(), reason="reads the compiled library")
def test_a_library_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = ffi.library_path()
    target = build_wheels.TARGETS["manylinux-x86_64"]
    size = library.stat().st_size
    for most in (size, size - 1):
        monkeypatch.setattr(build_wheels, "MOST_LIBRARY", most)
        faults = [f for f in build_wheels.check(target, library, tmp_path) if "bytes" in f]
        assert faults == [f"bytes at most: expected {most}, found {size}"] * (most < size)


def test_what_is_no_library_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "library.so"
    path.write_bytes(b"not a library at all")
    with pytest.raises(ValueError, match=r"library\.so: expected ELF, Mach-O or PE"):
        binaries.read(path)


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiles a line of C++")
@pytest.mark.skipif(sys.platform != "linux", reason="reads ELF")
def test_functions_that_the_linker_may_replace_are_found(tmp_path: Path) -> None:
    source, made = tmp_path / "a.cpp", tmp_path / "a.o"
    source.write_text(
        "inline int shared(int x) { return x; }\n"
        "static int own(int x) { return x + 1; }\n"
        "int f(int x) { return shared(x) + own(x); }\n"
    )
    subprocess.run(["g++", "-O0", "-c", source, "-o", made], check=True)
    assert binaries.shared_functions(made) == {"_Z6sharedi"}


def wheel_of(name: str, folder: Path) -> Path:
    """Build the wheel of a platform; build_wheels.py checks its library."""
    for package in ("ziglang", "scikit_build_core", "cmake", "ninja"):
        pytest.importorskip(package)
    command = [sys.executable, "tools/build_wheels.py", name, "--into", str(folder)]
    command += ["--work", str(folder.parent / "work")]
    subprocess.run(command, cwd=sources.ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="cross-compiles from Linux")
@pytest.mark.parametrize("name", build_wheels.TARGETS)
def test_each_platform_is_built(name: str, tmp_path: Path) -> None:
    wheel_of(name, tmp_path / "wheels")


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="installs the wheel of Linux")
def test_the_wheel_runs_without_a_compiler(
    tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    wheel = wheel_of(f"manylinux-{os.uname().machine}", tmp_path / "wheels")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    bare = {key: os.environ[key] for key in os.environ if key.startswith("PIP_")}
    subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], env=bare, check=True)
    infer = [python, "-m", "llmpy", "infer", "-m", shared_data(STORIES), "-p", "Once upon a time"]
    done = subprocess.run([*infer, "-n", "5"], env={}, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Once upon a time")
    assert "reference" not in done.stderr
