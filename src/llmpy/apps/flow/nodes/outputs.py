"""Outputs: what a flow gives, as it is or as a chart."""

from __future__ import annotations

from typing import Any, Literal

from llmpy.apps.flow.graph import FlowError
from llmpy.apps.flow.kinds import node

__all__ = ["chart", "output"]

MOST_VALUES = 2000


@node("Outputs", icon="output", outputs={}, is_cached=False, is_output=True)
def output(value: Any) -> Any:
    """Show a value: it is a result of the flow."""
    return value


@node("Outputs", icon="chart", outputs={}, is_cached=False, is_output=True)
def chart(
    values: list[float], labels: list[str] | None = None, *, form: Literal["bars", "line"] = "bars"
) -> dict[str, Any]:
    """Draw numbers as bars or as a line."""
    if len(values) > MOST_VALUES:
        raise FlowError(f"values: expected up to {MOST_VALUES}, found {len(values)}")
    if labels is not None and len(labels) != len(values):
        raise FlowError(f"labels: expected {len(values)}, as many as values, found {len(labels)}")
    return {"form": form, "values": values, "labels": labels or []}
