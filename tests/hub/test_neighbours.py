"""Models of Ollama and LM Studio are found and used in place."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import llmpy
from llmpy import LicenseRefused, ModelNotFound

APACHE = b"\n" + b" " * 30 + b"Apache License\n" + b" " * 26 + b"Version 2.0, January 2004\n"


def ollama(root: Path, name: str, data: bytes, license: bytes | None = None) -> Path:
    """A model as Ollama keeps it; `name`: HOST/SPACE/NAME/TAG."""
    kinds = {"model": data} | ({"license": license} if license is not None else {})
    layers = []
    (root / "blobs").mkdir(parents=True, exist_ok=True)
    for kind, content in kinds.items():
        digest = hashlib.sha256(content).hexdigest()
        (root / "blobs" / f"sha256-{digest}").write_bytes(content)
        media = f"application/vnd.ollama.image.{kind}"
        layers.append({"mediaType": media, "digest": f"sha256:{digest}", "size": len(content)})
    manifest = root / "manifests" / name
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    return manifest


LIBRARY = "registry.ollama.ai/library"


def test_models_of_ollama_have_their_names(tmp_path: Path) -> None:
    root = tmp_path / "ollama"
    ollama(root, f"{LIBRARY}/llama3.2/1b", b"one", APACHE)
    ollama(root, "registry.ollama.ai/me/own/latest", b"two", b"MY LICENSE\nmore")
    ollama(root, "hf.co/user/repo/Q4_K_M", b"three")
    found = {model.name: model for model in llmpy.models()}
    assert {name: (m.path.read_bytes(), m.license) for name, m in found.items()} == {
        "ollama:llama3.2:1b": (b"one", "Apache-2.0"),
        "ollama:me/own:latest": (b"two", "MY LICENSE"),
        "ollama:user/repo:Q4_K_M": (b"three", None),
    }
    for name in ("ollama:llama3.2:1b", "llama3.2:1b", "llama3.2"):
        assert llmpy.find_model(name).path.read_bytes() == b"one"


def test_ollamas_own_folder_is_looked_at(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_MODELS")
    ollama(empty_home / "home" / ".ollama" / "models", f"{LIBRARY}/a/b", b"one")
    assert llmpy.find_model("a:b").size == 3


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "5", "[" * 100_000, '{"layers": 5}', '{"layers": [5]}',
     '{"layers": [{"mediaType": "a.model", "digest": "sha256:../../x", "size": 1}]}',
     '{"layers": [{"mediaType": "a.model", "digest": "sha256:' + "0" * 64 + '", "size": "x"}]}',
     " " * (2 << 20)],
)  # fmt: skip
def test_a_damaged_manifest_is_no_model_and_hides_no_other(tmp_path: Path, text: str) -> None:
    root = tmp_path / "ollama"
    ollama(root, f"{LIBRARY}/good/1b", b"one")
    ollama(root, f"{LIBRARY}/bad/1b", b"two").write_text(text)
    assert [model.name for model in llmpy.models()] == ["ollama:good:1b"]


@pytest.mark.parametrize("change", ["gone", "short"])
def test_a_blob_that_is_not_whole_is_no_model(tmp_path: Path, change: str) -> None:
    ollama(tmp_path / "ollama", f"{LIBRARY}/a/1b", b"one")
    blob = next((tmp_path / "ollama" / "blobs").iterdir())
    blob.unlink() if change == "gone" else blob.write_bytes(b"on")
    assert llmpy.models() == []


def lm_studio(home: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = home / ".lmstudio" / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def test_models_of_lm_studio_have_their_names(empty_home: Path) -> None:
    lm_studio(
        empty_home / "home",
        {
            "user/repo/x-Q4_K_M.gguf": b"one",
            "user/repo/x-Q8_0.gguf": b"two!",
            "user/repo/mmproj-x-F16.gguf": b"eye",
            "user/parts/y-Q8_0-00001-of-00002.gguf": b"a",
            "user/parts/y-Q8_0-00002-of-00002.gguf": b"bc",
            "user/half/z-Q8_0-00001-of-00002.gguf": b"a",
            "user/repo/deeper/w.gguf": b"w",
        },
    )
    assert {model.name: model.size for model in llmpy.models()} == {
        "lmstudio:user/parts:Q8_0": 3,
        "lmstudio:user/repo:Q4_K_M": 3,
        "lmstudio:user/repo:Q8_0": 4,
    }
    for name in ("lmstudio:user/repo:Q8_0", "user/repo:Q8_0"):
        assert llmpy.find_model(name).size == 4


def test_lm_studio_says_where_it_lives(empty_home: Path) -> None:
    lm_studio(empty_home / "elsewhere", {"user/repo/x-Q4_0.gguf": b"one"})
    (empty_home / "home").mkdir()
    pointer = empty_home / "home" / ".lmstudio-home-pointer"
    pointer.write_text(str(empty_home / "elsewhere" / ".lmstudio"))
    assert llmpy.find_model("user/repo").size == 3


def test_pulling_one_of_theirs_names_it_and_copies_nothing(tmp_path: Path) -> None:
    root = tmp_path / "ollama"
    ollama(root, f"{LIBRARY}/llama3.2/1b", b"one", b"LLAMA 3.2 COMMUNITY\n")
    with pytest.raises(LicenseRefused, match=r"LLAMA 3\.2 COMMUNITY"):
        llmpy.pull("ollama:llama3.2:1b", allow_licenses=["mit"])
    model = llmpy.pull("ollama:llama3.2:1b", save_as="small")
    assert model.path.parent == root / "blobs"
    assert llmpy.remove_model("small") == 0
    assert model.path.exists()
    with pytest.raises(ModelNotFound):
        llmpy.remove_model("ollama:llama3.2:1b")


def test_a_model_of_ollama_runs(tmp_path: Path, smollm2: Path) -> None:
    root = tmp_path / "ollama"
    ollama(root, f"{LIBRARY}/smollm2/135m", smollm2.read_bytes(), APACHE)
    with llmpy.load("smollm2:135m", n_ctx=256, allow_licenses=["apache-2.0"]) as model:
        answer: Any = model.chat(seed=1).ask("What is the capital of France?", max_tokens=20)
    assert "Paris" in answer
