"""The names of a user's models: entered whole, shown whole, removed with their bytes."""

from __future__ import annotations

import json
import shutil
import threading
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

import llmpy
from llmpy import ModelNotFound, PullError
from llmpy.hub import store as store_module
from llmpy.hub.store import Store, StoredFile, StoredModel
from tests.hub.server import Site
from tests.threads import finish


def entered(name: str, data: bytes = b"data", **more: Any) -> StoredModel:
    """A model with one file in the store."""
    store = Store()
    path = store.folder / f"{name.replace('/', '-').replace(':', '-')}" / "model.gguf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    file = StoredFile(path, len(data))
    return store.put(
        StoredModel(name, path, f"source-{name}", more.pop("license", None), (file,), **more)
    )


def names() -> list[str]:
    return [model.name for model in llmpy.models()]


def test_a_machine_without_models_has_none() -> None:
    assert llmpy.models() == []
    assert llmpy.default_model() is None
    assert not Store().folder.exists()


def test_a_model_is_found_by_its_name_in_any_case() -> None:
    model = entered("Small:Q4")
    for name in ("Small:Q4", "small:q4", "SMALL", "source-Small:Q4"):
        assert llmpy.find_model(name) == model


def test_the_folder_for_models_can_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered("a")
    shutil.move(tmp_path / "models", tmp_path / "moved")
    monkeypatch.setenv("LLMPY_MODELS", str(tmp_path / "moved"))
    assert llmpy.find_model("a").path.read_bytes() == b"data"


@pytest.mark.parametrize("size", [None, 0, 3, 5])
def test_a_file_that_is_gone_or_of_another_size_is_not_listed(size: int | None) -> None:
    model = entered("a")
    if size is None:
        model.path.unlink()
    else:
        model.path.write_bytes(bytes(size))
    assert names() == []
    with pytest.raises(ModelNotFound, match=r"model\.gguf missing or of another size.*llmpy pull"):
        llmpy.find_model("a")


def test_removing_says_the_bytes_freed_and_leaves_no_folder() -> None:
    model = entered("a", bytes(1000))
    assert llmpy.remove_model("A") == 1000
    assert not model.path.parent.exists()
    assert names() == []
    with pytest.raises(ModelNotFound, match="llmpy ls"):
        llmpy.remove_model("a")


def test_a_second_name_shares_the_files() -> None:
    entered("a", bytes(1000))
    llmpy.copy_model("a", "b")
    assert names() == ["a", "b"]
    assert llmpy.remove_model("a") == 0
    assert llmpy.find_model("b").path.stat().st_size == 1000
    assert llmpy.remove_model("b") == 1000


def test_a_name_that_is_taken_stays_that_of_its_model(tmp_path: Path) -> None:
    entered("a", bytes(1000))
    (tmp_path / "other.gguf").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"'a' is the name of .*; choose another, or .* rm a"):
        llmpy.copy_model(tmp_path / "other.gguf", "A")
    assert llmpy.find_model("a").size == 1000
    llmpy.find_model("a").path.unlink()
    assert llmpy.copy_model(tmp_path / "other.gguf", "a").size == 5


def test_an_owned_file_goes_with_its_last_name(tmp_path: Path) -> None:
    (tmp_path / "own.gguf").write_bytes(b"own")
    model = llmpy.copy_model(tmp_path / "own.gguf", "own", owned=True, license="MIT")
    assert (model.license, llmpy.find_model("own").license) == ("MIT", "MIT")
    assert llmpy.remove_model("own") == 3
    assert not (tmp_path / "own.gguf").exists()


def test_a_file_that_was_only_named_stays(tmp_path: Path) -> None:
    (tmp_path / "own.gguf").write_bytes(b"own")
    model = llmpy.copy_model(tmp_path / "own.gguf", "own")
    assert model.path == tmp_path / "own.gguf"
    assert llmpy.remove_model("own") == 0
    assert (tmp_path / "own.gguf").read_bytes() == b"own"


def test_pulling_a_file_or_a_folder_names_it_in_place(tmp_path: Path) -> None:
    folder = tmp_path / "My model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    assert llmpy.pull(folder).name == "My-model"
    assert llmpy.pull(folder, save_as="other").path == folder
    assert llmpy.find_model("my-model").path == folder


def test_the_default_is_the_chosen_one_or_the_only_one_for_chats() -> None:
    entered("embed", good_for="embeddings")
    assert llmpy.default_model() is None
    one = entered("one")
    assert llmpy.default_model() == one
    two = entered("two")
    with pytest.raises(ModelNotFound, match=r"several models: one, two\. llmpy default NAME"):
        llmpy.default_model()
    llmpy.set_default_model("TWO")
    assert llmpy.default_model() == two
    assert llmpy.default_name() == "two"
    llmpy.remove_model("two")
    assert llmpy.default_name() == "one"
    with pytest.raises(ModelNotFound):
        llmpy.set_default_model("none")


def test_a_bad_entry_hides_no_other() -> None:
    entered("a")
    entered("b")
    index = Store().index
    found = json.loads(index.read_text())
    found["models"][0] = {"name": "a", "files": 5}
    found["models"] += [
        5,
        None,
        {},
        {"name": "c", "path": "x", "files": [{"path": "\x00", "size": 1}]},
    ]
    index.write_text(json.dumps(found))
    assert names() == ["b"]


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"models"', "\xff"])
def test_a_damaged_list_is_an_error_that_names_it(text: str) -> None:
    entered("a")
    Store().index.write_text(text)
    with pytest.raises(PullError, match=r"models\.json: expected the list of models in JSON"):
        llmpy.models()


def test_threads_that_change_the_list_lose_nothing() -> None:
    threads = [threading.Thread(target=entered, args=(f"m{i}",)) for i in range(12)]
    for thread in threads:
        thread.start()
    finish(*threads)
    assert sorted(names()) == sorted(f"m{i}" for i in range(12))


def test_a_missing_name_says_what_is_close_and_what_to_do() -> None:
    entered("gemma")
    with pytest.raises(ModelNotFound, match="Did you mean gemma"):
        llmpy.find_model("gema")
    with pytest.raises(ModelNotFound, match=r"Did you mean smollm2\? llmpy pull smollm2 downloads"):
        llmpy.find_model("smolm2")


@pytest.mark.parametrize("opens", [llmpy.load, llmpy.open_model, llmpy.load_tokenizer,
                                   llmpy.load_template])  # fmt: skip
def test_names_are_taken_wherever_a_path_is(opens: Any, smollm2: Path) -> None:
    llmpy.copy_model(smollm2, "mine")
    assert opens("mine")


def test_a_path_that_is_there_goes_before_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered("a")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_bytes(b"no model")
    with pytest.raises(llmpy.ModelFileError, match=r"^a: "):
        llmpy.open_model("a")


@pytest.mark.parametrize(
    ("free", "expected"), [(400 << 20, "fits"), (100 << 20, "tight"), (1, "too big"), (None, None)]
)
def test_whether_memory_holds_it_is_estimated(
    monkeypatch: pytest.MonkeyPatch, free: int | None, expected: str | None
) -> None:
    model = entered("a", bytes(10 << 20))
    monkeypatch.setattr(store_module, "available_memory", lambda: free)
    assert model.fits == expected


def test_an_address_needs_a_checksum(site: Site) -> None:
    site.files["/x.gguf"] = b"hello"
    sha = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    with pytest.raises(PullError, match=r"expected its checksum, as ADDRESS#sha256=.*found 'none'"):
        llmpy.pull(f"{site.url}/x.gguf")
    assert site.asked == []
    model = llmpy.pull(f"{site.url}/x.gguf", sha256=sha.upper())
    assert (model.name, model.path.read_bytes()) == ("x", b"hello")
    assert llmpy.pull(f"{site.url}/x.gguf#sha256={sha}", save_as="y").path == model.path
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    "address",
    ["http://example.com/x.gguf", "ftp://example.com/x", "https://", "https://a b/x", "file:///x",
     "https://[::1/x", "https://example.com:99999/x"],
)  # fmt: skip
def test_an_address_that_is_not_https_is_refused(address: str) -> None:
    with pytest.raises(PullError, match="expected"):
        llmpy.pull(address, sha256="0" * 64)


def test_a_password_in_an_address_is_not_shown(site: Site) -> None:
    address = site.url.replace("//", "//me:secret@") + "/none.gguf?key=secret"
    with pytest.raises(PullError) as caught:
        llmpy.pull(address, sha256="0" * 64)
    assert "secret" not in str(caught.value)


def test_a_pull_without_room_downloads_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.files["/x.gguf"] = bytes(1 << 20)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 1 << 20))
    with pytest.raises(PullError, match=r"1\.0 MB are free"):
        llmpy.pull(f"{site.url}/x.gguf", sha256="0" * 64)
    assert [p for p in Store().folder.rglob("*") if p.is_file() and p.suffix != ".lock"] == []


@pytest.mark.parametrize("name", ["nothing", "a b", "x.gguf", "\x00", "\ud800", "-m"])
def test_a_name_that_says_nothing_is_not_found(name: str) -> None:
    with pytest.raises((ModelNotFound, ValueError), match="name"):
        llmpy.pull(name)
