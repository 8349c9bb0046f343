"""The folder of a Hugging Face checkpoint: its small files, read whole and with typed errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmpy.errors import ModelFileError
from llmpy.format.json_text import parse, parse_object
from llmpy.format.sniff import POINTER, guess

__all__ = ["TOKENIZER", "Folder", "OneFile"]

TOKENIZER = "tokenizer.json"
LARGEST = 1 << 28  # bytes of a file that is read whole; the largest tokenizer.json has a tenth


class Folder:
    """Files by name; None for those that are not there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def bytes(self, name: str) -> bytes | None:
        """Return the content of a file."""
        path = self.path / name
        try:
            if not path.is_file():
                return None
            if (size := path.stat().st_size) > LARGEST:
                raise ModelFileError(path, "file", f"at most {LARGEST} bytes", str(size))
            data = path.read_bytes()
        except OSError as error:
            raise ModelFileError(path, "file", "a readable file", str(error)) from error
        if data.startswith(POINTER):
            found, hint, _ = guess(data) or ("", "", False)
            raise ModelFileError(path, "file", "what is in it", found, hint=hint)
        return data

    def text(self, name: str) -> str | None:
        """A file's text, which must be UTF-8."""
        data = self.bytes(name)
        try:
            return None if data is None else data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise self.error(
                name,
                "file",
                "UTF-8 text",
                f"byte 0x{data[error.start]:02x} at {error.start}",  # type: ignore[index]
            ) from None

    def json(self, name: str) -> dict[str, Any] | None:
        """The JSON object in a file."""
        data = self.bytes(name)
        return None if data is None else parse_object(data, self.path / name, "file")

    def list(self, name: str) -> list[Any] | None:
        """The JSON array in a file."""
        data = self.bytes(name)
        return None if data is None else parse(data, self.path / name, "file", list)

    def error(self, name: str, field: str, expected: str, found: str) -> ModelFileError:
        """The error about one of the files."""
        return ModelFileError(self.path / name, field, expected, found[:200])


class OneFile(Folder):
    """A folder of which only one file is looked at, whatever its name, as its tokenizer.json."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent)
        self._name = path.name

    def bytes(self, name: str) -> bytes | None:
        """Return the content of the file."""
        return super().bytes(self._name) if name == TOKENIZER else None

    def json(self, name: str) -> dict[str, Any] | None:
        """The JSON object in the file."""
        data = self.bytes(name)
        return None if data is None else parse_object(data, self.path / self._name, "file")

    def error(self, name: str, field: str, expected: str, found: str) -> ModelFileError:
        """The error about the file."""
        return super().error(self._name if name == TOKENIZER else name, field, expected, found)
