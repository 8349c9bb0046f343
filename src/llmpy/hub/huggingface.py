"""Models on Hugging Face: `user/repo`, `user/repo:Q4_K_M`, `user/repo@revision:FILE`.

huggingface_hub says endpoint, token and where the shared cache is (all HF_* variables);
files lie there as it lays them out, so that each finds what the other downloaded.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from llmpy.errors import PullError
from llmpy.hub import web
from llmpy.hub.events import Report
from llmpy.hub.files import Variant, chosen, fitting, variants
from llmpy.hub.licences import plain_license
from llmpy.hub.names import relative_path
from llmpy.hub.transfer import Digest, RemoteFile, check_room, download
from llmpy.machine.memory import available_memory

__all__ = ["Repository", "cached", "fetch", "look_up", "parse_repository"]

_REPOSITORY = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96})(?:@(?P<revision>[\w./-]{1,100}))?"
    r"(?::(?P<wanted>.{1,200}))?",
    re.ASCII,
)
_PAGE = re.compile(
    r"(?:https://)?(?:huggingface\.co|hf\.co)/([^/]+/[^/:@]+)(?:/(?:blob|resolve)/([^/]+)/(.+)|(:.+))?/?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
MOST_FILES = 20_000


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit: its files with size and checksum, and its licence."""

    name: str
    revision: str
    commit: str
    files: dict[str, tuple[int, Digest]]
    license: str | None

    @property
    def sizes(self) -> dict[str, int]:
        """Size by name."""
        return {name: size for name, (size, _) in self.files.items()}


def parse_repository(text: str) -> tuple[str, str, str] | None:
    """Split what names a repository into it, a revision and a variant; None for what does not.

    Pages of huggingface.co are understood too.
    """
    if page := _PAGE.fullmatch(text):
        at = f"@{page[2]}" if page[2] else ""
        text = f"{page[1]}{at}" + (f":{page[3]}" if page[3] else page[4] or "")
    found = _REPOSITORY.fullmatch(text.removeprefix("hf:").removeprefix("//"))
    if found is None or ".." in found["repo"] or "--" in found["repo"]:
        return None
    return found["repo"], found["revision"] or "main", found["wanted"] or ""


def look_up(repo: str, revision: str) -> Repository:
    """Ask the API what is in a repository. Raises PullError."""
    from huggingface_hub import constants

    source = f"hf:{repo}"
    if constants.HF_HUB_OFFLINE:
        raise PullError(f"{source}: HF_HUB_OFFLINE is set, so that nothing is looked up")
    url = f"{_endpoint()}/api/models/{repo}/revision/{quote(revision, safe='')}?blobs=true"
    try:
        found = web.fetch_json(url, _headers())
    except web.Broken as error:
        raise PullError(f"{source}: {_endpoint()} cannot be asked: {error}") from error
    except PullError as error:
        raise PullError(
            f"{source}: {error} (is the name right, and the model not private or gated?)"
        ) from error
    try:
        return _repository(repo, revision, found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PullError(
            f"{source}: the answer of the API cannot be used ({error!r:.200})"
        ) from error


def _repository(repo: str, revision: str, found: Any) -> Repository:
    commit = found["sha"]
    if not _COMMIT.fullmatch(commit):
        raise ValueError("sha")
    siblings = found["siblings"]
    if len(siblings) > MOST_FILES:
        raise PullError(f"hf:{repo}: expected at most {MOST_FILES} files, found {len(siblings)}")
    files, folded = {}, set[str]()
    for row in siblings:
        name = row["rfilename"]
        try:
            relative_path(name, f"hf:{repo}")
        except PullError:
            continue  # nothing that a model needs is called like that
        if name.casefold() in folded:
            continue  # on some systems it would be the same file
        folded.add(name.casefold())
        lfs = row.get("lfs")
        size = int(lfs["size"] if lfs else row["size"])
        if size < 0:
            raise ValueError(f"size of {name}")
        digest = Digest("sha256", lfs["sha256"]) if lfs else Digest("git", row["blobId"])
        files[name] = size, digest
    card = found.get("cardData") or {}
    license = plain_license(card.get("license"))
    if license == "other":
        license = plain_license(card.get("license_name")) or license
    return Repository(repo, revision, commit, files, license)


def choose(repository: Repository, wanted: str) -> Variant:
    """The variant that was asked for, or the one that fits this machine's memory."""
    source, known = f"hf:{repository.name}", variants(repository.sizes)
    if wanted:
        return chosen(known, wanted, source)
    return fitting(known, available_memory(), source)


def fetch(
    repository: Repository, variant: Variant, report: Report
) -> tuple[Path, list[Path], bool]:
    """Download what is not there; return the model's path, its files, and whether any was."""
    folder, locks = _folders(repository.name)
    snapshot = folder / "snapshots" / repository.commit
    report.total = variant.size
    missing = [name for name in variant.files if not _is_here(folder, repository, name)]
    check_room(folder, sum(repository.files[name][0] for name in missing))
    paths, fresh = [], False
    for name in variant.files:
        size, digest = repository.files[name]
        path = snapshot / relative_path(name, repository.name)
        blob = folder / "blobs" / digest.hex
        url = f"{_endpoint()}/{repository.name}/resolve/{repository.commit}/{quote(name)}"
        file = RemoteFile(f"{repository.name}/{name}", url, size, digest, _headers())
        if not (path.is_file() and path.stat().st_size == size):
            fresh |= download(file, blob, locks / f"{digest.hex}.lock", report)
            _point(path, blob)
        report.base += size
        paths.append(path)
    _write_reference(folder, repository)
    if variant.is_checkpoint:
        return snapshot, paths, fresh
    return paths[0], paths, fresh


def cached(text: str) -> tuple[Path, list[Path]] | None:
    """Find a model in the shared cache, whoever downloaded it; None where there is none."""
    parsed = parse_repository(text)
    if parsed is None:
        return None
    repo, revision, wanted = parsed
    folder, _ = _folders(repo)
    if not _COMMIT.fullmatch(revision):
        try:
            relative_path(revision, repo)
            revision = (folder / "refs" / revision).read_text(encoding="ascii").strip()[:41]
        except (OSError, ValueError, PullError):
            return None
    snapshot = folder / "snapshots" / revision
    if not _COMMIT.fullmatch(revision) or not snapshot.is_dir():
        return None
    sizes = {
        path.relative_to(snapshot).as_posix(): path.stat().st_size
        for path in snapshot.rglob("*")
        if path.is_file()
    }
    known = variants(sizes)
    if not known:
        return None
    source = f"hf:{repo}"
    variant = chosen(known, wanted, source) if wanted else fitting(known, None, source)
    paths = [snapshot / name for name in variant.files]
    return (snapshot if variant.is_checkpoint else paths[0]), paths


def _endpoint() -> str:
    from huggingface_hub import constants

    return web.check_address(str(constants.ENDPOINT).rstrip("/"), http_too=True)


def _headers() -> dict[str, str]:
    """The user's token. huggingface_hub's own headers would cost a request that nobody asked for:
    it looks up which agents there are, to name them in User-Agent.
    """
    from huggingface_hub import constants, get_token

    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _folders(repo: str) -> tuple[Path, Path]:
    """A repository's folder in the cache, and the folder of its locks."""
    from huggingface_hub import constants

    cache, name = Path(constants.HF_HUB_CACHE), f"models--{repo.replace('/', '--')}"
    return cache / name, cache / ".locks" / name


def _point(path: Path, blob: Path) -> None:
    """Make a link to a blob; where there are no links, the file itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    try:
        path.symlink_to(os.path.relpath(blob, path.parent))
    except OSError:
        if path.is_symlink():  # another process was faster
            return
        temporary = path.with_name(f".{blob.name}.llmpy-part")
        shutil.move(blob, temporary)
        os.replace(temporary, path)


def _is_here(folder: Path, repository: Repository, name: str) -> bool:
    blob = folder / "blobs" / repository.files[name][1].hex
    path = folder / "snapshots" / repository.commit / relative_path(name, repository.name)
    return blob.exists() or path.exists()


def _write_reference(folder: Path, repository: Repository) -> None:
    """Write which commit a branch or tag is at, as huggingface_hub does."""
    if _COMMIT.fullmatch(repository.revision):
        return
    path = folder / "refs" / relative_path(repository.revision, repository.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(repository.commit, encoding="ascii")
    os.replace(temporary, path)
