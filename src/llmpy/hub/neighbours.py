"""Models of other programs on this machine, used where they are: Ollama's and LM Studio's."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmpy.hub.files import variants
from llmpy.hub.licences import plain_license
from llmpy.hub.store import StoredFile, StoredModel

__all__ = ["neighbours"]

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
LARGEST = 1 << 20  # bytes of a manifest, and of the start of a licence
MOST = 10_000  # files that are looked at


def neighbours() -> list[StoredModel]:
    """All of their models that are whole: "ollama:NAME:TAG", "lmstudio:USER/REPO:TYPE"."""
    found = {model.name: model for model in (*_ollama(), *_lm_studio()) if model.whole}
    return sorted(found.values(), key=lambda model: model.name.casefold())


def _ollama() -> Iterator[StoredModel]:
    """By Ollama's manifests, each of which names blobs by their SHA-256."""
    if chosen := os.environ.get("OLLAMA_MODELS"):
        roots = [Path(chosen)]
    else:
        roots = [_home() / ".ollama" / "models", Path("/usr/share/ollama/.ollama/models")]
    for root in roots:
        manifests = root / "manifests"
        for path in _files(manifests):
            parts = path.relative_to(manifests).parts
            layers = _layers(path) if len(parts) == 4 else {}
            if "model" not in layers:
                continue
            host, space, name, tag = parts
            prefix = "" if (host, space) == ("registry.ollama.ai", "library") else f"{space}/"
            digest, size = layers["model"]
            blob = root / "blobs" / f"sha256-{digest}"
            yield StoredModel(
                name=f"ollama:{prefix}{name}:{tag}",
                path=blob,
                source=f"ollama:{prefix}{name}:{tag}",
                license=_license(root, layers),
                files=(StoredFile(blob, size, digest),),
                in_place=True,
            )


def _layers(path: Path) -> dict[str, tuple[str, int]]:
    """Digest and size of each kind of layer in a manifest; nothing of one that is damaged."""
    found: dict[str, tuple[str, int]] = {}
    try:
        if path.stat().st_size > LARGEST:
            return {}
        manifest: Any = json.loads(path.read_bytes())
        for layer in manifest["layers"]:
            kind = str(layer["mediaType"]).rpartition(".")[2]
            digest = _DIGEST.fullmatch(layer["digest"])
            if digest and kind not in found:
                found[kind] = digest[1], int(layer["size"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return found


def _license(root: Path, layers: dict[str, tuple[str, int]]) -> str | None:
    """The first line of the licence's text, which is all that Ollama keeps."""
    if "license" not in layers:
        return None
    try:
        with (root / "blobs" / f"sha256-{layers['license'][0]}").open("rb") as file:
            text = file.read(4096).decode("utf-8", "replace")
    except OSError:
        return None
    if re.search(r"Apache License\s+Version 2\.0", text):
        return "Apache-2.0"
    if re.match(r"\s*(The )?MIT License", text):
        return "MIT"
    return plain_license(text.strip().partition("\n")[0])


def _lm_studio() -> Iterator[StoredModel]:
    """By LM Studio's folders, USER/REPO/FILE.gguf."""
    home = _home() / ".lmstudio"
    with contextlib.suppress(OSError, ValueError):
        pointer = _home() / ".lmstudio-home-pointer"
        home = Path(pointer.read_text(encoding="utf-8")[:4096].strip())
    for root in dict.fromkeys((home / "models", _home() / ".cache" / "lm-studio" / "models")):
        folders: dict[Path, dict[str, int]] = {}
        for path in _files(root):
            if path.suffix.lower() == ".gguf" and len(path.relative_to(root).parts) == 3:
                with contextlib.suppress(OSError):
                    folders.setdefault(path.parent, {})[path.name] = path.stat().st_size
        for folder, sizes in folders.items():
            for variant in variants(sizes):
                name = f"lmstudio:{folder.relative_to(root).as_posix()}:{variant.label}"
                files = tuple(StoredFile(folder / n, sizes[n]) for n in variant.files)
                yield StoredModel(name, files[0].path, name, None, files, in_place=True)


def _home() -> Path:
    return Path.home()


def _files(root: Path) -> Iterator[Path]:
    """Files below a folder, not through links to folders, in order and up to a bound."""
    n = 0
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            n += 1
            if n > MOST:
                return
            yield Path(folder, name)
