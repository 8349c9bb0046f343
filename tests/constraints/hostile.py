"""Schemas, regular expressions and grammars that are made to cost, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llmpy
from llmpy.constraints import Constraint

MANY = 30_000


def nested(key: str, n: int, inner: Any = True) -> Any:
    """A schema within a schema, and so on."""
    for _ in range(n):
        inner = {key: [inner]} if key in ("allOf", "anyOf", "oneOf") else {key: inner}
    return inner


def doubling(key: str, n: int) -> dict[str, Any]:
    """A definition that uses the one before it twice, and so on."""
    defs: dict[str, Any] = {"a0": {"type": "string", "pattern": "^x*$"}}
    for i in range(1, n):
        ref = {"$ref": f"#/$defs/a{i - 1}"}
        defs[f"a{i}"] = {key: [ref, {"allOf": [ref], "minLength": i}]}
    return {"$ref": f"#/$defs/a{n - 1}", "$defs": defs}


def circular() -> Any:
    schema: dict[str, Any] = {"type": "object"}
    schema["properties"] = {"a": schema}
    return schema


def alternatives(n: int) -> dict[str, Any]:
    """Conditions whose combinations double with each."""
    parts = [{"anyOf": [{"required": [f"a{i}"]}, {"required": [f"b{i}"]}]} for i in range(n)]
    return {"allOf": parts}


def chain(n: int, last: str) -> str:
    """Rules each of which repeats the next one."""
    rules = [f"r{i}: (r{i + 1} | r{i + 1} r{i + 1}){{1,100}}" for i in range(n)]
    return "\n".join(["start: r0", *rules, f"r{n}: {last}"])


SCHEMAS: dict[str, Callable[[], Any]] = {
    "deep arrays": lambda: nested("items", 3000),
    "deep allOf": lambda: nested("allOf", 3000),
    "deep not": lambda: nested("not", 60, {"type": "object", "required": ["a"]}),
    "huge enum": lambda: {"enum": [f"{i} {'x' * 20}" for i in range(MANY)]},
    "large enum": lambda: {"enum": [f"value {i}" for i in range(5000)]},
    "many properties": lambda: {"properties": {f"p{i}": {"type": "string"} for i in range(MANY)}},
    "many required": lambda: {
        "properties": {f"p{i}": {"type": "integer"} for i in range(3000)},
        "required": [f"p{i}" for i in range(3000)],
    },
    "circular dict": circular,
    "endless reference": lambda: {"$ref": "#"},
    "references in a ring": lambda: {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}},
    },
    "only infinite values": lambda: {
        "type": "object",
        "properties": {"a": {"$ref": "#"}},
        "required": ["a"],
    },
    "doubling anyOf": lambda: doubling("anyOf", 200),
    "doubling allOf": lambda: doubling("allOf", 200),
    "doubling oneOf": lambda: doubling("oneOf", 30),
    "many combinations": lambda: alternatives(40),
    "long string": lambda: {"type": "string", "minLength": 10**9},
    "long array": lambda: {"type": "array", "minItems": 10**9},
    "nested lengths": lambda: {
        "type": "array",
        "minItems": 9000,
        "items": {"type": "array", "minItems": 9000, "items": {"minLength": 9000}},
    },
    "one long value": lambda: {
        "type": "array",
        "minItems": 9000,
        "items": {"type": "array", "minItems": 9000, "items": {"const": 1}},
    },
    "one long string": lambda: {"type": "string", "minLength": 9000, "pattern": "^a*$"},
    "counted items": lambda: {
        "contains": {"type": "string", "pattern": "^a"},
        "minContains": 5000,
        "maxContains": 9000,
    },
    "large pattern": lambda: {"pattern": "(a|b)" * 20_000},
    "pattern in patterns": lambda: {"pattern": "(" * 3000 + "a" + ")" * 3000},
    "repeated pattern": lambda: {"type": "string", "pattern": "^((a{100}){100}){100}$"},
    "exponential pattern": lambda: {"type": "string", "pattern": "(a|b)*a(a|b){5000}c"},
    "patterns at once": lambda: {
        "type": "string",
        "allOf": [{"pattern": f"(.*{c}){{20}}"} for c in "abcdefgh"],
    },
    "not patterns": lambda: {"type": "string", "not": {"pattern": "(a|b)*a(a|b){300}"}},
    "pattern over names": lambda: {
        "patternProperties": {"(a*)*(a*)*(a*)*b": True},
        "properties": {"a" * 5000: {"type": "string"}},
    },
    "many patterns of names": lambda: {"patternProperties": {f"^{c}": True for c in "abcdefgh"}},
    "fine multiples": lambda: {"type": "number", "multipleOf": 1e-300},
    "coarse multiples": lambda: {"type": "integer", "multipleOf": 123456789},
    "large number": lambda: {"type": "integer", "minimum": 10**300},
    "larger number": lambda: {"const": 10**5000},
    "not a number": lambda: {"const": float("nan")},
    "surrogate": lambda: {"const": "\ud800"},
    "set": lambda: {"enum": {1, 2}},
    "many unions": lambda: {
        "anyOf": [
            {"type": "object", "properties": {f"p{i}": {"const": i}}, "required": [f"p{i}"]}
            for i in range(2000)
        ]
    },
}
REGEXES: dict[str, str] = {
    "groups": "(" * 5000 + "a" + ")" * 5000,
    "classes": "[" * 5000 + "a" + "]" * 5000,
    "repetition": "a{1000000}",
    "repetitions": "((a{1000}){1000}){1000}",
    "stars": "(" * 90 + "a" + "*)" * 90,
    "exponential": "(a|b)*a(a|b){10000}c",
    "digits": "a{99999999999999999999}",
    "long": "ab?" * 40_000,
    "letters": r"\p{L}{10000}",
    "alternatives": "|".join(f"{i}x*" for i in range(9000)),
    "classes of letters": r"(\p{L}\p{N}?){3000}",
    "unfinished": "(a",
    "impossible": "[^\\x{0}-\\x{10FFFF}]",
    "surrogate": "\ud800",
    "and": "(?=a)b",
}
GRAMMARS: dict[str, str] = {
    "brackets": "start: " + "(" * 5000 + '"a"' + ")" * 5000,
    "rules": "\n".join(["start: r0", *(f"r{i}: r{i + 1}" for i in range(50_000)), 'r50000: "a"']),
    "chain": chain(20, '"a"'),
    "repetition": 'start: "a"{1000000000}',
    "terminals": "\n".join(
        ["start: T0", *(f"T{i}: T{i + 1} T{i + 1}" for i in range(60)), 'T60: "a"']
    ),
    "repeated terminals": "\n".join(
        ["start: T0", *(f"T{i}: T{i + 1}{{100}}" for i in range(20)), 'T20: "a"']
    ),
    "left recursion": 'start: start start | "a" | ""',
    "greedy": "start: /a+/ /a+/",
    "greedy gbnf": 'root ::= "x" [a]+ [a]+',
    "settings": '%llguidance {"no_forcing": false}\nstart: /a+/ /a+/',
    "settings without JSON": "%llguidance {\nstart: /a/",
    "ambiguous": "start: a+\na: b* b* b*\nb: c? c? c?\nc: /a*/",
    "no end": 'start: "a" start',
    "unknown rule": "start: nobody",
    "nothing": "",
    "json": 'start: %json {"type": "string", "pattern": "((a{1000}){1000}){1000}"}',
    "deep json": "start: %json " + '{"items":' * 5000 + "true" + "}" * 5000,
    "gbnf": "root ::= " + "(" * 5000 + '"a"' + ")" * 5000,
    "gbnf repetition": 'root ::= ("a"{1000000}){1000000}',
    "gbnf unfinished": "root ::= [a-",
    "gbnf without root": 'rule ::= "a"',
    "quotes": 'start: "' + "a" * 400_000 + '"',
    "comment": "start: /a/ //" + "(" * 10_000,
    "import": "%import common.WORD\nstart: WORD",
    "null": 'start: "\x00"',
}


def made(kind: str, name: str) -> Constraint:
    """The constraint of one of them."""
    if kind == "schema":
        return llmpy.json_schema(SCHEMAS[name]())
    return llmpy.regex(REGEXES[name]) if kind == "regex" else llmpy.grammar(GRAMMARS[name])
