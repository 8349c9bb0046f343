"""Types as schemas, and JSON as values of these types."""

from __future__ import annotations

import datetime
import decimal
import enum
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Optional, TypedDict, Union

import pydantic
import pytest

import llmpy
from llmpy.constraints import answer_type
from llmpy.tokenizer import Tokenizer
from tests.constraints.accepting import accepts


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Point(NamedTuple):
    x: int
    y: int = 0


@dataclass
class Tree:
    name: Annotated[str, re.compile("^[a-z]+$")]
    children: list[Tree] = field(default_factory=list)


@dataclass
class Even:
    n: int

    def __post_init__(self) -> None:
        if self.n % 2:
            raise ValueError("n is odd")


class Address(pydantic.BaseModel):
    city: str = pydantic.Field(max_length=20)
    zip: Annotated[str, pydantic.StringConstraints(pattern=r"^\d{5}$")]


class User(pydantic.BaseModel):
    name: str
    age: int = pydantic.Field(ge=0, le=150)
    address: Address | None = None
    tags: list[Literal["a", "b"]] = []


ID = uuid.UUID("12345678-1234-5678-1234-567812345678")
SAMPLES: list[tuple[Any, str, Any]] = [
    (str, '"a\\nb"', "a\nb"),
    (int, "-12", -12),
    (float, "1.5", 1.5),
    (float, "2", 2.0),
    (bool, "true", True),
    (None, "null", None),
    (Any, '[1, {"a": null}]', [1, {"a": None}]),
    (Color, '"blue"', Color.BLUE),
    (Level, "2", Level.HIGH),
    (Literal["a", 1, True, None], "1", 1),
    (Literal["a", 1, True, None], "true", True),
    (Optional[int], "null", None),  # noqa: UP045
    (Union[int, str], '"1"', "1"),  # noqa: UP007
    (int | list[int], "[1, 2]", [1, 2]),
    (list[Color], '["red", "red"]', [Color.RED, Color.RED]),
    (tuple[int, str], '[1, "a"]', (1, "a")),
    (tuple[int, ...], "[1, 2, 3]", (1, 2, 3)),
    (set[int], "[1, 2, 1]", {1, 2}),
    (frozenset[str], "[]", frozenset()),
    (Sequence[int], "[1]", [1]),
    (dict[str, int], '{"a": 1, "b": 2}', {"a": 1, "b": 2}),
    (Mapping[Color, int], '{"red": 1}', {Color.RED: 1}),
    (datetime.date, '"2024-02-29"', datetime.date(2024, 2, 29)),
    (datetime.time, '"10:20:30Z"', datetime.time(10, 20, 30, tzinfo=datetime.UTC)),
    (
        datetime.datetime,
        '"2024-01-02T03:04:05Z"',
        datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
    ),
    (uuid.UUID, f'"{ID}"', ID),
    (decimal.Decimal, '"-1.50"', decimal.Decimal("-1.50")),
    (Annotated[int, range(0, 11, 5)], "10", 10),
    (Annotated[list[int], pydantic.Field(max_length=2)], "[1, 2]", [1, 2]),
    (Movie, '{"title": "Up"}', {"title": "Up"}),
    (Movie, '{"title": "Up", "year": 2009}', {"title": "Up", "year": 2009}),
    (Point, '{"x": 1}', Point(1)),
    (Tree, '{"name": "a", "children": [{"name": "b"}]}', Tree("a", [Tree("b")])),
    (
        User,
        '{"name": "Al", "age": 3, "address": {"city": "Rome", "zip": "00100"}, "tags": ["a"]}',
        User(name="Al", age=3, address=Address(city="Rome", zip="00100"), tags=["a"]),
    ),
    (list[User], '[{"name": "Al", "age": 3}]', [User(name="Al", age=3)]),
    ({"enum": [1, "a"]}, '"a"', "a"),
]
REFUSED: list[tuple[Any, str]] = [
    (Annotated[int, range(11)], "11"),
    (Annotated[int, range(0, 11, 5)], "7"),
    (Annotated[int, {"minimum": 3}], "2"),
    (Annotated[str, {"maxLength": 2}], '"abc"'),
    (Annotated[str, re.compile("^[0-9]+$")], '"a"'),
    (Annotated[list[int], pydantic.Field(max_length=2)], "[1, 2, 3]"),
    (int, "1.5"),
    (bool, "1"),
    (Literal["a", 1], "true"),
    (datetime.date, '"2023-02-29"'),
    (tuple[int, str], "[1]"),
    (Movie, '{"year": 1}'),
    (Movie, '{"title": "Up", "extra": 1}'),
    (Tree, '{"name": "A"}'),
    (User, '{"name": "Al", "age": 151}'),
    (User, '{"name": "Al", "age": 3, "extra": 1}'),
]


@pytest.mark.parametrize(("given", "text", "value"), SAMPLES, ids=str)
def test_a_value_of_each_type(given: Any, text: str, value: Any, tokenizer: Tokenizer) -> None:
    answer = answer_type(given)
    assert accepts(answer.constraint, text, tokenizer)
    found = answer.value(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("given", "text"), REFUSED, ids=str)
def test_what_is_no_value_of_a_type(given: Any, text: str, tokenizer: Tokenizer) -> None:
    assert not accepts(answer_type(given).constraint, text, tokenizer)


@pytest.mark.parametrize(
    "given", [bytes, object(), list[bytes], dict[int, str], print, "int"], ids=str
)
def test_types_without_json(given: Any) -> None:
    with pytest.raises(TypeError, match="expected"):
        answer_type(given)


def test_a_type_may_refuse_a_value() -> None:
    with pytest.raises(ValueError, match="n is odd"):
        answer_type(Even).value('{"n": 3}')


def test_an_impossible_type_is_refused_before_generation() -> None:
    with pytest.raises(llmpy.ConstraintError, match="no value is valid"):
        answer_type(Annotated[int, {"minimum": 3, "maximum": 2}])
    with pytest.raises(llmpy.ConstraintError, match="empty"):
        answer_type(Annotated[int, range(0)])


def test_schema_of_a_type() -> None:
    assert llmpy.schema_of(list[int]) == {"type": "array", "items": {"type": "integer"}}
    assert llmpy.schema_of(Tree)["$defs"]["Tree"]["required"] == ["name"]


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"uniqueItems": True}, "uniqueItems"),
        ({"$ref": "https://example.com/schema"}, "nothing is fetched"),
        ({"properties": {"a": {"dependencies": {}}}}, "'/properties/a': dependencies"),
        ({"format": "iri"}, "format 'iri'"),
        ({"type": "strin"}, "'strin' is no value"),
        ({"pattern": "(?=a)"}, "is not supported"),
        ({"minimum": "3"}, "'3' is no value"),
        ({"type": "object", "minProperties": 3}, "minProperties"),
        ({"items": [{}]}, "prefixItems"),
        ({"enum": []}, "no value is valid"),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "draft-04"),
    ],
    ids=str,
)
def test_what_is_not_supported_is_named(schema: Any, message: str) -> None:
    with pytest.raises(llmpy.ConstraintError, match=re.escape(message)):
        llmpy.json_schema(schema)
