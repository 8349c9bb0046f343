"""OpenAI's own description of its API, to check requests' fields and answers against."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator


class Description:
    """The file openapi.json; schemas by name."""

    def __init__(self, path: Path) -> None:
        self._document = _with_null(json.loads(path.read_text(encoding="utf-8")))
        self.check = cache(self._check)

    def _check(self, name: str) -> Draft202012Validator:
        schema = {**self._document, "$ref": f"#/components/schemas/{name}"}
        return Draft202012Validator(schema)

    def problems(self, name: str, value: Any) -> list[str]:
        """What is wrong with a value of a schema."""
        return [
            f"{'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"
            for error in self.check(name).iter_errors(value)
        ]

    def fields(self, name: str) -> set[str]:
        """The fields of an object, with those of what it is made of."""
        schema = self._document["components"]["schemas"][name]
        found = set(schema.get("properties", {}))
        for part in schema.get("allOf", []):
            if "$ref" in part:
                found |= self.fields(part["$ref"].rsplit("/", 1)[1])
            found |= set(part.get("properties", {}))
        return found


def _with_null(value: Any) -> Any:
    """The schema in JSON Schema's words: "nullable" is OpenAPI's."""
    if isinstance(value, list):
        return [_with_null(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {name: _with_null(item) for name, item in value.items()}
    if found.pop("nullable", None) is True:
        return {"anyOf": [found, {"type": "null"}]}
    return found
