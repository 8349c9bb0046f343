"""JSON out of model files and the files beside them, with typed errors for whatever is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, TypeVar

from llmpy.errors import ModelFileError
from llmpy.format.sniff import guess

__all__ = ["parse", "parse_object"]

T = TypeVar("T", dict[str, Any], list[Any])

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # escapes of these come in pairs


class _DoubledError(ValueError):
    """The same key twice in one object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        doubled = next(key for key in keys if keys.count(key) > 1)
        raise _DoubledError(f"the key {doubled[:80]!r} twice")
    return result


def parse_object(
    data: bytes, path: Path, field: str, *, offset: int = 0, unique: bool = False
) -> dict[str, Any]:
    """The JSON object in `data`; see `parse`."""
    return parse(data, path, field, dict, offset=offset, unique=unique)


def parse(
    data: bytes, path: Path, field: str, kind: type[T], *, offset: int = 0, unique: bool = False
) -> T:
    """Return the JSON value of type `kind` that `data`, at byte `offset` of `path`, holds.

    `unique` refuses a key that stands twice in one object, where the last one would count. Raises
    ModelFileError for what is no UTF-8, no JSON or of another type.
    """
    try:
        found = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_once if unique else None)
        if _SURROGATE.search(data):
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ModelFileError(path, field, "Unicode text", "a lone surrogate") from None
    except UnicodeDecodeError as error:
        raise ModelFileError(
            path, field, "UTF-8 text", f"byte 0x{data[error.start]:02x}",
            offset=offset + error.start,
        ) from None  # fmt: skip
    except json.JSONDecodeError as error:
        if (
            not offset
            and not data.lstrip().startswith(b"{")
            and (known := guess(bytes(data[:256])))
        ):
            raise ModelFileError(path, field, "JSON", known[0], offset=0, hint=known[1]) from None
        at = offset + len(error.doc[: error.pos].encode("utf-8", "surrogatepass"))
        raise ModelFileError(path, field, "JSON", error.msg, offset=at) from None
    except (ValueError, RecursionError) as error:
        found_text = "JSON nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ModelFileError(path, field, "usual JSON", found_text[:200]) from None
    if not isinstance(found, kind):
        expected = "a JSON object" if kind is dict else "a JSON array"
        raise ModelFileError(path, field, expected, f"a {type(found).__name__}", offset=offset)
    return found
