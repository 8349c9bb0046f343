"""Reads what a shared library of any platform says of itself: exports, what it needs, for what.

Little-endian 64-bit files only: ELF (Linux), Mach-O (macOS), PE (Windows).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

ELF_MACHINES = {62: "x86_64", 183: "aarch64"}
MACHO_MACHINES = {0x01000007: "x86_64", 0x0100000C: "arm64"}
# Marks of where a library begins, which zig's linker exports; no functions.
MACHO_MARKS = {"_mh_dylib_header", "__dso_handle"}
PE_MACHINES = {0x8664: "x86_64", 0xAA64: "arm64"}


@dataclass(frozen=True)
class Binary:
    """A shared library.

    `needed`: libraries that it loads; `versions`: those of their symbols (ELF); `imports`: symbols
    that it takes from them, where the format says it simply (ELF, Mach-O); `minimum`: the oldest
    macOS; `signature`: None, "ad hoc" or "other".
    """

    format: str
    machine: str
    exports: frozenset[str]
    needed: frozenset[str]
    versions: frozenset[str] = field(default=frozenset())
    imports: frozenset[str] = field(default=frozenset())
    minimum: str | None = None
    signature: str | None = None


def read(path: Path) -> Binary:
    """What the library at `path` says; raises ValueError for other files."""
    data = path.read_bytes()
    if data[:6] == b"\x7fELF\x02\x01":
        return _elf(data)
    if data[:4] == b"\xcf\xfa\xed\xfe":
        return _macho(data)
    if data[:2] == b"MZ":
        return _pe(data)
    raise ValueError(f"{path}: expected ELF, Mach-O or PE, found {data[:4].hex()}")


def shared_functions(path: Path) -> set[str]:
    """Functions of an ELF object for which the linker may take those of another object."""
    data = path.read_bytes()
    sections = _sections(data)
    symbols, strings = sections[".symtab"], sections[".strtab"][4]
    found = set()
    for i in range(1, symbols[5] // 24):
        name, info, _, section = struct.unpack_from("<IBBH", data, symbols[4] + 24 * i)
        if section and info == 2 << 4 | 2:  # weak, a function
            found.add(_text(data, strings + name))
    return found


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode()


def _sections(data: bytes) -> dict[str, tuple[int, ...]]:
    (at,) = struct.unpack_from("<Q", data, 40)
    size, count, names_index = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, at + i * size) for i in range(count)]
    names = headers[names_index][4]
    return {_text(data, names + h[0]): h for h in headers}


def _elf(data: bytes) -> Binary:
    (machine,) = struct.unpack_from("<H", data, 18)
    sections = _sections(data)
    exports, imports, needed, versions = set(), set(), set(), set()
    strings = sections[".dynstr"][4]
    symbols = sections[".dynsym"]
    for i in range(1, symbols[5] // 24):
        name, info, _, section = struct.unpack_from("<IBBH", data, symbols[4] + 24 * i)
        if section:
            exports.add(_text(data, strings + name))
        elif info >> 4 != 2:  # weak ones are of a compiler, and may be missing
            imports.add(_text(data, strings + name))
    dynamic = sections[".dynamic"]
    for i in range(dynamic[5] // 16):
        tag, value = struct.unpack_from("<qQ", data, dynamic[4] + 16 * i)
        if tag == 1:
            needed.add(_text(data, strings + value))
    if ".gnu.version_r" in sections:
        at = sections[".gnu.version_r"][4]
        while True:
            _, n, _, first, after = struct.unpack_from("<HHIII", data, at)
            inner = at + first
            for _ in range(n):
                name, step = struct.unpack_from("<II", data, inner + 8)
                versions.add(_text(data, strings + name))
                inner += step
            if not after:
                break
            at += after
    sets = map(frozenset, (exports, needed, versions, imports))
    return Binary("ELF", ELF_MACHINES[machine], *sets)


def _macho(data: bytes) -> Binary:
    machine, _, kind, count = struct.unpack_from("<IIII", data, 4)
    if kind != 6:
        raise ValueError(f"Mach-O: expected a dynamic library (type 6), found type {kind}")
    exports, imports, needed = set(), set(), set()
    minimum = signature = None
    at = 32
    for _ in range(count):
        command, size = struct.unpack_from("<II", data, at)
        command &= 0x7FFFFFFF
        if command in (0x0C, 0x18, 0x1F):  # load a library, weakly, and export its symbols
            (name,) = struct.unpack_from("<I", data, at + 8)
            needed.add(_text(data, at + name))
        elif command == 0x32:  # build version
            platform, version = struct.unpack_from("<II", data, at + 8)
            minimum = f"{version >> 16}.{version >> 8 & 255}" if platform == 1 else "no macOS"
        elif command == 0x02:  # symbols
            first, n, strings, _ = struct.unpack_from("<IIII", data, at + 8)
            for i in range(n):
                name, symbol = struct.unpack_from("<IB", data, first + 16 * i)
                if symbol & 0xE0 or not symbol & 1:  # of a debugger, or local
                    continue
                place = exports if symbol & 0x0E else imports
                place.add(_text(data, strings + name).removeprefix("_"))
        elif command == 0x1D:  # signature
            (place,) = struct.unpack_from("<I", data, at + 8)
            signature = "ad hoc" if _is_ad_hoc(data[place:]) else "other"
        at += size
    sets = map(frozenset, (exports - MACHO_MARKS, needed, (), imports))
    return Binary("Mach-O", MACHO_MACHINES[machine], *sets, minimum, signature)


def _is_ad_hoc(signature: bytes) -> bool:
    """Whether the code directory says that nobody signed; big-endian numbers."""
    magic, _, count = struct.unpack_from(">III", signature)
    if magic != 0xFADE0CC0:
        return False
    for i in range(count):
        _, at = struct.unpack_from(">II", signature, 12 + 8 * i)
        kind, _, _, flags = struct.unpack_from(">IIII", signature, at)
        if kind == 0xFADE0C02:
            return bool(flags & 2)
    return False


def _pe(data: bytes) -> Binary:
    (head,) = struct.unpack_from("<I", data, 0x3C)
    machine, n_sections = struct.unpack_from("<HH", data, head + 4)
    (optional_size,) = struct.unpack_from("<H", data, head + 20)
    optional = head + 24
    exports_at, _, imports_at, _ = struct.unpack_from("<IIII", data, optional + 112)
    sections = []
    for i in range(n_sections):
        entry = optional + optional_size + 40 * i
        sections.append(struct.unpack_from("<IIII", data, entry + 8))

    def place(address: int) -> int:
        for size, begin, stored, offset in sections:
            if begin <= address < begin + max(size, stored):
                return address - begin + offset
        raise ValueError(f"PE: expected an address in a section, found {address:#x}")

    exports, needed = set(), set()
    if exports_at:
        count, _, names = struct.unpack_from("<III", data, place(exports_at) + 24)
        for i in range(count):
            (name,) = struct.unpack_from("<I", data, place(names) + 4 * i)
            exports.add(_text(data, place(name)))
    at = place(imports_at) if imports_at else 0
    while at:
        (name,) = struct.unpack_from("<I", data, at + 12)
        if not name:
            break
        needed.add(_text(data, place(name)).lower())
        at += 20
    return Binary("PE", PE_MACHINES[machine], frozenset(exports), frozenset(needed))
