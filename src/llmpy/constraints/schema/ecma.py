"""Regular expressions of JSON schemas (ECMA-262): their syntax trees, and their JSON strings.

A tree is a tuple: ("set", ranges), ("cat", trees), ("alt", trees), ("repeat", tree, least, most) or
("begin",), ("end",); ranges are pairs of code points.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Any

from llmpy.constraints.limits import MAX_REPEAT
from llmpy.errors import ConstraintError

__all__ = ["CHARACTER", "Tree", "matches", "parsed", "quoted"]

Tree = tuple[Any, ...]
Ranges = tuple[tuple[int, int], ...]

LAST = 0x10FFFF
DIGIT: Ranges = ((0x30, 0x39),)
WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
SPACE: Ranges = (
    (0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029),
    (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF),
)  # fmt: skip
BREAKS: Ranges = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
CONTROLS = {"t": 0x09, "n": 0x0A, "v": 0x0B, "f": 0x0C, "r": 0x0D}
CATEGORIES = {
    "Letter": "L", "Uppercase_Letter": "Lu", "Lowercase_Letter": "Ll", "Number": "N",
    "Decimal_Number": "Nd", "digit": "Nd", "Punctuation": "P", "Symbol": "S", "Mark": "M",
}  # fmt: skip
SYNTAX = "^$\\.*+?()[]{}|/"
MAX_DEPTH = 50
MAX_LENGTH = 10_000

# A character of a JSON string, written as Python's json.dumps(ensure_ascii=False) writes it.
ESCAPES = {0x22: '\\\\"', 0x5C: "\\\\\\\\", 0x08: "\\\\b", 0x09: "\\\\t", 0x0A: "\\\\n"}
ESCAPES |= {0x0C: "\\\\f", 0x0D: "\\\\r"}
CHARACTER = r'(?:[^"\\\x00-\x1f]|\\(?:["\\bfnrt]|u00(?:0[0-7bef]|1[0-9a-f])))'


@lru_cache(maxsize=512)
def parsed(pattern: str) -> Tree:
    """Return the tree of a regular expression; ConstraintError for one that is not understood."""
    if len(pattern) > MAX_LENGTH:
        raise ConstraintError(f"pattern: expected at most {MAX_LENGTH} characters")
    parser = _Parser(pattern)
    tree = parser.alternatives(0)
    if parser.at < len(pattern):
        parser.refuse("an unmatched )")
    if _size(tree) > MAX_REPEAT:
        parser.refuse(f"repetitions that make more than {MAX_REPEAT} characters")
    return tree


def _size(tree: Tree) -> int:
    """Return the number of characters of a tree, with its repetitions written out."""
    if tree[0] in ("cat", "alt"):
        return sum(map(_size, tree[1]))
    times: int = max(1, tree[2], tree[3] or 0) if tree[0] == "repeat" else 1
    return times * (_size(tree[1]) if tree[0] == "repeat" else 1)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.n_groups = 0

    def refuse(self, what: str) -> None:
        """Raise ConstraintError for something at the current place."""
        shown = self.text if len(self.text) <= 60 else f"{self.text[:57]}..."
        raise ConstraintError(f"pattern {shown!r}: {what} is not supported, at {self.at}")

    def peek(self, n: int = 1) -> str:
        return self.text[self.at : self.at + n]

    def taken(self, text: str) -> bool:
        """Whether `text` comes next; it is passed then."""
        if self.peek(len(text)) != text:
            return False
        self.at += len(text)
        return True

    def alternatives(self, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            self.refuse(f"more than {MAX_DEPTH} nested groups")
        branches = [self.sequence(depth)]
        while self.taken("|"):
            branches.append(self.sequence(depth))
        return branches[0] if len(branches) == 1 else ("alt", tuple(branches))

    def sequence(self, depth: int) -> Tree:
        items: list[Tree] = []
        while self.at < len(self.text) and self.peek() not in "|)":
            items.append(self.repeated(self.atom(depth)))
        return items[0] if len(items) == 1 else ("cat", tuple(items))

    def repeated(self, tree: Tree) -> Tree:
        while True:
            start = self.at
            if self.taken("*"):
                bounds: tuple[int, int | None] = (0, None)
            elif self.taken("+"):
                bounds = (1, None)
            elif self.taken("?"):
                bounds = (0, 1)
            elif self.peek() == "{" and (found := self.bounds()) is not None:
                bounds = found
            else:
                return tree
            if tree[0] in ("begin", "end", "repeat") and start:
                if tree[0] == "repeat" and self.text[start - 1] in "*+?}":
                    self.refuse("a repeated repetition")
                if tree[0] != "repeat":
                    self.refuse("a repeated anchor")
            self.taken("?")  # the same language, whichever match is preferred
            tree = ("repeat", tree, *bounds)

    def bounds(self) -> tuple[int, int | None] | None:
        end = self.text.find("}", self.at)
        least, comma, most = self.text[self.at + 1 : max(end, 0)].partition(",")
        if end < 0 or not least.isascii() or not least.isdigit() or (most and not most.isdigit()):
            return None
        self.at = end + 1
        if max(len(least), len(most)) > 9 or max(int(least), int(most or 0)) > MAX_REPEAT:
            self.refuse(f"a repetition of more than {MAX_REPEAT} times")
        if not comma:
            return int(least), int(least)
        if most and int(most) < int(least):
            self.refuse("a repetition with its bounds in the wrong order")
        return int(least), int(most) if most else None

    def atom(self, depth: int) -> Tree:
        c = self.peek()
        self.at += 1
        if c == "(":
            return self.group(depth)
        if c == "[":
            return ("set", self.char_class())
        if c == "^":
            return ("begin",)
        if c == "$":
            return ("end",)
        if c == ".":
            return ("set", _inverse(BREAKS))
        if c == "\\":
            return ("set", self.escape(in_class=False))
        if c in "*+?":
            self.at -= 1
            self.refuse(f"{c} without anything to repeat")
        return ("set", ((ord(c), ord(c)),))

    def group(self, depth: int) -> Tree:
        if self.taken("?"):
            if self.peek() == "<" and self.peek(2) not in ("<=", "<!"):
                end = self.text.find(">", self.at)
                self.at = end + 1 if end > 0 else len(self.text)
            elif not self.taken(":"):
                self.refuse(f"(?{self.peek()}")
        tree = self.alternatives(depth + 1)
        if not self.taken(")"):
            self.refuse("a ( without its )")
        return tree if tree[0] != "repeat" else ("cat", (tree,))

    def char_class(self) -> Ranges:
        inverted = self.taken("^")
        ranges: list[tuple[int, int]] = []
        while not self.taken("]"):
            if self.at >= len(self.text):
                self.refuse("a [ without its ]")
            low = self.class_item()
            one = len(low) == 1 and low[0][0] == low[0][1]
            if one and self.peek() == "-" and self.peek(2) not in ("-]", "-"):
                self.at += 1
                high = self.class_item()
                if len(high) != 1 or high[0][0] != high[0][1] or high[0][0] < low[0][0]:
                    self.refuse("a range of this kind")
                ranges.append((low[0][0], high[0][0]))
            else:
                ranges += low
        found = _merged(ranges)
        return _inverse(found) if inverted else found

    def class_item(self) -> Ranges:
        c = self.peek()
        self.at += 1
        if c == "\\":
            return self.escape(in_class=True)
        return ((ord(c), ord(c)),)

    def escape(self, *, in_class: bool) -> Ranges:
        c = self.peek()
        self.at += 1
        classes = {"d": DIGIT, "w": WORD, "s": SPACE}
        if c and c.lower() in classes:
            found = classes[c.lower()]
            return found if c.islower() else _inverse(found)
        if c in CONTROLS:
            return ((CONTROLS[c], CONTROLS[c]),)
        if c == "b" and in_class:
            return ((8, 8),)
        if c == "0" and not self.peek().isdigit():
            return ((0, 0),)
        if c in ("x", "u", "c"):
            code = self.code(c)
            return ((code, code),)
        if c in ("p", "P"):
            found = self.category()
            return found if c == "p" else _inverse(found)
        if c and (c in SYNTAX or c in "-#&~@%,;:=!\"'` <>_"):
            return ((ord(c), ord(c)),)
        self.at -= 2
        self.refuse(f"\\{c}")
        raise AssertionError

    def code(self, kind: str) -> int:
        if kind == "c":
            letter = self.peek()
            if not (letter.isascii() and letter.isalpha()):
                self.refuse("\\c without a letter")
            self.at += 1
            return ord(letter) % 32
        if kind == "u" and self.taken("{"):
            digits, _, _ = self.text[self.at : self.at + 9].partition("}")
            self.at += len(digits) + 1
        else:
            digits = self.peek(2 if kind == "x" else 4)
            self.at += len(digits)
            if kind == "u" and digits[:2].lower() in ("d8", "d9", "da", "db"):
                low = self.text[self.at + 2 : self.at + 6]
                if self.peek(2) == "\\u" and len(low) == 4:
                    self.at += 6
                    return (
                        0x10000
                        + (self.number(digits) - 0xD800) * 0x400
                        + (self.number(low) - 0xDC00)
                    )
        code = self.number(digits)
        if code > LAST or 0xD800 <= code <= 0xDFFF:
            self.refuse("a code that is no character")
        return code

    def number(self, digits: str) -> int:
        if not digits or any(c not in "0123456789abcdefABCDEF" for c in digits):
            self.refuse("an escape without its digits")
        return int(digits, 16)

    def category(self) -> Ranges:
        end = self.text.find("}", self.at)
        name = self.text[self.at + 1 : max(end, 0)].rpartition("=")[2]
        name = CATEGORIES.get(name, name)
        if self.peek() != "{" or end < 0 or not (found := _category(name)):
            self.refuse("this \\p")
        self.at = end + 1
        return found


@lru_cache(maxsize=1)
def _categories() -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for code in range(LAST + 1):
        runs = found.setdefault(unicodedata.category(chr(code)), [])
        if runs and runs[-1][1] == code - 1:
            runs[-1] = (runs[-1][0], code)
        else:
            runs.append((code, code))
    return found


def _category(name: str) -> Ranges:
    if not 1 <= len(name) <= 2:
        return ()
    return _merged([r for key, runs in _categories().items() if key.startswith(name) for r in runs])


def _merged(ranges: list[tuple[int, int]]) -> Ranges:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def _inverse(ranges: Ranges) -> Ranges:
    found, begin = [], 0
    for low, high in ranges:
        if low > begin:
            found.append((begin, low - 1))
        begin = high + 1
    if begin <= LAST:
        found.append((begin, LAST))
    return tuple(found)


# What a pattern matches


def matches(tree: Tree, text: str) -> bool:
    """Whether the pattern is found in a text, in time that grows with its length only."""
    return bool(_ends(tree, text, set(range(len(text) + 1))))


def _ends(tree: Tree, text: str, starts: set[int]) -> set[int]:
    """Return the ends of matches that begin at one of `starts`."""
    kind = tree[0]
    if kind == "set":
        return {
            i + 1
            for i in starts
            if i < len(text) and any(low <= ord(text[i]) <= high for low, high in tree[1])
        }
    if kind == "cat":
        for part in tree[1]:
            starts = _ends(part, text, starts)
        return starts
    if kind == "alt":
        return set[int]().union(*(_ends(part, text, starts) for part in tree[1]))
    if kind == "repeat":
        return _repeat_ends(tree, text, starts)
    return starts & ({0} if kind == "begin" else {len(text)})


def _repeat_ends(tree: Tree, text: str, starts: set[int]) -> set[int]:
    _, part, least, most = tree
    for _ in range(least):
        before, starts = starts, _ends(part, text, starts)
        if starts == before or not starts:
            break
    found, new, n = set(starts), starts, least
    while new and (most is None or n < most):
        new = _ends(part, text, new) - found
        found |= new
        n += 1
    return found


# The same inside a JSON text


def quoted(tree: Tree) -> str:
    """Return the pattern of JSON strings in which the pattern is found, quotes included.

    In the syntax of Rust's regex crate, in which a `/` is escaped for Lark.
    """
    branches = []
    for items in _branches(tree):
        begins, ends = items[:1] == [("begin",)], items[-1:] == [("end",)]
        while items[:1] == [("begin",)]:
            items = items[1:]
        while items[-1:] == [("end",)]:
            items = items[:-1]
        inner = "".join(map(_written, items))
        before = "" if begins else f"{CHARACTER}*"
        branches.append(before + inner + ("" if ends else f"{CHARACTER}*"))
    return '"' + (branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})") + '"'


def _branches(tree: Tree) -> list[list[Tree]]:
    """The alternatives of a tree as sequences, with anchors at their ends only."""
    if tree[0] == "alt":
        return [items for part in tree[1] for items in _branches(part)]
    if tree[0] != "cat":
        return [[tree]]
    found: list[list[Tree]] = [[]]
    for part in tree[1]:
        parts = _branches(part) if _has_anchor(part) else [[part]]
        found = [items + more for items in found for more in parts]
        if len(found) > 64:
            raise ConstraintError("pattern: expected fewer alternatives with anchors")
    return found


def _has_anchor(tree: Tree) -> bool:
    if tree[0] in ("cat", "alt"):
        return any(map(_has_anchor, tree[1]))
    return tree[0] in ("begin", "end") or (tree[0] == "repeat" and _has_anchor(tree[1]))


def _written(tree: Tree) -> str:
    kind = tree[0]
    if kind == "set":
        return _written_set(tree[1])
    if kind == "cat":
        return "".join(map(_written, tree[1]))
    if kind == "alt":
        return f"(?:{'|'.join(map(_written, tree[1]))})"
    if kind == "repeat":
        _, part, least, most = tree
        inner = f"(?:{_written(part)})"
        if (least, most) == (0, None):
            return inner + "*"
        if (least, most) == (1, None):
            return inner + "+"
        return f"{inner}{{{least},{'' if most is None else most}}}"
    raise ConstraintError("pattern: an anchor within a pattern is not supported")


@lru_cache(maxsize=1024)
def _written_set(ranges: Ranges) -> str:
    """The characters of a set, as they are written in a JSON string."""
    if ranges == ((0, LAST),):
        return CHARACTER
    special = [*range(0x20), 0x22, 0x5C]
    inside = {c for c in special if any(low <= c <= high for low, high in ranges)}
    options = [ESCAPES.get(c, f"\\\\u{c:04x}") for c in sorted(inside)]
    if plain := _without(ranges, special):
        shown = "".join(
            f"\\x{{{low:x}}}" if low == high else f"\\x{{{low:x}}}-\\x{{{high:x}}}"
            for low, high in plain
        )
        options.insert(0, f"[{shown}]")
    if not options:
        return "[^\\x{0}-\\x{10ffff}]"
    return options[0] if len(options) == 1 else f"(?:{'|'.join(options)})"


def _without(ranges: Ranges, codes: list[int]) -> list[tuple[int, int]]:
    """The ranges without some code points, and without surrogates."""
    removed = _merged([*((c, c) for c in codes), (0xD800, 0xDFFF)])
    kept = []
    for low, high in _inverse(removed):
        for a, b in ranges:
            if max(low, a) <= min(high, b):
                kept.append((max(low, a), min(high, b)))
    return kept
