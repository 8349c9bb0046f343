"""Finding and loading the compiled library."""

from __future__ import annotations

import sys

import pytest

from llmpy.errors import BackendError
from llmpy.ffi import load


@pytest.fixture
def fresh(monkeypatch):
    """`library()` as on its first call, and forgotten again afterwards."""
    monkeypatch.setattr(load, "library", load.functools.cache(load.library.__wrapped__))
    return monkeypatch


def test_a_missing_library_says_where_and_what_to_do(fresh, tmp_path):
    fresh.setenv("LLMPY_LIBRARY", str(tmp_path / "none.so"))
    assert not load.available()
    with pytest.raises(BackendError, match=r'none\.so, found no such file.*backend="reference"'):
        load.library()


def test_a_file_that_is_no_library_is_refused(fresh, tmp_path):
    path = tmp_path / "text.so"
    path.write_text("not a library")
    fresh.setenv("LLMPY_LIBRARY", str(path))
    with pytest.raises(BackendError, match=r"text\.so cannot be loaded"):
        load.library()


@pytest.mark.usefixtures("compiled")
def test_another_interface_is_refused(fresh):
    fresh.setattr(load, "ABI_VERSION", 99)
    with pytest.raises(BackendError, match=r"expected interface 99, found \d+"):
        load.library()


@pytest.mark.parametrize(
    ("platform", "name"),
    [("linux", "libllmpy.so"), ("darwin", "libllmpy.dylib"), ("win32", "llmpy.dll")],
)
def test_the_wheels_library_lies_in_the_package(monkeypatch, platform, name):
    monkeypatch.delenv("LLMPY_LIBRARY", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    path = load.library_path()
    assert (path.parent.name, path.name) == ("_native", name)


@pytest.mark.usefixtures("compiled")
def test_the_library_is_loaded_once():
    assert load.library() is load.library()
