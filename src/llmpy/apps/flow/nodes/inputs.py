"""Inputs: texts, numbers, files, folders and lists that a flow begins with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from llmpy.apps.flow.graph import FlowError
from llmpy.apps.flow.kinds import Port, Ports, Shown, node
from llmpy.apps.flow.types import Folder
from llmpy.apps.flow.work import Work

__all__ = ["file", "folder", "list_", "number", "text"]

MOST_BYTES = 16 << 20  # of a file
MOST_INPUTS = 20


@node("Inputs", icon="edit", is_cached=False)
def text(*, text: Annotated[str, Shown("lines", inline=True)] = "") -> str:
    """A text, as it is written here or given by `--set`."""
    return text


@node("Inputs", icon="hash", is_cached=False)
def number(*, number: Annotated[float, Shown(inline=True)] = 0) -> float:
    """A number."""
    return int(number) if float(number).is_integer() else number


@node("Inputs", icon="file", is_cached=False, outputs={"text": str, "file": Path})
def file(work: Work, *, path: Annotated[str, Shown("file", inline=True)] = "") -> dict[str, str]:
    """The text of a file in UTF-8, of up to 16 MiB."""
    place = work.allowed.place(path)
    if not place.is_file():
        raise FlowError(f"{path}: there is no such file")
    if place.stat().st_size > MOST_BYTES:
        raise FlowError(f"{path}: expected up to {MOST_BYTES} bytes, found {place.stat().st_size}")
    try:
        found = place.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise FlowError(f"{path}: expected a text in UTF-8: {error.reason}") from None
    return {"text": found.removeprefix("\ufeff"), "file": str(place)}


@node("Inputs", icon="folder", is_cached=False)
def folder(work: Work, *, path: Annotated[str, Shown("folder", inline=True)] = ".") -> Folder:
    """A folder with texts, for Search in folder."""
    place = work.allowed.place(path)
    if not place.is_dir():
        raise FlowError(f"{path}: there is no such folder")
    return Folder(str(place))


def _list_ports(settings: Mapping[str, Any]) -> Ports:
    kind = "T" if settings["inputs"] else "text"
    wires = tuple(Port(f"item {i}", "T", False) for i in range(1, settings["inputs"] + 1))
    return Ports(wires, (Port("items", f"list[{kind}]"),))


@node("Inputs", icon="list", title="List", ports=_list_ports, is_cached=False)
def list_(
    *,
    lines: Annotated[str, Shown("lines", inline=True)] = "",
    inputs: Annotated[int, Shown(least=0, most=MOST_INPUTS)] = 0,
    **items: Any,
) -> list[Any]:
    """A list: a text for each line, and after these what comes by wires.

    What comes from a branch that was not taken is left out, so that a list joins branches.
    """
    given = [items[name] for i in range(inputs) if (name := f"item {i + 1}") in items]
    return [*(line for line in lines.splitlines() if line.strip()), *given]
