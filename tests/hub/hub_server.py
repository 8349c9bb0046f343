"""The API of Hugging Face as far as a pull uses it: model info and files, by a local server."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from tests.hub.server import Site

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LFS_FROM = 1000  # bytes; larger files have a SHA-256


@dataclass
class FakeHub:
    """Repositories on a site; `changes` are made to what the API says."""

    site: Site
    changes: dict[str, Any] = field(default_factory=dict)

    def add(
        self, repo: str, files: dict[str, bytes], *, revision: str = "main", **card: Any
    ) -> None:
        """A repository with files, its `cardData` being `card`."""
        info = {
            "_id": "6560000000000000000000ab",
            "id": repo,
            "modelId": repo,
            "author": repo.partition("/")[0],
            "sha": COMMIT,
            "private": False,
            "gated": False,
            "disabled": False,
            "tags": ["gguf"],
            "cardData": card,
            "siblings": [self._sibling(name, data) for name, data in files.items()],
        }
        info |= self.changes
        for at in (revision, COMMIT):
            page = f"/api/models/{repo}/revision/{at}"
            self.site.files[page] = json.dumps(info).encode()
        for name, data in files.items():
            self.site.files[f"/{repo}/resolve/{COMMIT}/{name}"] = data

    def _sibling(self, name: str, data: bytes) -> dict[str, Any]:
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        found = {"rfilename": name, "size": len(data), "blobId": blob}
        if len(data) >= LFS_FROM:
            sha256 = hashlib.sha256(data).hexdigest()
            found["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 134}
        return found
