"""Where a file is written: through links, never in the place of a device, and only once checked."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from llmpy.errors import ModelFileError
from llmpy.format import open_gguf, write_gguf


class Fault(Exception):
    """Not one that any code knows."""


def test_a_link_is_written_through(tmp_path: Path):
    (tmp_path / "far").mkdir()
    link, far = tmp_path / "link.gguf", tmp_path / "far" / "m.gguf"
    (tmp_path / "first").symlink_to("far")
    link.symlink_to(Path("first") / "m.gguf")
    for value in (1, 2):  # before the target exists, and when it does
        write_gguf(link, {"a": value}, [])
        assert link.is_symlink()
        with open_gguf(far) as file:
            assert file.metadata["a"] == value
    assert [path.name for path in far.parent.iterdir()] == ["m.gguf"]


@pytest.mark.skipif(os.name != "posix", reason="pipes and sockets with names are of POSIX systems")
@pytest.mark.parametrize("through_a_link", [False, True])
@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "link"])
def test_what_is_no_file_is_not_replaced(tmp_path: Path, monkeypatch, kind, through_a_link):
    monkeypatch.chdir(tmp_path)
    path = Path(kind)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(kind)
    else:
        path.symlink_to(kind)
    before = path.lstat()
    if through_a_link:
        Path("name").symlink_to(kind)
    with pytest.raises(ModelFileError, match=f"output: expected a file.*found a {kind}"):
        write_gguf(Path("name") if through_a_link else path, {}, [])
    assert path.lstat() == before


def test_devices_are_told_from_files(tmp_path: Path, monkeypatch):
    path = tmp_path / "null"
    status = os.stat_result([stat.S_IFCHR | 0o666, *[0] * 9])
    monkeypatch.setattr(Path, "lstat", lambda _: status)
    with pytest.raises(ModelFileError, match="found a device"):
        write_gguf(path, {}, [])


def test_a_file_that_fails_its_check_gets_no_name(tmp_path: Path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"old")

    def check(written: Path) -> None:
        with open_gguf(written) as file:
            assert file.metadata["a"] == 1
        raise Fault

    with pytest.raises(Fault):
        write_gguf(path, {"a": 1}, [], check=check)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
