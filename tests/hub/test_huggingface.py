"""Models of Hugging Face, from a local server of its API; huggingface_hub reads what we cache."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from llmpy import (
    LicenseRefused,
    ModelNotFound,
    PullError,
    find_model,
    models,
    pull,
    remove_model,
)
from llmpy.hub import huggingface, web
from llmpy.hub.huggingface import parse_repository
from tests.hub.hub_server import COMMIT, FakeHub
from tests.hub.server import Answer, Site, dropping, honest

BYTES = random.Random(5).randbytes
GGUF = {
    "README.md": b"---\nlicense: mit\n---\n",
    "tiny-Q4_K_M.gguf": BYTES(50_000),
    "tiny-Q8_0.gguf": BYTES(90_000),
    "tiny-F16.gguf": BYTES(160_000),
    "mmproj-tiny-F16.gguf": BYTES(2000),
}


@pytest.fixture
def hub(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """An endpoint, an empty cache, a token, and memory for anything."""
    monkeypatch.setattr(constants, "ENDPOINT", site.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(huggingface, "available_memory", lambda: 1 << 30)
    return FakeHub(site)


def paths(site: Site) -> list[str]:
    return [asked.path for asked in site.asked]


def test_a_model_comes_into_the_shared_cache(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("user/tiny", GGUF, license="mit")
    model = pull("user/tiny:Q4_K_M")
    assert model.path.read_bytes() == GGUF["tiny-Q4_K_M.gguf"]
    assert (model.name, model.license) == ("user/tiny:Q4_K_M", "mit")
    theirs = huggingface_hub.hf_hub_download(
        "user/tiny", "tiny-Q4_K_M.gguf", cache_dir=tmp_path / "cache", local_files_only=True
    )
    assert Path(theirs) == model.path
    (repo,) = huggingface_hub.scan_cache_dir(tmp_path / "cache").repos
    assert [(r.commit_hash, r.refs) for r in repo.revisions] == [(COMMIT, {"main"})]


def test_what_another_program_cached_is_not_downloaded(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("user/tiny", GGUF)
    folder = tmp_path / "cache" / "models--user--tiny"
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    (snapshot / "tiny-Q8_0.gguf").write_bytes(GGUF["tiny-Q8_0.gguf"])
    assert find_model("user/tiny").path == snapshot / "tiny-Q8_0.gguf"
    assert hub.site.asked == []
    model = pull("user/tiny:Q8_0")
    assert len(hub.site.asked) == 1
    remove_model(model.name)
    assert model.path.exists()


def test_removing_a_model_frees_its_blob(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("user/tiny", GGUF)
    pull("user/tiny:Q4_K_M")
    assert remove_model("user/tiny") == 50_000
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.suffix != ".lock"] == [
        tmp_path / "cache" / "models--user--tiny" / "refs" / "main"
    ]


def test_a_blob_of_another_revision_stays(hub: FakeHub) -> None:
    hub.add("user/tiny", GGUF)
    model = pull("user/tiny:Q4_K_M")
    other = model.path.parents[1] / ("f" * 40)
    other.mkdir()
    (other / "x.gguf").symlink_to(model.path.resolve())
    assert remove_model(model.name) == 0
    assert (other / "x.gguf").read_bytes() == GGUF["tiny-Q4_K_M.gguf"]


@pytest.mark.parametrize(
    ("memory", "label"),
    [(1 << 30, "Q8_0"), (180_000, "Q8_0"), (179_999, "Q4_K_M"), (60_000, "Q4_K_M"), (None, "Q8_0")],
)
def test_the_type_is_chosen_by_memory(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, memory: int | None, label: str
) -> None:
    monkeypatch.setattr(huggingface, "available_memory", lambda: memory)
    hub.add("user/tiny", GGUF)
    assert pull("user/tiny").name == f"user/tiny:{label}"


def test_a_model_that_cannot_fit_is_refused_with_numbers(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface, "available_memory", lambda: 40_000)
    hub.add("user/tiny", GGUF)
    message = r"smallest, Q4_K_M with 50\.0 kB, does not fit into the 40\.0 kB.*Q8_0 \(90\.0 kB\)"
    with pytest.raises(PullError, match=message):
        pull("user/tiny")
    assert pull("user/tiny:q4_k_m").size == 50_000


def test_an_unknown_type_is_answered_with_those_there_are(hub: FakeHub) -> None:
    hub.add("user/tiny", GGUF)
    with pytest.raises(PullError, match=r"expected one of F16.*Q4_K_M.*Q8_0.*found 'Q5_0'"):
        pull("user/tiny:Q5_0")


def test_a_name_without_its_type_finds_what_was_pulled(hub: FakeHub) -> None:
    hub.add("user/tiny", GGUF)
    model = pull("user/tiny:Q4_K_M")
    for name in ("user/tiny", "USER/tiny:q4_k_m", "hf:user/tiny:Q4_K_M"):
        assert find_model(name).path == model.path


def test_a_model_in_parts_is_one(hub: FakeHub) -> None:
    parts = {f"big-Q8_0-0000{i}-of-00003.gguf": BYTES(3000) for i in (1, 2, 3)}
    hub.add("user/big", parts | {"big-Q4_0-00001-of-00002.gguf": BYTES(2000)})
    model = pull("user/big")
    assert model.path.name == "big-Q8_0-00001-of-00003.gguf"
    assert [file.path.read_bytes() for file in model.files] == list(parts.values())


def test_a_checkpoint_comes_as_a_folder(hub: FakeHub) -> None:
    files = {
        "config.json": b"{}",
        "model.safetensors": BYTES(5000),
        "tokenizer.json": BYTES(1500),
        "1_Pooling/config.json": b"[]",
        "pytorch_model.bin": BYTES(5000),
        "onnx/model.onnx": BYTES(5000),
        "LICENSE": b"free",
    }
    hub.add("user/check", files, license="other", license_name="own-1.0")
    model = pull("user/check")
    assert model.license == "own-1.0"
    found = {p.relative_to(model.path).as_posix() for p in model.path.rglob("*") if not p.is_dir()}
    assert found == files.keys() - {"pytorch_model.bin", "onnx/model.onnx"}


def test_the_token_goes_to_the_endpoint(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("user/tiny", GGUF)
    pull("user/tiny:Q4_K_M")
    tokens = {asked.headers.get("Authorization", asked.headers.get("authorization"))
              for asked in hub.site.asked}  # fmt: skip
    assert tokens == {"Bearer hf_secret"}
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "none")
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", "none")
    hub.site.asked.clear()
    pull("user/tiny:Q8_0")
    assert not any("uthorization" in key for asked in hub.site.asked for key in asked.headers)


def test_a_download_that_drops_goes_on(hub: FakeHub) -> None:
    hub.add("user/tiny", GGUF)
    n = iter([10**9, 20_000, 10**9])
    hub.site.behave = dropping(lambda: next(n))
    assert pull("user/tiny:Q4_K_M").path.read_bytes() == GGUF["tiny-Q4_K_M.gguf"]
    assert hub.site.starts == [None, None, 20_000]


def test_the_variables_of_hugging_face_mean_what_they_mean_elsewhere(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.add("user/tiny", GGUF)
    variables = {
        "HF_ENDPOINT": hub.site.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": "hf_other",
    }
    command = [sys.executable, "-m", "llmpy", "pull", "user/tiny:Q4_K_M"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | variables
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    path = done.stdout.strip().rpartition(", ")[2]
    assert Path(path).is_relative_to(tmp_path / "home" / "hub" / "models--user--tiny")
    assert Path(path).read_bytes() == GGUF["tiny-Q4_K_M.gguf"]
    tokens = [asked.headers.get("Authorization") for asked in hub.site.asked]
    assert tokens == ["Bearer hf_other"] * 2  # and nothing else was asked
    hub.site.asked.clear()
    environment["HF_HUB_OFFLINE"] = "1"
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "HF_HUB_OFFLINE is set" in again.stderr
    assert hub.site.asked == []


def test_the_proxy_of_the_environment_is_used(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("user/tiny", GGUF)
    monkeypatch.setattr(constants, "ENDPOINT", "http://hub.invalid")
    monkeypatch.setenv("http_proxy", hub.site.url)
    monkeypatch.setenv("no_proxy", "")
    assert pull("user/tiny:Q4_K_M").path.read_bytes() == GGUF["tiny-Q4_K_M.gguf"]
    assert [path.partition("/user/")[0] for path in paths(hub.site)] == [
        "http://hub.invalid/api/models",
        "http://hub.invalid",
    ]


def test_metadata_is_asked_for_again(hub: FakeHub) -> None:
    def behave(answer: Answer, data: bytes, start: int | None) -> None:
        if len(hub.site.asked) < 3:
            answer.say(503, b"")
        else:
            honest(answer, data, start)

    hub.add("user/tiny", GGUF)
    hub.site.behave = behave
    assert pull("user/tiny:Q4_K_M").size == 50_000


def test_without_links_the_files_themselves_are_in_the_snapshot(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a Windows that lets nobody make links."""

    def refuse(*_: object) -> None:
        raise OSError("a privilege is missing")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    hub.add("user/tiny", GGUF)
    model = pull("user/tiny:Q4_K_M")
    assert not model.path.is_symlink()
    theirs = huggingface_hub.hf_hub_download(
        "user/tiny", "tiny-Q4_K_M.gguf", cache_dir=tmp_path / "cache", local_files_only=True
    )
    assert Path(theirs) == model.path
    assert pull("user/tiny:Q4_K_M") == model
    assert len([path for path in paths(hub.site) if "/resolve/" in path]) == 1
    assert remove_model("user/tiny") == 50_000


def test_offline_nothing_is_asked(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("user/tiny", GGUF)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PullError, match="HF_HUB_OFFLINE is set"):
        pull("user/tiny")
    assert hub.site.asked == []


def test_a_licence_that_is_not_allowed_is_refused_before_the_download(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("user/tiny", GGUF, license="llama3.2")
    with pytest.raises(LicenseRefused, match=r"its licence is llama3\.2; allowed .*: mit"):
        pull("user/tiny", allow_licenses=["MIT"])
    monkeypatch.setenv("LLMPY_ALLOW_LICENSES", "mit, apache-2.0")
    with pytest.raises(LicenseRefused, match=r"llama3\.2"):
        pull("user/tiny")
    assert len(hub.site.asked) == 2
    assert pull("user/tiny", allow_licenses=["Llama3.2"]).license == "llama3.2"


def test_loading_downloads_only_when_asked(hub: FakeHub) -> None:
    import llmpy

    hub.add("user/tiny", GGUF)
    with pytest.raises(ModelNotFound, match="llmpy pull user/tiny:Q8_0 downloads it"):
        llmpy.load("user/tiny:Q8_0")
    assert hub.site.asked == []
    with pytest.raises(llmpy.ModelFileError, match=r"tiny-Q8_0\.gguf"):  # random bytes
        llmpy.load("user/tiny:Q8_0", download=True)
    assert [m.name for m in models()] == ["user/tiny:Q8_0"]


@pytest.mark.parametrize(
    "name",
    ["../../../evil-Q4_0.gguf", "/abs-Q4_0.gguf", "a/../../x-Q4_0.gguf", "c:x-Q4_0.gguf",
     "a\\..\\x-Q4_0.gguf", "con.gguf", "x-Q4_0.gguf/.", "a\x00-Q4_0.gguf", "x" * 250 + ".gguf",
     "a/b/c/d/e/f/g/h/i.gguf", "aux/x-Q4_0.gguf", "x /y.gguf", "\u202efugg.gguf", ""],
)  # fmt: skip
def test_files_with_hostile_names_are_left_alone(hub: FakeHub, name: str, tmp_path: Path) -> None:
    hub.add("user/evil", {name: BYTES(2000)})
    with pytest.raises(PullError):
        pull("user/evil")
    assert len(hub.site.asked) == 1
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


CHANGES: list[dict[str, Any]] = [
    {"sha": "../../x"},
    {"sha": 5},
    {"sha": None},
    {"siblings": None},
    {"siblings": [5]},
    {"siblings": [{"rfilename": 5, "size": 1, "blobId": "0" * 40}]},
    {"siblings": [{"rfilename": "x-Q4_0.gguf", "size": -1, "blobId": "0" * 40}]},
    {"siblings": [{"rfilename": "x-Q4_0.gguf", "size": "1e9", "blobId": "0" * 40}]},
    {"siblings": [{"rfilename": "x-Q4_0.gguf", "size": 1, "blobId": "../" + "0" * 37}]},
    {"siblings": [{"rfilename": "x-Q4_0.gguf", "lfs": {"size": 1, "sha256": "x"}}]},
    {"siblings": [{"rfilename": "x-Q4_0.gguf", "lfs": {"size": 1}}]},
    {"siblings": [{"rfilename": f"{i}.gguf"} for i in range(20_001)]},
    {"siblings": []},
    {"cardData": 5, "siblings": []},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: json.dumps(c)[:60])
def test_an_answer_without_sense_is_an_error(
    hub: FakeHub, change: dict[str, Any], tmp_path: Path
) -> None:
    hub.changes = change
    hub.add("user/evil", {"x-Q4_0.gguf": BYTES(2000)})
    with pytest.raises(PullError, match=r"user/evil|checksum"):
        pull("user/evil")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (b"[" * 200_000, "expected JSON"),
        (b"<html>", "expected JSON"),
        (b"\xff", "expected JSON"),
        (b"[]", "cannot be used"),
        (b" " * (2 << 20), "at most 1 MiB"),
    ],
)
def test_metadata_that_is_none_or_too_much_is_an_error(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, page: bytes, message: str
) -> None:
    monkeypatch.setattr(web, "LARGEST_ANSWER", 1 << 20)
    hub.site.files["/api/models/user/evil/revision/main"] = page
    with pytest.raises(PullError, match=message):
        pull("user/evil")


@pytest.mark.usefixtures("hub")
def test_a_repository_that_is_not_there_is_said() -> None:
    with pytest.raises(PullError, match=r"user/none: .*answers 404.*is the name right"):
        pull("user/none")


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("user/repo", ("user/repo", "main", "")),
        ("hf:user/repo", ("user/repo", "main", "")),
        ("hf://user/repo", ("user/repo", "main", "")),
        ("user/repo:Q4_K_M", ("user/repo", "main", "Q4_K_M")),
        ("user/repo@v1.0:a/b.gguf", ("user/repo", "v1.0", "a/b.gguf")),
        ("https://huggingface.co/user/repo", ("user/repo", "main", "")),
        ("hf.co/user/repo:Q4_0", ("user/repo", "main", "Q4_0")),
        ("https://huggingface.co/u/r/resolve/main/x.gguf", ("u/r", "main", "x.gguf")),
        ("https://huggingface.co/u/r/blob/abc/d/x.gguf", ("u/r", "abc", "d/x.gguf")),
        ("repo", None),
        ("../repo", None),
        ("user/..", None),
        ("user/a--b", None),
        ("user/repo/more", None),
        ("C:/models", None),
        ("https://example.com/user/repo", None),
        ("user/r\u00e9po", None),
    ],
)
def test_names_of_repositories(text: str, parsed: tuple[str, str, str] | None) -> None:
    assert parse_repository(text) == parsed
