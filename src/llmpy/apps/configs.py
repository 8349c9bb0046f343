"""Configurations of programs: TOML files, and commands that models answer."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from llmpy.chains import Template

__all__ = ["ModelCommand", "read_toml", "write_new"]

T = TypeVar("T")


class ModelCommand(msgspec.Struct, forbid_unknown_fields=True):
    """A command that a model answers: `prompt` is a template with `{{PROMPT}}`, the user's text."""

    name: str
    prompt: str = "{{PROMPT}}"
    system: str | None = None
    model: str = ""
    template: str | None = None
    max_tokens: int | None = None
    think: bool | None = None
    seed: int | None = None
    sampler: str | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None

    def text(self, prompt: str) -> str:
        """Return the prompt of the model for a text of a user."""
        return Template(self.prompt).render({"PROMPT": prompt})

    def sampling(self) -> dict[str, Any]:
        """Return what `Model.chat` and `Model.session` are given."""
        names = "sampler", "temperature", "top_k", "top_p", "min_p", "repeat_penalty"
        given = {name: getattr(self, name) for name in names}
        return {name: value for name, value in given.items() if value is not None}

    def check(self) -> None:
        """Raise ValueError for a prompt without its field, and for a sampler given twice."""
        if Template(self.prompt).names != ("PROMPT",):
            raise ValueError(
                f"commands: {self.name}: prompt: expected {{{{PROMPT}}}} where the user's text "
                f"goes, and no other field"
            )
        if self.sampler is not None and len(self.sampling()) > 1:
            raise ValueError(
                f"commands: {self.name}: sampler is the whole sampler: leave out the others"
            )


def write_new(path: Path, text: str) -> None:
    """Write a configuration to be filled in, which only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def read_toml(path: Path, kind: type[T]) -> T:
    """Read a file into a struct; ValueError says in one line where it is not one."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), kind)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error
