"""Kernels in WGSL: no product of floats feeds a sum except through fma().

Drivers may fuse `a * b + c` in one kernel and not in another, and a token's numbers would depend on
which of them computed it. Products of integers are places; what is a float is told by how it is
made, so the names of floats are never those of integers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import llmpy.backends.gpu
from llmpy.backends.gpu.device import FLOATS

FOLDER = Path(llmpy.backends.gpu.__file__).parent / "wgsl"
FILES = sorted(path.name for path in FOLDER.glob("*.wgsl"))
RETURNS_FLOAT = {
    "abs", "exp", "fma", "inverseSqrt", "log", "max", "min", "pow", "round", "select", "sqrt",
    "tanh",
}  # fmt: skip
DECLARED = re.compile(r"(?:let|var(?:<\w+>)?)\s+(\w+)\s*(?::\s*([^=;]+))?(?:=\s*([^;]+))?;")
FUNCTION = re.compile(r"fn\s+(\w+)\s*\(([^)]*)\)\s*->\s*(f32|vec4<f32>)")
FLOAT = re.compile(r"\d\.\d|bitcast<f32>|\bf32\(|\bA\[|vec\d<f32>|unpack2x16float")


def sections(name: str) -> list[str]:
    """The code of a file for each kernel or type that it has sections of, else all of it."""
    text = re.sub(r"\{t\}|\$", "", (FOLDER / name).read_text("utf-8"))
    first, *others = re.split(r"^//#.*", text, flags=re.M)
    return [re.sub(r"//[^\n]*", "", first + other) for other in others or [""]]


WHOLE = "\n".join(text for name in FILES for text in sections(name))


def names_of_floats(text: str) -> set[str]:
    """Variables, parameters, fields and functions that are floats."""
    found = {m[1] for m in FUNCTION.finditer(WHOLE)}
    found |= {m[1] for m in re.finditer(r"(\w+)\s*:\s*(?:array<)?(?:vec\d<)?f32", text)}
    before = -1
    while len(found) > before:
        before = len(found)
        for name, kind, value in DECLARED.findall(text):
            if "f32" in kind or (value and is_float(value, found)):
                found.add(name)
    return found


def outside(text: str, opening: str = "([", closing: str = ")]") -> str:
    """Text without what is in brackets: of calls and indices only the names are left."""
    depth, kept = 0, []
    for c in text:
        depth -= c in closing
        kept.append(c if depth == 0 else " ")
        depth += c in opening
    return "".join(kept)


def is_float(term: str, floats: set[str]) -> bool:
    """Whether a term is one: by what is in it, but for indices and the arguments of integers."""
    term = re.sub(r"bitcast<u32>\([^()]*\)|\b[ui]32\([^()]*\)", "0u", term)
    term = re.sub(r"\bp\.(\w+)", lambda m: "0.0" if m[1] in FLOATS else "0u", term)
    shown = outside(term, "[", "]")
    words = set(re.findall(r"[A-Za-z_]\w*", shown)) - RETURNS_FLOAT
    integers = re.search(r"[<>]=?|==|!=|&&|\|\|", re.sub(r"<[fu]32>|<<|>>", "", shown))
    return integers is None and (bool(FLOAT.search(term)) or bool(words & floats))


def terms(expression: str) -> list[str]:
    """The operands of + and - at the top of an expression."""
    flat, found, start = outside(expression), [], 0
    for m in re.finditer(r"(?<=[\w\])])\s*([+-])(?!=)", flat):
        found.append(expression[start : m.start(1)])
        start = m.end(1)
    return [*found, expression[start:]]


def expressions(text: str) -> Iterator[str]:
    """All expressions: of statements, and of whatever is in brackets."""
    for statement in re.split(r"[;{}]", text):
        for side in re.split(r"(?<![=<>!+*/|&^-])=(?!=)|\+=|-=", statement):
            yield from parts(side)
        if m := re.search(r"[+-]=(.*)", statement, re.S):
            yield "0.0 + " + m[1]


def parts(expression: str) -> Iterator[str]:
    """An expression, cut at commas and comparisons, and those in its brackets."""
    flat, start = outside(expression), 0
    for end in [
        *(m.start() for m in re.finditer(r",|[<>=!]=|&&|\|\||\breturn\b", flat)),
        len(flat),
    ]:
        yield expression[start:end].lstrip(",<>=!&| ").removeprefix("return")
        start = end
    depth, begin = 0, 0
    for i, c in enumerate(expression):
        if c in "([":
            begin, depth = (i + 1, 1) if depth == 0 else (begin, depth + 1)
        elif c in ")]":
            depth -= 1
            if depth == 0:
                yield from parts(expression[begin:i])


def wrong(text: str, floats: set[str]) -> list[str]:
    """The sums of which an operand is a product of floats."""
    found = []
    for expression in expressions(text):
        some = terms(expression)
        if len(some) > 1 and any("*" in outside(t) and is_float(t, floats) for t in some):
            found.append(" ".join(expression.split()))
    return found


@pytest.mark.parametrize("name", FILES)
def test_products_feed_sums_through_fma(name: str) -> None:
    for text in sections(name):
        assert wrong(text, names_of_floats(text)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("let x = A[i] * w + b;", True),
        ("sum += value * 2.0;", True),
        ("let x = exp(score * 0.5 - most);", True),
        ("A[p.y + row * p.n + k] = fma(a, A[i * p.n + 1u], 1.0);", False),
        ("return fma(x, y, 1.0) * 2.0;", False),
        ("if (A[i * 2u + 1u] > most * 2.0) { x = 1.0; }", False),
        ("y = x - (most * 2.0);", False),  # not looked through: brackets are one operand
    ],
)
def test_the_check_finds_such_products(text: str, expected: bool) -> None:
    assert bool(wrong(text, {"w", "b", "value", "score", "most", "x"})) is expected


def test_all_files_are_read() -> None:
    assert {"attend.wgsl", "linear.wgsl", "recurrent.wgsl", "weights.wgsl"} <= set(FILES)
