"""Builds the wheel of each platform from one machine, the wheel without native code, and the sdist.

python -m pip install cmake ninja scikit-build-core ziglang
python tools/build_wheels.py [NAME ...]     # into dist/; without names all of them

zig's clang compiles for every platform, against the oldest C library that the platform's tag
promises. The files and the metadata of a platform's wheel are those of the wheel without native
code; the library is added. Nothing in a wheel depends on the time, the machine or the folder.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tools import binaries  # noqa: E402

HEADER = ROOT / "native" / "include" / "llmpy.h"
MOST_LIBRARY = 1_500_000  # bytes
MOST_WHEEL = 12_000_000


@dataclass(frozen=True)
class Target:
    """One platform: how zig, CMake and wheels call it."""

    zig: str
    system: str
    processor: str
    tag: str
    library: str = "libllmpy.so"


TARGETS = {
    "manylinux-x86_64": Target(
        "x86_64-linux-gnu.2.17", "Linux", "x86_64", "manylinux_2_17_x86_64.manylinux2014_x86_64"
    ),
    "manylinux-aarch64": Target(
        "aarch64-linux-gnu.2.17", "Linux", "aarch64", "manylinux_2_17_aarch64.manylinux2014_aarch64"
    ),
    "musllinux-x86_64": Target("x86_64-linux-musl", "Linux", "x86_64", "musllinux_1_2_x86_64"),
    "musllinux-aarch64": Target("aarch64-linux-musl", "Linux", "aarch64", "musllinux_1_2_aarch64"),
    "macos-x86_64": Target(
        "x86_64-macos.11.0", "Darwin", "x86_64", "macosx_11_0_x86_64", "libllmpy.dylib"
    ),
    "macos-arm64": Target(
        "aarch64-macos.11.0", "Darwin", "arm64", "macosx_11_0_arm64", "libllmpy.dylib"
    ),
    "windows-x86_64": Target("x86_64-windows-gnu", "Windows", "AMD64", "win_amd64", "llmpy.dll"),
    "windows-arm64": Target("aarch64-windows-gnu", "Windows", "ARM64", "win_arm64", "llmpy.dll"),
}
OTHERS = ("any", "sdist")
NEEDED = {  # names of libraries that are part of each system
    "Linux": r"lib(c|m|pthread|rt|dl)\.so(\.\d)?|ld-linux-[\w-]+\.so\.\d",
    "Darwin": r"/usr/lib/libSystem\.B\.dylib",
    "Windows": r"(kernel32|ntdll|api-ms-win-crt-\w+-l1-1-0)\.dll",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join((*TARGETS, *OTHERS)))
    parser.add_argument("--into", type=Path, default=ROOT / "dist", help="folder of the results")
    parser.add_argument("--work", type=Path, default=ROOT / "build-wheels", help="folder of builds")
    parser.add_argument("--jobs", default="2", help="compilers at a time")
    parser.add_argument("--tests", action="store_true", help="build the native tests too")
    options = parser.parse_args()
    names = options.names or [*TARGETS, *OTHERS]
    if unknown := set(names) - {*TARGETS, *OTHERS}:
        parser.error(f"expected names of {', '.join((*TARGETS, *OTHERS))}, found {min(unknown)}")
    options.into.mkdir(parents=True, exist_ok=True)
    options.work.mkdir(parents=True, exist_ok=True)
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch())
    made = [build_sdist(options.into)] if "sdist" in names else []
    pure = build_pure(options.work)
    if "any" in names:
        made.append(Path(shutil.copy(pure, options.into)))
    for name in TARGETS:
        if name in names:
            built = build_library(TARGETS[name], options.work / name, options.jobs, options.tests)
            made.append(with_library(pure, TARGETS[name], built, options.into))
    for path in made:
        size = path.stat().st_size
        print(f"{size:>10} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]} {path}")
        if path.suffix == ".whl" and size > MOST_WHEEL:
            sys.exit(f"{path.name}: expected at most {MOST_WHEEL} bytes, found {size}")


def epoch() -> int:
    """The time that all files get: SOURCE_DATE_EPOCH, else that of the last commit."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def build_pure(folder: Path) -> Path:
    """The wheel without native code, as the build backend makes it."""
    from scikit_build_core.build import build_wheel

    with in_root():
        settings: dict[str, list[str] | str] = {"wheel.cmake": "false", "wheel.platlib": "false"}
        return folder / build_wheel(str(folder), settings)


def build_sdist(folder: Path) -> Path:
    """The sources, with what it takes to build them."""
    from scikit_build_core.build import build_sdist

    with in_root():
        return folder / build_sdist(str(folder))


@contextlib.contextmanager
def in_root():
    """For build backends, which build what lies in the working folder and talk on stdout."""
    with contextlib.chdir(ROOT), contextlib.redirect_stdout(sys.stderr):
        yield


def build_library(target: Target, build: Path, jobs: str, tests: bool) -> Path:
    """Compile the library for a platform, and check that it needs nothing but its C library."""
    tools = wrappers(target, build / "tools")
    link = ["-s"]
    if target.zig == "x86_64-windows-gnu":
        link.append("-rtlib=none")  # zig's would come whole: os_windows.cpp has what it takes of it
    settings = {
        "CMAKE_SYSTEM_NAME": target.system,
        "CMAKE_SYSTEM_PROCESSOR": target.processor,
        "CMAKE_C_COMPILER": tools / "cc",
        "CMAKE_CXX_COMPILER": tools / "c++",
        "CMAKE_AR": tools / "ar",
        "CMAKE_RANLIB": tools / "ranlib",
        "CMAKE_BUILD_TYPE": "Release",
        # zig describes all to debuggers unless it is told not to
        **dict.fromkeys(("CMAKE_C_FLAGS", "CMAKE_CXX_FLAGS"), "-g0"),
        "CMAKE_SHARED_LINKER_FLAGS": " ".join(link),
        "CMAKE_TRY_COMPILE_TARGET_TYPE": "STATIC_LIBRARY",  # else zig builds a C++ library first
        "LLMPY_TESTS": "ON" if tests else "OFF",
        # tools of other systems that CMake asks for and no step here uses
        **dict.fromkeys(("CMAKE_RC_COMPILER", "CMAKE_INSTALL_NAME_TOOL"), tools / "cc"),
    }
    options = [f"-D{key}={value}" for key, value in settings.items()]
    run("cmake", "-Wno-unused-cli", "-G", "Ninja", "-S", str(ROOT), "-B", str(build), *options)
    run("cmake", "--build", str(build), "--parallel", jobs)
    library = build / target.library
    if faults := check(target, library, build):
        sys.exit(f"{library}: " + "; ".join(faults))
    return library


def wrappers(target: Target, folder: Path) -> Path:
    """A folder with zig's tools under the names that CMake expects."""
    import ziglang

    zig = Path(ziglang.__file__).parent / "zig"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("cc", "c++", "ar", "ranlib"):
        lines = ["#!/bin/sh"]
        command = f'exec "{zig}" {name}'
        if name in ("cc", "c++"):
            command += f" -target {target.zig}"
            # to know a compiler CMake links a program, for which zig would build a C++ library
            lines.append('case "$*" in *CompilerId*) set -- -c "$@";; esac')
        (folder / name).write_text("\n".join([*lines, f'{command} "$@"\n']))
        (folder / name).chmod(0o755)
    return folder


def check(target: Target, library: Path, build: Path) -> list[str]:
    """What is wrong with a library: size, functions, what it needs, traces of this machine."""
    found, data = binaries.read(library), library.read_bytes()
    declared = set(re.findall(r"^LLMPY_API .*?(llmpy_\w+)\(", HEADER.read_text("utf-8"), re.M))
    rows = [
        ("bytes at most", MOST_LIBRARY, len(data), len(data) <= MOST_LIBRARY),
        ("processor", target.processor.lower(), found.machine, same_machine(target, found.machine)),
        ("functions", sorted(declared), sorted(found.exports), declared == found.exports),
    ]
    strangers = {name for name in found.needed if not re.fullmatch(NEEDED[target.system], name)}
    rows.append(("system libraries", NEEDED[target.system], sorted(strangers), not strangers))
    # else a processor could meet a function that was compiled for a better one
    levels = build.glob("**/isa/level_*.o") if target.system == "Linux" else ()
    shared = {name for path in levels for name in binaries.shared_functions(path)}
    rows.append(("functions of one level alone", [], sorted(shared), not shared))
    newest = max((glibc(name) for name in found.versions), default=(2, 0))
    rows.append(("glibc at most", (2, 17), newest, newest <= (2, 17)))
    if target.system == "Darwin":
        rows.append(("macOS", "11.0", found.minimum, found.minimum == "11.0"))
        signed = found.signature == "ad hoc" or found.machine == "x86_64"
        rows.append(("signature", "ad hoc", found.signature, signed))
    places = [str(place) for place in (ROOT, Path.home()) if str(place).encode() in data]
    rows.append(("no path of this machine", [], places, not places))
    return [
        f"{what}: expected {wanted}, found {is_}" for what, wanted, is_, good in rows if not good
    ]


def same_machine(target: Target, machine: str) -> bool:
    names = {"amd64": "x86_64", "aarch64": "arm64"}
    a, b = target.processor.lower(), machine
    return names.get(a, a) == names.get(b, b)


def glibc(version: str) -> tuple[int, ...]:
    """Its numbers: "GLIBC_2.17" -> (2, 17)."""
    return tuple(map(int, version.removeprefix("GLIBC_").split(".")))


def run(*command: str) -> None:
    """Run it with its output on stderr; stop at the first failure."""
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        sys.exit(f"failed: {' '.join(command)}")


def with_library(pure: Path, target: Target, library: Path, folder: Path) -> Path:
    """The wheel of a platform: that without native code, and the library."""
    wheel = folder / pure.name.replace("-any.whl", f"-{target.tag}.whl")
    with zipfile.ZipFile(pure) as source:
        files = {name: source.read(name) for name in source.namelist() if not name.endswith("/")}
    info = next(name.split("/")[0] for name in files if name.endswith(".dist-info/WHEEL"))
    files[f"llmpy/_native/{target.library}"] = library.read_bytes()
    tags = "".join(f"Tag: py3-none-{tag}\n" for tag in target.tag.split("."))
    head = files[f"{info}/WHEEL"].decode().replace("Purelib: true", "Purelib: false")
    files[f"{info}/WHEEL"] = head.replace("Tag: py3-none-any\n", tags).encode()
    record = f"{info}/RECORD"
    del files[record]
    lines = [f"{name},sha256={digest(data)},{len(data)}\n" for name, data in files.items()]
    files[record] = "".join([*sorted(lines), f"{record},,\n"]).encode()
    wheel.write_bytes(archive(files))
    return wheel


def digest(data: bytes) -> str:
    """As RECORD writes it."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def archive(files: dict[str, bytes]) -> bytes:
    """A ZIP archive of files in order, each of the same time and mode; metadata comes last."""
    moment = time.gmtime(max(epoch(), 315532800))[:6]  # ZIP's time begins in 1980
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for name in sorted(files, key=lambda name: (".dist-info/" in name, name)):
            entry = zipfile.ZipInfo(name, moment)
            entry.external_attr = 0o100644 << 16
            target.writestr(entry, files[name], zipfile.ZIP_DEFLATED, compresslevel=9)
    return out.getvalue()


if __name__ == "__main__":
    main()
