"""Wheels of a package index by their addresses, so that a download of one can be resumed.

The index is the one that pip is configured to ask. Where more is configured than its address, or
where more than one wheel might be meant, the answer is None: then pip has to download.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
import subprocess
import sys
from typing import Any
from urllib.parse import urljoin, urlsplit

from llmpy.errors import PullError
from llmpy.hub import web
from llmpy.hub.transfer import Digest, RemoteFile

__all__ = ["wheel_at"]

PUBLIC = "https://pypi.org/simple"
ACCEPT = {"Accept": "application/vnd.pypi.simple.v1+json"}
IRRELEVANT = frozenset({  # settings of pip that change neither what is downloaded nor from where
    "break-system-packages", "cache-dir", "default-timeout", "disable-pip-version-check", "log",
    "no-cache-dir", "no-color", "no-input", "no-python-version-warning", "progress-bar", "quiet",
    "require-virtualenv", "retries", "root-user-action", "timeout", "verbose",
})  # fmt: skip
_WHEEL = re.compile(
    r"[^-]+-(?P<version>[^-]+)(?:-\d[^-]*)?-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<place>[^-]+)\.whl"
)
_FINAL = re.compile(r"(\d{1,9}(?:\.\d{1,9}){0,9})(?:\.post(\d{1,9}))?")


def wheel_at(package: str, version: str) -> RemoteFile | None:
    """Return the wheel that pip would download, or None where only pip can tell.

    `version`: "" is the newest final one.
    """
    index = _index()
    if index is None:
        return None
    page = f"{index.rstrip('/')}/{re.sub(r'[-_.]+', '-', package).lower()}/"
    try:
        web.check_address(page)
        found = web.fetch_json(page, ACCEPT, tries=1)
        return _remote(page, _chosen(found["files"], version))
    except (web.Broken, PullError, KeyError, TypeError, ValueError, AttributeError):
        return None  # no such index, or none of this interface: pip says what is wrong


def _index() -> str | None:
    """The address that pip asks, if nothing else is configured."""
    settings = _settings()
    index = str(settings.pop("index-url", PUBLIC))
    with contextlib.suppress(ValueError):
        if not settings.keys() - IRRELEVANT and "@" not in urlsplit(index).netloc:
            return index
    return None


def _settings() -> dict[str, Any]:
    """The settings of pip for downloads, of its files and of the environment."""
    found: dict[str, Any] = {
        key[4:].lower().replace("_", "-"): value
        for key, value in os.environ.items()
        if key.startswith("PIP_") and key != "PIP_CONFIG_FILE"
    }
    for line in _listed().splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.partition(".")
        if section in ("global", "download"):
            with contextlib.suppress(ValueError, SyntaxError):
                found.setdefault(key, ast.literal_eval(value))
    return found


def _listed() -> str:
    """Return the settings that pip lists; "" where there is no pip."""
    if not sys.executable or getattr(sys, "frozen", False):
        return ""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    return "" if done.returncode else done.stdout


def _chosen(files: list[dict[str, Any]], version: str) -> dict[str, Any]:
    """The one wheel of a version that runs anywhere; ValueError where there is not just one."""
    wheels = [(match, file) for file in files if (match := _WHEEL.fullmatch(file["filename"]))]
    if not version:
        versions = {match["version"] for match, file in wheels if not file.get("yanked")}
        version = max(filter(_FINAL.fullmatch, versions), key=_order)
    (match, file), *others = [pair for pair in wheels if pair[0]["version"] == version]
    plain = match["abi"] == "none" and match["place"] == "any"
    if others or not plain or "py3" not in match["python"].split(".") or file.get("yanked"):
        raise ValueError(version)
    if not _suits(file.get("requires-python")):
        raise ValueError(version)
    return file


def _order(version: str) -> tuple[tuple[int, ...], int]:
    found = _FINAL.fullmatch(version)
    assert found is not None
    numbers = [int(number) for number in found[1].split(".")]
    while len(numbers) > 1 and not numbers[-1]:  # 1.0 is 1
        numbers.pop()
    return tuple(numbers), -1 if found[2] is None else int(found[2])


def _suits(requires: Any) -> bool:
    """Whether this Python is one that a file is for, as far as that is plain."""
    if not requires:
        return True
    found = re.fullmatch(r">=\s*(\d)\.(\d{1,3})(?:\.0)?", str(requires))
    return found is not None and sys.version_info >= (int(found[1]), int(found[2]))


def _remote(page: str, file: dict[str, Any]) -> RemoteFile:
    url = web.check_address(urljoin(page, file["url"]).partition("#")[0])
    size = file.get("size")
    digest = Digest("sha256", str(file["hashes"]["sha256"]))
    return RemoteFile(str(file["filename"]), url, size if isinstance(size, int) else None, digest)
