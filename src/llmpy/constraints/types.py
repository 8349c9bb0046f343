"""Python types as JSON schemas, and JSON values as objects of these types.

pydantic is not imported: a model of it brings its own schema and its own validation.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import re
import types
import typing
import uuid
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Literal, Union

from llmpy import checks
from llmpy.constraints.constraint import Constraint
from llmpy.constraints.schema import json_schema
from llmpy.errors import ConstraintError

__all__ = [
    "AnswerType",
    "Constrain",
    "answer_type",
    "closed",
    "constraint_of",
    "has_fields",
    "schema_of",
]

Constrain = Constraint | Mapping[str, Any] | type | Any
"""What `constrain=` takes: a constraint, a JSON schema as a dict, or a type."""

Convert = Callable[[Any], Any]
Described = tuple[dict[str, Any], Convert]

PLAIN: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
FORMATTED: dict[type, tuple[str, Convert]] = {
    datetime.datetime: ("date-time", datetime.datetime.fromisoformat),
    datetime.date: ("date", datetime.date.fromisoformat),
    datetime.time: ("time", datetime.time.fromisoformat),
    uuid.UUID: ("uuid", uuid.UUID),
}
BOUNDS = {  # attributes of metadata in Annotated, as annotated_types and pydantic name them
    "ge": ("minimum",),
    "gt": ("exclusiveMinimum",),
    "le": ("maximum",),
    "lt": ("exclusiveMaximum",),
    "multiple_of": ("multipleOf",),
    "min_length": ("minLength", "minItems"),  # of strings, of arrays
    "max_length": ("maxLength", "maxItems"),
    "pattern": ("pattern",),
}
UNIONS = (Union, types.UnionType)
QUALIFIERS = (typing.Required, typing.NotRequired, getattr(typing, "ReadOnly", typing.Required))


class Mismatch(Exception):
    """A JSON value is none of a type."""


@dataclasses.dataclass(frozen=True)
class AnswerType:
    """A type of answers: its JSON schema, the constraint of that, and how JSON becomes a value."""

    schema: Any
    constraint: Constraint
    _convert: Convert

    def value(self, text: str) -> Any:
        """Return the value that a JSON text stands for; ValueError where the type refuses it."""
        try:
            return self._convert(json.loads(text))
        except Mismatch as error:
            raise ValueError(str(error)) from None


def answer_type(given: Any) -> AnswerType:
    """Return what is needed to generate values of a type, or values that are valid by a schema.

    Raises TypeError for a type that has no JSON, ConstraintError for a schema that is not
    supported.
    """
    if isinstance(given, Mapping):
        return AnswerType(given, json_schema(given), lambda value: value)
    if isinstance(given, Constraint):
        raise checks.wrong_type(
            "T", "a type or a JSON schema (constrain= takes constraints)", given
        )
    try:
        return _known_type(given)
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        return _made_type(given)


def schema_of(given: Any) -> dict[str, Any]:
    """Return the JSON schema of a type as a dict, for example to put it into a prompt."""
    schema: dict[str, Any] = json.loads(json.dumps(answer_type(given).schema))
    return schema


def constraint_of(given: Constrain) -> Constraint:
    """Return what `constrain=` was given as a constraint."""
    return given if isinstance(given, Constraint) else answer_type(given).constraint


@lru_cache(maxsize=256)
def _known_type(given: Any) -> AnswerType:
    return _made_type(given)


def _made_type(given: Any) -> AnswerType:
    describer = _Describer()
    schema, convert = describer.described(given, "T")
    if describer.definitions:
        schema = {**schema, "$defs": describer.definitions}
    return AnswerType(schema, json_schema(schema), convert)


class _Describer:
    """Describes one type and those within it; classes become definitions, for they may recur."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}
        self._names: dict[Any, str] = {}
        self._converters: dict[str, Convert] = {}

    def described(self, given: Any, where: str) -> Described:
        """Return the schema of a type and what makes its values."""
        origin = typing.get_origin(given)
        if origin is typing.Annotated:
            return self._annotated(given, where)
        if origin in QUALIFIERS:
            return self.described(typing.get_args(given)[0], where)
        if origin is Literal:
            return _enumerated(list(typing.get_args(given)), where)
        if origin in UNIONS or isinstance(given, types.UnionType):
            return self._union([self.described(a, where) for a in typing.get_args(given)])
        if isinstance(given, typing.TypeVar):
            raise checks.wrong_type(where, "a type without type variables", given)
        if hasattr(given, "__value__") and type(given).__name__ == "TypeAliasType":
            return self.described(given.__value__, where)
        if (simple := _simple(given)) is not None:
            return simple
        if (container := self._container(given, origin, where)) is not None:
            return container
        if isinstance(given, Mapping):
            return dict(given), lambda value: value
        if isinstance(given, type):
            return self._class(given, where)
        raise checks.wrong_type(where, "a type that JSON can express", given)

    # Parts

    def _annotated(self, given: Any, where: str) -> Described:
        inner, *metadata = typing.get_args(given)
        schema, convert = self.described(inner, where)
        limits: dict[str, Any] = {}
        for item in _flat(metadata):
            if isinstance(item, re.Pattern):
                limits["pattern"] = item.pattern
            elif isinstance(item, range):
                if not len(item):
                    raise ConstraintError(f"{where}: the range {item} is empty")
                limits |= {"minimum": min(item), "maximum": max(item)}
                limits |= {"multipleOf": abs(item.step)} if abs(item.step) != 1 else {}
                if item[0] % item.step:
                    raise ConstraintError(f"{where}: expected a range of multiples, found {item}")
            elif isinstance(item, Mapping):
                limits |= item
            else:
                limits |= _bounds(item, schema)
        return ({**schema, **limits} if limits else schema), convert

    def _union(self, parts: list[Described]) -> Described:
        def convert(value: Any) -> Any:
            for _, one in parts:
                try:
                    return one(value)
                except Mismatch:
                    pass
            raise Mismatch(f"no branch of a union fits {value!r}")

        return {"anyOf": [schema for schema, _ in parts]}, convert

    def _container(self, given: Any, origin: Any, where: str) -> Described | None:
        kind = origin or given
        args = typing.get_args(given)
        if kind is tuple and args and args[-1] is not Ellipsis:
            return self._tuple([self.described(a, f"{where}[{i}]") for i, a in enumerate(args)])
        if kind in (list, tuple, set, frozenset) or kind in _ABSTRACT:
            make = _ABSTRACT.get(kind, kind)
            if make is dict:
                return self._dict(args, where)
            schema, one = self.described(args[0], f"{where}[]") if args else ({}, _same)

            def items(value: Any) -> Any:
                return make([one(item) for item in _is(value, list)])

            return {"type": "array", "items": schema}, items
        return self._dict(args, where) if kind is dict else None

    def _tuple(self, parts: list[Described]) -> Described:
        schema = {
            "type": "array",
            "prefixItems": [part for part, _ in parts],
            "minItems": len(parts),
            "maxItems": len(parts),
        }

        def convert(value: Any) -> Any:
            if len(_is(value, list)) != len(parts):
                raise Mismatch(f"expected {len(parts)} items, found {len(value)}")
            return tuple(one(item) for (_, one), item in zip(parts, value, strict=True))

        return schema, convert

    def _dict(self, args: tuple[Any, ...], where: str) -> Described:
        name: dict[str, Any] | None = None
        value_schema: dict[str, Any] = {}
        key: Convert = _same
        one: Convert = _same
        if args:
            name, key = self.described(args[0], f"{where} (a key)")
            value_schema, one = self.described(args[1], f"{where}[...]")
            if not _is_text(self._resolved(name)):
                raise checks.wrong_type(f"{where}: keys", "a type of strings", args[0])
        schema: dict[str, Any] = {"type": "object", "additionalProperties": value_schema}
        if name is not None and name != {"type": "string"}:
            schema["propertyNames"] = name

        def convert(value: Any) -> Any:
            return {key(k): one(v) for k, v in _is(value, dict).items()}

        return schema, convert

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The definition that a schema refers to, or the schema itself."""
        name = schema.get("$ref", "").removeprefix("#/$defs/")
        found = self.definitions.get(name.replace("~1", "/").replace("~0", "~"), schema)
        return found if isinstance(found, dict) else schema

    def _class(self, given: type, where: str) -> Described:
        """A class, as a reference to its definition."""
        if given not in self._names:
            name = given.__name__
            while name in self.definitions:
                name += "_"
            self._names[given] = name
            self.definitions[name] = True  # until it is known
            schema, convert = self._described_class(given, where)
            self.definitions[name], self._converters[name] = schema, convert
        name = self._names[given]
        return {"$ref": f"#/$defs/{_pointer(name)}"}, lambda value: self._converters[name](value)

    def _described_class(self, given: type, where: str) -> Described:
        if hasattr(given, "model_json_schema") and hasattr(given, "model_validate"):
            return _pydantic(given)
        if issubclass(given, enum.Enum):
            return _enum(given, where)
        if typing.is_typeddict(given):
            return self._typed_dict(given)
        if dataclasses.is_dataclass(given):
            return self._dataclass(given)
        if issubclass(given, tuple) and hasattr(given, "_fields"):
            return self._named_tuple(given)
        raise checks.wrong_type(where, "a type that JSON can express", given)

    def _dataclass(self, given: Any) -> Described:
        hints = typing.get_type_hints(given, include_extras=True)
        fields = [f for f in dataclasses.fields(given) if f.init]
        missing = dataclasses.MISSING
        needed = {f.name for f in fields if f.default is missing and f.default_factory is missing}
        return self._fields({f.name: hints[f.name] for f in fields}, needed, given)

    def _named_tuple(self, given: Any) -> Described:
        hints = typing.get_type_hints(given, include_extras=True)
        needed = set(given._fields) - set(given._field_defaults)
        return self._fields({name: hints.get(name, Any) for name in given._fields}, needed, given)

    def _typed_dict(self, given: Any) -> Described:
        hints = typing.get_type_hints(given, include_extras=True)
        needed = set(given.__required_keys__)
        for name, hint in hints.items():  # where annotations are strings, Python has not seen these
            origin = typing.get_origin(hint)
            if origin in (typing.Required, typing.NotRequired):
                (needed.add if origin is typing.Required else needed.discard)(name)
        return self._fields(hints, needed, dict)

    def _fields(self, hints: dict[str, Any], needed: set[str], make: Any) -> Described:
        parts = {k: self.described(hint, f"{make.__name__}.{k}") for k, hint in hints.items()}

        def convert(value: Any) -> Any:
            found = _is(value, dict)
            if not needed <= found.keys() <= parts.keys():
                raise Mismatch(f"expected the fields {list(parts)}, found {list(found)}")
            made = {k: parts[k][1](v) for k, v in found.items()}
            try:
                return make(**made)
            except Exception as error:  # the class's own checks
                raise Mismatch(f"{make.__name__}: {error}") from error

        return _object({k: schema for k, (schema, _) in parts.items()}, needed), convert


_ABSTRACT: dict[Any, Any] = {
    typing.get_origin(typing.Sequence[int]): list,
    typing.get_origin(typing.Iterable[int]): list,
    typing.get_origin(typing.Collection[int]): list,
    typing.get_origin(typing.MutableSequence[int]): list,
    typing.get_origin(typing.AbstractSet[int]): set,
    typing.get_origin(typing.Mapping[str, int]): dict,
    typing.get_origin(typing.MutableMapping[str, int]): dict,
}


def _simple(given: Any) -> Described | None:
    """A type without parts."""
    if given is Any or given is object:
        return {}, _same
    if given is None or given is type(None):
        return {"type": "null"}, _null
    if given in PLAIN:
        return {"type": PLAIN[given]}, lambda value: _plain(value, given)
    if given in FORMATTED:
        name, make = FORMATTED[given]
        return {"type": "string", "format": name}, lambda value: _made(make, value)
    if given is decimal.Decimal:
        return {"type": "string", "pattern": r"^-?(0|[1-9]\d*)(\.\d+)?$"}, _decimal
    return None


def _enumerated(values: list[Any], where: str) -> Described:
    if not all(isinstance(v, str | int | bool) or v is None for v in values):
        raise checks.wrong_type(where, "choices that JSON can express", values)

    def convert(value: Any) -> Any:
        for one in values:
            if one == value and type(one) is type(value):
                return one
        raise Mismatch(f"{value!r} is none of {values}")

    return {"enum": values}, convert


def _enum(given: type[enum.Enum], where: str) -> Described:
    members = list(given)
    values = [member.value for member in members]
    if not values or not all(isinstance(v, str | int | float | bool) for v in values):
        raise checks.wrong_type(where, "an Enum of strings and numbers", given)

    def convert(value: Any) -> Any:
        for member in members:
            if member.value == value and isinstance(value, bool) == isinstance(member.value, bool):
                return member
        raise Mismatch(f"{value!r} is none of {values}")

    return {"enum": [v + 0 if isinstance(v, int | float) else str(v) for v in values]}, convert


def _pydantic(given: Any) -> Described:
    schema = closed(given.model_json_schema(), has_fields)
    # A name of its own, for its references are to its own definitions.
    schema["$id"] = f"urn:llmpy:{given.__module__}:{given.__qualname__}"

    def convert(value: Any) -> Any:
        try:
            return given.model_validate(value)
        except ValueError as error:
            raise Mismatch(str(error)) from error

    return schema, convert


def has_fields(schema: Mapping[str, Any]) -> bool:
    """Return whether a schema is one of objects, and names properties of them."""
    return isinstance(schema.get("properties"), dict) and schema.get("type") == "object"


def closed(schema: Any, is_object: Callable[[Mapping[str, Any]], bool]) -> Any:
    """Return a schema whose objects have no other properties, unless one allows them itself."""
    if isinstance(schema, list):
        return [closed(part, is_object) for part in schema]
    if not isinstance(schema, dict):
        return schema
    data = {"default", "examples", "const", "enum"}
    found = {k: v if k in data else closed(v, is_object) for k, v in schema.items()}
    if is_object(schema):
        found.setdefault("additionalProperties", False)
    return found


def _object(properties: dict[str, Any], needed: set[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name in needed],
        "additionalProperties": False,
    }


def _bounds(item: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords of JSON Schema for an object in Annotated."""
    found: dict[str, Any] = {}
    for name, keywords in BOUNDS.items():
        if (value := getattr(item, name, None)) is not None:
            keyword = keywords[-1] if schema.get("type") == "array" else keywords[0]
            found[keyword] = value.pattern if isinstance(value, re.Pattern) else value
    return found


def _flat(metadata: list[Any]) -> list[Any]:
    """The metadata of Annotated, that inside a pydantic Field among it."""
    found = []
    for item in metadata:
        inner = getattr(item, "metadata", None)
        found += [*inner] if isinstance(inner, list | tuple) else [item]
    return found


def _is_text(schema: dict[str, Any]) -> bool:
    if "enum" in schema:
        return all(isinstance(value, str) for value in schema["enum"])
    return schema.get("type") == "string"


def _plain(value: Any, kind: Any) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise Mismatch(f"expected {kind.__name__}, found {value!r}")
    return value


def _is(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise Mismatch(f"expected {kind.__name__}, found {value!r}")
    return value


def _made(make: Convert, value: Any) -> Any:
    try:
        return make(_is(value, str))
    except ValueError as error:
        raise Mismatch(str(error)) from error


def _same(value: Any) -> Any:
    return value


def _null(value: Any) -> None:
    if value is not None:
        raise Mismatch(f"expected null, found {value!r}")


def _decimal(value: Any) -> decimal.Decimal:
    try:
        return decimal.Decimal(_is(value, str))
    except decimal.InvalidOperation:
        raise Mismatch(f"expected a decimal number, found {value!r}") from None


def _pointer(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
