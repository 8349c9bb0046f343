"""A JSON schema as a list of numbered subschemas, with every reference resolved."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from llmpy.errors import ConstraintError

__all__ = ["UNSUPPORTED", "Document", "Literal", "Node", "copied"]

Literal = tuple[int, bool]  # the number of a subschema, and whether it shall hold

MAX_DEPTH = 64
MAX_COST = 400_000  # values and characters of a schema
MAX_BITS = 1100  # of a whole number: about those of the largest float
DRAFTS = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
)
IN_MAPS = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
IN_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
IN_PLACE = (
    "additionalProperties", "propertyNames", "unevaluatedProperties", "items", "contains",
    "unevaluatedItems", "not", "if", "then", "else", "contentSchema",
)  # fmt: skip
UNSUPPORTED = {
    "dependencies": "use dependentRequired or dependentSchemas",
    "additionalItems": "use prefixItems and items",
    "$recursiveRef": "use $ref",
    "$recursiveAnchor": "use $ref",
    "$vocabulary": "it is for metaschemas",
}


class Node:
    """A subschema, the base of its references, and where it stands."""

    __slots__ = ("base", "pointer", "schema")

    def __init__(self, schema: Any, base: str, pointer: str) -> None:
        self.schema = schema
        self.base = base
        self.pointer = pointer


def copied(value: Any) -> Any:
    """Return a copy of a JSON value; ConstraintError for what is none, or too large or deep."""
    budget = [MAX_COST]

    def copy(value: Any, depth: int) -> Any:
        budget[0] -= 1 + (len(value) if isinstance(value, str) else 0)
        if budget[0] < 0:
            raise ConstraintError(f"schema: expected at most {MAX_COST} values and characters")
        if depth > MAX_DEPTH:
            raise ConstraintError(f"schema: expected at most {MAX_DEPTH} levels of nesting")
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str):
                    raise ConstraintError(f"schema: expected keys of type str, found {key!r}")
            return {copy(k, depth): copy(v, depth + 1) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [copy(v, depth + 1) for v in value]
        if isinstance(value, bool | str) or value is None:
            return _text(value) if isinstance(value, str) else value
        if isinstance(value, int) and abs(value).bit_length() <= MAX_BITS:
            return int(value)
        if isinstance(value, float) and math.isfinite(value):
            return float(value)
        shown = type(value).__name__ if isinstance(value, int) else repr(value)[:60]
        raise ConstraintError(f"schema: expected values of JSON, found {shown}")

    return copy(value, 0)


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConstraintError(f"schema: found a lone surrogate in {value[:40]!r}") from None
    return str(value)


class Document:
    """All subschemas of a schema by number; `add` makes new ones."""

    def __init__(self, schema: Any) -> None:
        self.nodes: list[Node] = []
        self._numbers: dict[int, int] = {}  # by identity of the subschema
        self._resources: dict[str, Any] = {}  # by URI
        self._anchors: dict[tuple[str, str], Any] = {}
        self._dynamic: dict[str, list[Any]] = {}
        self._bases: dict[int, tuple[str, str]] = {}  # of each subschema: base and pointer
        self.has_unevaluated = False
        self.schema = schema = copied(schema)
        self._walk(schema, "", "")
        self._resources.setdefault("", schema)
        self.root = self.number(schema)

    def number(self, schema: Any, parent: Node | None = None) -> int:
        """Return the number of a subschema that stands in the document."""
        if isinstance(schema, bool):
            return self.add(schema, parent)
        if id(schema) not in self._numbers:
            if id(schema) not in self._bases:  # it stands where no keyword would look for one
                base, pointer = (parent.base, parent.pointer) if parent else ("", "")
                self._walk(schema, base, pointer)
            base, pointer = self._bases[id(schema)]
            self._numbers[id(schema)] = len(self.nodes)
            self.nodes.append(Node(schema, base, pointer))
        return self._numbers[id(schema)]

    def add(self, schema: Any, parent: Node | None = None) -> int:
        """Return the number of a new subschema, which stands for a part of `parent`."""
        base, pointer = (parent.base, parent.pointer) if parent else ("", "")
        self.nodes.append(Node(schema, base, pointer))
        return len(self.nodes) - 1

    def _walk(self, schema: Any, base: str, pointer: str) -> None:
        if isinstance(schema, bool):
            return
        if not isinstance(schema, dict):
            raise ConstraintError(
                f"expected an object or a boolean, found {schema!r}"[:200], pointer
            )
        self._bases[id(schema)] = base, pointer
        self._check(schema, pointer)
        name = schema.get("$id")
        if isinstance(name, str):
            base = urldefrag(urljoin(base, name))[0]
            if self._resources.setdefault(base, schema) is not schema:
                raise ConstraintError(f"$id: {name!r} is there twice", pointer)
            self._bases[id(schema)] = base, pointer
        for key in ("$anchor", "$dynamicAnchor"):
            if isinstance(schema.get(key), str):
                self._anchors[base, schema[key]] = schema
        if isinstance(schema.get("$dynamicAnchor"), str):
            self._dynamic.setdefault(schema["$dynamicAnchor"], []).append(schema)
        self.has_unevaluated |= "unevaluatedProperties" in schema or "unevaluatedItems" in schema
        for key, value in schema.items():
            at = f"{pointer}/{_escaped(key)}"
            if key in IN_PLACE:
                self._walk(value, base, at)
            elif key in IN_MAPS and isinstance(value, dict):
                for name, part in value.items():
                    self._walk(part, base, f"{at}/{_escaped(name)}")
            elif key in IN_LISTS and isinstance(value, list):
                for i, part in enumerate(value):
                    self._walk(part, base, f"{at}/{i}")

    def _check(self, schema: dict[str, Any], pointer: str) -> None:
        """Refuse what has another meaning in an older draft."""
        for key, hint in UNSUPPORTED.items():
            if key in schema:
                raise ConstraintError(f"{key} is not supported: {hint}", pointer)
        if isinstance(schema.get("items"), list):
            raise ConstraintError("items: a list is not supported: use prefixItems", pointer)
        draft = schema.get("$schema")
        if draft is not None and (not isinstance(draft, str) or draft.rstrip("#") not in DRAFTS):
            raise ConstraintError(f"$schema: {draft!r} is not supported", pointer)

    def resolved(self, node: Node, keyword: str) -> int:
        """Return the number of what `$ref` or `$dynamicRef` of a node refers to."""
        reference = node.schema[keyword]
        if not isinstance(reference, str):
            raise ConstraintError(f"{keyword}: expected a string", node.pointer)
        uri, fragment = urldefrag(reference)
        base = urljoin(node.base, uri) if uri else node.base
        target = self._resources.get(base, self._resources.get("") if base == "" else None)
        if target is None:
            raise ConstraintError(
                f"{keyword}: {reference!r} is not in this schema, and nothing is fetched",
                node.pointer,
            )
        fragment = unquote(fragment)
        if fragment and not fragment.startswith("/"):
            target = self._anchors.get((base, fragment))
            if target is None:
                raise ConstraintError(f"{keyword}: {reference!r} is nowhere", node.pointer)
        elif fragment:
            target = self._pointed(target, fragment, f"{keyword}: {reference!r}", node.pointer)
        if keyword == "$dynamicRef" and fragment and isinstance(target, dict):
            name = target.get("$dynamicAnchor")
            if name == fragment and len(self._dynamic.get(name, ())) > 1:
                raise ConstraintError(
                    f"$dynamicRef to {name!r} is not supported where it has several targets",
                    node.pointer,
                )
        return self.number(target, node)

    def _pointed(self, target: Any, fragment: str, what: str, pointer: str) -> Any:
        for part in fragment[1:].split("/"):
            part = part.replace("~1", "/").replace("~0", "~")
            if isinstance(target, dict) and part in target:
                target = target[part]
            elif isinstance(target, list) and part.isdigit() and int(part) < len(target):
                target = target[int(part)]
            else:
                raise ConstraintError(f"{what} is nowhere", pointer)
        return target


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
