"""Random JSON schemas of what is supported, most of which some value satisfies."""

from __future__ import annotations

from random import Random
from typing import Any

WORDS = ("a", "bc", "name", "x-y", 'q"t', "é")
# Where Python's expressions, which jsonschema takes, mean what ECMA-262's do: without `.` and `$`.
PATTERNS = ("^[a-c]+", "b", "^x?y*[0-9]", "[0-9]{2}", "^(red|green)", "[^a]", "^a(b|c){1,3}d")


def random_schema(random: Random, depth: int = 3) -> Any:
    """Return a schema, with others in it down to `depth`."""
    kinds = ["integer", "number", "string", "boolean", "null", "enum", "const", "any"]
    if depth:
        kinds += ["object"] * 5 + ["array"] * 4
        kinds += ["anyOf", "allOf", "oneOf", "not", "if", "dependent"]
    make = {"integer": _number, "number": _number, "string": _string, "object": _object}
    make |= {"array": _array, "enum": _values, "const": _values}
    kind = random.choice(kinds)
    if kind in make:
        return make[kind](random, kind, depth)
    if kind in ("boolean", "null"):
        return {"type": kind}
    return _combined(random, kind, depth)


def _number(random: Random, kind: str, _: int) -> Any:
    schema: dict[str, Any] = {"type": kind}
    low = random.randint(-200, 200) / random.choice((1, 1, 2, 4, 10))
    if random.random() < 0.5:
        schema[random.choice(("minimum", "exclusiveMinimum"))] = low
    if random.random() < 0.5:
        schema[random.choice(("maximum", "exclusiveMaximum"))] = low + random.randint(1, 500)
    if random.random() < 0.3:
        steps = (1, 2, 3, 7, 10, 25, 0.5, 0.25)  # jsonschema divides floats: no 0.01
        schema["multipleOf"] = random.choice(steps)
    return schema


def _string(random: Random, _: str, __: int) -> Any:
    schema: dict[str, Any] = {"type": "string"}
    if random.random() < 0.4:
        schema["minLength"] = random.randint(0, 4)
    if random.random() < 0.6:
        schema["maxLength"] = random.randint(schema.get("minLength", 0), 12)
    if random.random() < 0.3:
        schema["pattern"] = random.choice(PATTERNS)
    return schema


def _object(random: Random, _: str, depth: int) -> Any:
    names = random.sample(WORDS, random.randint(0, 4))
    schema: dict[str, Any] = {"type": "object"}
    if names:
        schema["properties"] = {name: random_schema(random, depth - 1) for name in names}
        schema["required"] = random.sample(WORDS, random.randint(0, 2)) + names[:1]
        schema["required"] = list(dict.fromkeys(schema["required"]))
    if random.random() < 0.2:
        schema["patternProperties"] = {random.choice(PATTERNS): random_schema(random, depth - 1)}
    if random.random() < 0.6:
        schema["additionalProperties"] = random.choice([False, random_schema(random, depth - 1)])
    if random.random() < 0.2:
        schema["maxProperties"] = random.randint(1, 4)
    if random.random() < 0.2:
        schema["minProperties"] = random.randint(0, 2)
    if random.random() < 0.1:
        schema["propertyNames"] = {"maxLength": random.randint(2, 6)}
    return schema


def _array(random: Random, _: str, depth: int) -> Any:
    schema: dict[str, Any] = {"type": "array", "maxItems": random.randint(0, 5)}
    if random.random() < 0.8:
        schema["items"] = random_schema(random, depth - 1)
    if random.random() < 0.3:
        parts = range(random.randint(1, 3))
        schema["prefixItems"] = [random_schema(random, depth - 1) for _ in parts]
    if random.random() < 0.3:
        schema["minItems"] = random.randint(0, schema["maxItems"])
    if random.random() < 0.2:
        schema["contains"] = random_schema(random, 0)
        if random.random() < 0.5:
            schema["maxContains"] = random.randint(1, 3)
    return schema


def _values(random: Random, kind: str, _: int) -> Any:
    values = [None, True, 0, 1, 2.5, -3, "a", "bc", 'q"\\', "é\n", [], [1, "x"], {}, {"a": 1}]
    return (
        {"const": random.choice(values)} if kind == "const" else {"enum": random.sample(values, 4)}
    )


def _combined(random: Random, kind: str, depth: int) -> Any:
    def part() -> Any:
        return random_schema(random, depth - 1)

    if kind in ("anyOf", "allOf", "oneOf"):
        return {kind: [part() for _ in range(2)]}
    if kind == "not":
        return {"not": part(), "type": random.choice(("integer", "string", "boolean", "null"))}
    if kind == "if":
        return {"if": part(), "then": part(), "else": part()}
    if kind == "dependent":
        return {
            **_object(random, "object", depth),
            "dependentRequired": {"a": ["bc"]},
            "dependentSchemas": {"name": {"properties": {"bc": part()}}},
        }
    return {}
