"""Chains as plain data, to be kept in a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from llmpy.errors import SamplerError
from llmpy.sampling.chains import Chain
from llmpy.sampling.step import BuiltIn

__all__ = ["chain_from_data", "data_of_chain"]


def data_of_chain(chain: Chain) -> list[dict[str, Any]] | None:
    """Return the steps of a chain as JSON can hold them; None where one is the user's own."""
    known = _known()
    if any(known.get(type(step).__name__) is not type(step) for step in chain.steps):
        return None
    return [{"step": type(step).__name__, **_arguments(step)} for step in chain.steps]


def chain_from_data(data: Any) -> Chain:
    """Return the chain that `data_of_chain` told of; SamplerError for anything else."""
    known = _known()
    if not isinstance(data, list):
        raise SamplerError(f"chain: expected a list of steps, found {type(data).__name__}")
    steps = []
    for item in data:
        kind = item.get("step") if isinstance(item, dict) else None
        if not isinstance(kind, str) or kind not in known:
            raise SamplerError(f"chain: expected a built-in step, found {str(kind)[:80]!r}")
        given = {name: _frozen(value) for name, value in item.items() if name != "step"}
        try:
            if "bias" in given:
                given["bias"] = dict(given["bias"])
            strings = given.pop("strings", ())
            steps.append(known[kind](*strings, **given))
        except (TypeError, ValueError) as error:
            raise SamplerError(f"chain: step {kind}: {error}") from None
    return Chain(tuple(steps))


def _arguments(step: Any) -> dict[str, Any]:
    """Return the arguments that the step would be made with."""
    names = [f.name for f in fields(step) if f.init]
    return {"bias" if name == "entries" else name: getattr(step, name) for name in names}


def _known() -> dict[str, type[BuiltIn]]:
    def below(kind: type[BuiltIn]) -> Iterator[type[BuiltIn]]:
        for found in kind.__subclasses__():
            if found.__module__.startswith("llmpy.") and not found.__name__.startswith("_"):
                yield found
            yield from below(found)

    return {kind.__name__: kind for kind in below(BuiltIn)}


def _frozen(value: Any) -> Any:
    """Lists, which JSON makes of tuples, as tuples again."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
