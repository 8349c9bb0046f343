"""native/include/llmpy.h, read by its few forms of declaration, and how llmpy.ffi.abi differs."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from types import ModuleType
from typing import Any

from llmpy import quant
from llmpy.dtypes import BY_NAME

SIZES = {"int32_t": 4, "int64_t": 8, "uint64_t": 8, "float": 4, "double": 8}
SCALARS = {
    "void": None,
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "double": ctypes.c_double,
}
POINTER_SIZE = ctypes.sizeof(ctypes.c_void_p)
NUMBER = r"\(?(-?\d+)(?: << (\d+))?\)?"


@dataclass(frozen=True)
class Field:
    """A member of a structure: `type` is "int32_t", or "struct x*" without const; `n`: an array."""

    name: str
    type: str
    n: int
    offset: int
    size: int


@dataclass(frozen=True)
class Struct:
    """Members, and the size that C gives them."""

    fields: list[Field]
    size: int


@dataclass(frozen=True)
class Header:
    """What the header declares, by name and in order; types of functions: result, arguments."""

    constants: dict[str, int]
    enums: dict[str, dict[str, int]]
    structs: dict[str, Struct]
    functions: dict[str, list[str]]
    weight_types: list[tuple[str, int, int, int, bool]]  # name, number, block, bytes, written
    rest: str  # what was not understood


def parse(text: str) -> Header:
    """Read a header; what it declares in other forms than today's is in `rest`."""
    text = re.sub(r"//[^\n]*", "", text).replace("\\\n", " ")
    found = Header({}, {}, {}, {}, [], "")

    def constant(m: re.Match[str]) -> str:
        found.constants[m[1]] = int(m[2]) << int(m[3] or 0)
        return ""

    def enum(m: re.Match[str]) -> str:
        found.enums[m[1]] = dict(_enumerators(m[2]))
        return ""

    def struct(m: re.Match[str]) -> str:
        found.structs[m[1]] = _laid_out(m[2])
        return ""

    def function(m: re.Match[str]) -> str:
        arguments = [] if m[3].strip() == "void" else m[3].split(",")
        found.functions[m[2]] = [_plain(m[1]), *(_plain(a.rpartition(" ")[0]) for a in arguments)]
        return ""

    def types(m: re.Match[str]) -> str:
        rows = re.findall(r"X\(\w+, (\w+), (\d+), (\d+), (\d+), \w+, (true|false)\)", m[1])
        found.weight_types.extend(
            (name, int(a), int(b), int(c), written == "true") for name, a, b, c, written in rows
        )
        return ""

    text = re.sub(r"#define LLMPY_WEIGHT_TYPES\(X\)([^\n]*)", types, text)
    text = re.sub(rf"#define (LLMPY_\w+) {NUMBER}\s*$", constant, text, flags=re.M)
    text = re.sub(r"^#.*$", "", text, flags=re.M)
    text = re.sub(r"enum (\w+) \{(.*?)\};", enum, text, flags=re.S)
    text = re.sub(r"typedef struct (\w+) \{(.*?)\} \1;", struct, text, flags=re.S)
    text = re.sub(r"LLMPY_API ([\w *]*?)(\w+)\((.*?)\);", function, text, flags=re.S)
    text = re.sub(r"^(extern \"C\" \{|\}|struct llmpy_plan;)$", "", text, flags=re.M)
    return Header(**{**vars(found), "rest": text.strip()})


def differences(header: Header, abi: ModuleType) -> list[str]:
    """How the mirror differs from the header, a line for each thing."""
    return [
        *([f"not understood: {header.rest}"] if header.rest else []),
        *_of_constants(header, abi),
        *_of_enums(header, abi),
        *_of_structs(header, abi),
        *_of_functions(header, abi),
        *_of_weight_types(header),
    ]


def _enumerators(body: str) -> Iterator[tuple[str, int]]:
    number = 0
    for word in filter(None, map(str.strip, body.split(","))):
        name, _, given = map(str.strip, word.partition("="))
        number = int(given) if given else number
        yield name, number
        number += 1


def _laid_out(body: str) -> Struct:
    """Members at the offsets of C: each at a multiple of its alignment."""
    fields, end, most = [], 0, 1
    for line in filter(None, map(str.strip, body.split(";"))):
        kind, names = re.fullmatch(r"((?:const )?\w+\*?) (.*)", line, re.S).groups()  # type: ignore[union-attr]
        size = POINTER_SIZE if "*" in kind else SIZES[kind]
        for name, n in re.findall(r"(\w+)(?:\[(\d+)\])?", names):
            offset, count = -(-end // size) * size, int(n or 1)
            fields.append(Field(name, _plain(kind), int(n or 0), offset, size * count))
            end, most = offset + size * count, max(most, size)
    return Struct(fields, -(-end // most) * most)


def _plain(kind: str) -> str:
    return re.sub(r"\b(const|struct)\b ?|\s", "", kind)


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.removeprefix("llmpy_").split("_"))


def _of_constants(header: Header, abi: ModuleType) -> Iterator[str]:
    ours = {f"LLMPY_{k}": v for k, v in vars(abi).items() if k.isupper() and isinstance(v, int)}
    for name in header.constants.keys() | ours.keys():
        if header.constants.get(name) != ours.get(name):
            yield f"{name}: {header.constants.get(name)} in C, {ours.get(name)} in Python"


def _of_enums(header: Header, abi: ModuleType) -> Iterator[str]:
    theirs = {}
    for name, members in header.enums.items():
        words = [member.split("_") for member in members]
        n = next(i for i in range(len(words[0])) if len({tuple(w[: i + 1]) for w in words}) > 1)
        numbers = zip(words, members.values(), strict=True)
        theirs[_camel(name)] = [("_".join(word[n:]), number) for word, number in numbers]
    for name in theirs.keys() | _classes(abi, IntEnum).keys():
        ours = [(m.name, m.value) for m in getattr(abi, name, ())]
        if theirs.get(name) != ours:
            yield f"enum {name}: {theirs.get(name)} in C, {ours} in Python"


def _of_structs(header: Header, abi: ModuleType) -> Iterator[str]:
    theirs = {_camel(name): struct for name, struct in header.structs.items()}
    ours = _classes(abi, ctypes.Structure)
    for name in theirs.keys() ^ ours.keys():
        yield f"struct {name}: only in {'C' if name in theirs else 'Python'}"
    for name in theirs.keys() & ours.keys():
        if ctypes.sizeof(ours[name]) != theirs[name].size:
            yield f"struct {name}: {theirs[name].size} bytes in C"
        for field, mirror in _zipped(theirs[name].fields, ours[name]._fields_):
            if field is None or mirror is None or field.name != mirror[0]:
                yield f"struct {name}: {field} in C, {mirror} in Python"
                continue
            place = getattr(ours[name], mirror[0])
            kind = mirror[1]._type_ if field.n else mirror[1]
            length = mirror[1]._length_ if field.n else 0
            same = (place.offset, place.size, length) == (field.offset, field.size, field.n)
            if not same or not _means(kind, field.type, abi):
                yield f"struct {name}: {field} in C, {mirror[1]} at {place.offset} in Python"


def _of_functions(header: Header, abi: ModuleType) -> Iterator[str]:
    for name in header.functions.keys() ^ abi.FUNCTIONS.keys():
        yield f"{name}: only in {'C' if name in header.functions else 'Python'}"
    for name in header.functions.keys() & abi.FUNCTIONS.keys():
        result, arguments = abi.FUNCTIONS[name]
        for i, (theirs, ours) in enumerate(_zipped(header.functions[name], (result, *arguments))):
            if theirs is None or not _means(ours, theirs, abi):
                yield f"{name}: argument {i} (0: the result): {theirs} in C, {ours} in Python"


def _of_weight_types(header: Header) -> Iterator[str]:
    for name, *numbers, written in header.weight_types:
        dtype = BY_NAME.get(name)
        if dtype is None or numbers != [dtype.id, dtype.block, dtype.size]:
            yield f"type {name}: {numbers} in C, {dtype!r} in Python"
        if written and name not in quant.writable:
            yield f"type {name}: written only in C"


def _means(ours: Any, theirs: str, abi: ModuleType) -> bool:
    """Whether a type of ctypes stands for one of C."""
    if not theirs.endswith("*"):
        return theirs in SCALARS and ours is SCALARS[theirs]
    if theirs == "char*":
        return ours is ctypes.c_char_p
    pointee = getattr(ours, "_type_", None)
    if isinstance(pointee, type) and issubclass(pointee, ctypes.Structure):
        return pointee is getattr(abi, _camel(theirs.removesuffix("*")), None)
    return ours is ctypes.c_void_p


def _classes(abi: ModuleType, base: type) -> dict[str, Any]:
    own = {k: v for k, v in vars(abi).items() if getattr(v, "__module__", "") == abi.__name__}
    return {k: v for k, v in own.items() if isinstance(v, type) and issubclass(v, base)}


def _zipped(a: Any, b: Any) -> Iterator[tuple[Any, Any]]:
    a, b = list(a), list(b)
    n = max(len(a), len(b))
    return zip(a + [None] * (n - len(a)), b + [None] * (n - len(b)), strict=True)
