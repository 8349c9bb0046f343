"""The interface of the native library is the same in C and in Python; any difference is found."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from llmpy import ffi
from llmpy.backends.base import PAGE_TOKENS
from llmpy.dtypes import BY_ID
from llmpy.ffi import abi
from llmpy.graph import ELEMENTWISE
from llmpy.graph.shapes import GATINGS
from llmpy.sampling.weights import MAX_VOCAB
from tests.ffi.header import Header, differences, parse
from tests.repository import sources

FOLDER = sources.ROOT / "native" / "include"
TEXT = (FOLDER / "llmpy.h").read_text(encoding="utf-8")

# Each a text of the header and what a careless change would make of it.
BROKEN = {
    "swapped enumerators": (
        "LLMPY_FUNCTION_GELU,\n    LLMPY_FUNCTION_GELU_EXACT,",
        "LLMPY_FUNCTION_GELU_EXACT,\n    LLMPY_FUNCTION_GELU,",
    ),
    "swapped operations": ("LLMPY_SCAN, ", "LLMPY_CONV, ", "LLMPY_CONV, ", "LLMPY_SCAN, "),
    "a new operation": ("    LLMPY_SUM,", "    LLMPY_MEAN,\n    LLMPY_SUM,"),
    "a removed enumerator": ("    LLMPY_SAMPLE_TOP_P, ", "    //"),
    "another number": ("LLMPY_INPUT_INT8 = 1", "LLMPY_INPUT_INT8 = 3"),
    "a renamed enumerator": ("LLMPY_GATING_SIGMOID", "LLMPY_GATING_TANH"),
    "a constant": ("LLMPY_LOGITS_PLACE (-2)", "LLMPY_LOGITS_PLACE (-3)"),
    "a shifted constant": ("(1 << 22)", "(1 << 21)"),
    "the version": ("LLMPY_ABI_VERSION 14", "LLMPY_ABI_VERSION 15"),
    "a new constant": ("#define LLMPY_OK 0", "#define LLMPY_OK 0\n#define LLMPY_MAYBE 1"),
    "moved fields of one type": (
        "    double magnitude;\n    double growth;",
        "    double growth;\n    double magnitude;",
    ),
    "a moved field": (
        "    int32_t kind;\n    int32_t output_rows;",
        "    int32_t output_rows, kind;",
    ),
    "a field of another type": ("    double f[2];", "    int64_t f[2];"),
    "a pointer to something else": ("const llmpy_rope* ropes;", "const llmpy_op* ropes;"),
    "a longer array": ("int64_t n[8];", "int64_t n[9];"),
    "a dropped field": ("    int32_t ready, unused;", "    int32_t ready;"),
    "a new field": ("    float* logits;", "    float* logits;\n    float* states;"),
    "a new structure": ("struct llmpy_plan;", "typedef struct llmpy_x {\n int32_t a;\n} llmpy_x;"),
    "a dropped argument": ("llmpy_weights* weights, int32_t threads);", "llmpy_weights* weights);"),
    "a new argument": ("llmpy_release(void* memory,", "llmpy_release(int32_t why, void* memory,"),
    "a wider argument": ("llmpy_input_kind(int32_t type)", "llmpy_input_kind(int64_t type)"),
    "another result": ("LLMPY_API int64_t llmpy_strings", "LLMPY_API int32_t llmpy_strings"),
    "another structure": ("const llmpy_batch* batch);", "const llmpy_rope* batch);"),
    "a renamed function": ("llmpy_touch(", "llmpy_read_ahead("),
    "a new function": ("#define LLMPY_OK 0", "LLMPY_API void llmpy_rest(void);"),
    "an unknown declaration": ("struct llmpy_plan;", "union llmpy_plan { int a; };"),
    "a type's number": ("Q4_0, 2, 32, 18", "Q4_0, 4, 32, 18"),
    "a type's bytes": ("Q6_K, 14, 256, 210", "Q6_K, 14, 256, 208"),
}


def broken(name: str) -> str:
    """The header with one change; of two that are given, both are made at once."""
    changes = dict(zip(BROKEN[name][::2], BROKEN[name][1::2], strict=True))
    text = TEXT
    marked = {old: f"\0{i}\0" for i, old in enumerate(changes)}
    for old, mark in marked.items():
        text = text.replace(old, mark, 1)
    for old, mark in marked.items():
        text = text.replace(mark, changes[old])
    return text


def test_python_has_what_the_header_declares() -> None:
    assert differences(parse(TEXT), abi) == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_change_of_the_header_alone_is_found(name: str) -> None:
    assert all(old in TEXT for old in BROKEN[name][::2])
    assert differences(parse(broken(name)), abi) != []


def layout(header: Header) -> list[str]:
    """C that compiles only where structures lie as the header was understood."""
    lines = [
        '#include "llmpy.h"',
        "#include <stddef.h>",
        "#define SAME(a, b) _Static_assert((a) == (b), #a)",
    ]
    for name, struct in header.structs.items():
        lines.append(f"SAME(sizeof({name}), {struct.size});")
        lines += [f"SAME(offsetof({name}, {f.name}), {f.offset});" for f in struct.fields]
    for members in header.enums.values():
        lines += [f"SAME({member}, {number});" for member, number in members.items()]
    return lines


def compiles(folder: Path, lines: list[str]) -> bool:
    """Whether a C compiler takes these lines."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        pytest.skip("no C compiler")
    source = folder / "layout.c"
    source.write_text("\n".join([*lines, ""]))
    flags = ["-std=c11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{FOLDER}"]
    done = subprocess.run([compiler, *flags, source], capture_output=True, check=False)
    return done.returncode == 0


def test_the_header_is_c_and_lies_as_it_was_read(tmp_path: Path) -> None:
    lines = layout(parse(TEXT))
    assert compiles(tmp_path, lines)
    assert not compiles(tmp_path, [*lines, "SAME(offsetof(llmpy_op, w), 0);"])


def test_the_header_alone_declares_what_is_exported() -> None:
    native = [p for p in sources.project_files() if sources.name(p).startswith("native/")]
    marked = [sources.name(p) for p in native if "LLMPY_API" in p.read_text(encoding="utf-8")]
    assert marked == ["native/include/llmpy.h"]


def test_names_of_the_graph_have_native_numbers() -> None:
    assert {name.upper() for name in ELEMENTWISE} <= set(abi.Function.__members__)
    assert {name.upper() for name in GATINGS} == set(abi.Gating.__members__)


def test_numbers_of_the_definitions_are_those_of_native_code() -> None:
    assert PAGE_TOKENS == abi.PAGE_TOKENS
    assert MAX_VOCAB == abi.SAMPLE_MAX_VOCAB


@pytest.mark.parametrize("name", ["IQ4_XS", "Q3_K", "Q5_K"])  # which mean nothing else to anybody
def test_a_storage_type_is_named_where_the_recipe_says(name: str) -> None:
    page = (sources.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    recipe = page.partition("### A storage type")[2].partition("\n###")[0]
    listed = set(re.findall(r"`((?:src|native)/[\w/.]+)`", recipe))
    assert len(listed) == 12
    named = {
        sources.name(path)
        for path in sources.project_files()
        if sources.name(path).startswith(("src/", "native/include/", "native/src/"))
        and re.search(f"^[^/\n]*({name}|{name.lower()})", path.read_text(encoding="utf-8"), re.M)
    }
    # Of a family, and of files quantized by several types: their modules and the command's help.
    own = ("src/llmpy/quant/", "src/llmpy/quantization/", "src/llmpy/cli/")
    named -= {path for path in named if path.startswith(own)}
    assert named <= listed


def test_operations_in_arrays_are_the_structure() -> None:
    places = {name: abi.OP.fields[name][1] for name in abi.OP.names or ()}  # type: ignore[index]
    assert places == {name: getattr(abi.Op, name).offset for name, _ in abi.Op._fields_}


@pytest.mark.skipif(not ffi.available(), reason="no compiled library")
def test_the_library_reads_the_types_of_the_header() -> None:
    names = {BY_ID[number].name for number in ffi.weight_types()}
    assert names == {name for name, *_ in parse(TEXT).weight_types}


@pytest.mark.parametrize("shape", [(3, 4), (0,), ()])
def test_a_view_is_the_memory_at_an_address(shape: tuple[int, ...]) -> None:
    values = np.full(shape, 7, np.int32)
    seen = ffi.view(ffi.address(values), shape, np.int32)
    seen += 1
    assert seen.shape == shape
    assert (values == 8).all()


def test_addresses_are_those_of_numpy() -> None:
    values = np.arange(12.0).reshape(3, 4)
    frozen = values.view()
    frozen.flags.writeable = False
    for array in (values, frozen, values.T, values[1:, ::2], values[:0]):
        assert ffi.address(array) == array.ctypes.data
