"""Times of operations, as a table: what tracing a plan gives, whichever backend made it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

__all__ = ["OpTime", "Trace", "Traceable"]


class OpTime(NamedTuple):
    """The counts and times of one kind of operation in all layers.

    `bytes` of weights were read, and `macs` multiply-accumulates computed; 0 if that is not known.
    """

    name: str
    calls: int
    seconds: float
    bytes: int
    macs: int

    @property
    def gigabytes_per_second(self) -> float:
        """Weights read per second, in 10^9 bytes."""
        return self.bytes / self.seconds / 1e9 if self.seconds else 0.0

    @property
    def gmacs_per_second(self) -> float:
        """Multiply-accumulates per second, in 10^9."""
        return self.macs / self.seconds / 1e9 if self.seconds else 0.0


@runtime_checkable
class Traceable(Protocol):
    """A plan that can time its operations."""

    @property
    def description(self) -> str:
        """Return what runs it: the backend, its instruction set, threads."""

    def start_trace(self) -> Callable[[], list[OpTime]]:
        """Begin at zero; what is returned gives the times so far, the longest first."""

    def stop_trace(self) -> None:
        """Time nothing any more; tables taken before stay as they are."""


class Trace:
    """The times of the operations of a model, from `Model.trace`; `str` prints them as a table.

    `where` names what ran them: the backend, its instruction set and threads.
    """

    def __init__(self, read: Callable[[], list[OpTime]], where: str) -> None:
        self._read = read
        self._kept: list[OpTime] | None = None
        self.where = where

    @property
    def operations(self) -> list[OpTime]:
        """Entries of all kinds of operations, the longest time first."""
        return self._read() if self._kept is None else self._kept

    @property
    def seconds(self) -> float:
        """Sum of all times, in seconds."""
        return sum(row.seconds for row in self.operations)

    def stop(self) -> None:
        """Stop timing; the table keeps its present values."""
        self._kept = self.operations

    def __str__(self) -> str:
        rows, total = self.operations, self.seconds or 1.0
        width = max([len("operation"), *(len(row.name) for row in rows)])
        lines = [
            self.where,
            f"{'operation':{width}}    calls         ms   share   GB/s  GMAC/s",
        ]
        for row in rows:
            gigabytes = f"{row.gigabytes_per_second:6.1f}" if row.bytes else "     -"
            gmacs = f"{row.gmacs_per_second:7.1f}" if row.macs else "      -"
            lines.append(
                f"{row.name:{width}} {row.calls:8} {row.seconds * 1e3:10.3f} "
                f"{row.seconds / total:6.1%} {gigabytes} {gmacs}"
            )
        lines.append(f"{'sum':{width}} {'':8} {self.seconds * 1e3:10.3f}")
        return "\n".join(lines)
