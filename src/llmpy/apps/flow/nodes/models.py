"""Nodes that ask a model: texts, values of a schema, conversations, embeddings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from llmpy import chains
from llmpy.apps.flow.kinds import Port, Ports, Shown, node
from llmpy.apps.flow.work import Work

__all__ = ["Embedder", "Model", "chat", "embed", "generate", "prompt", "structured"]

Model = Annotated[str, Shown("model")]
Embedder = Annotated[str, Shown("embedder")]
Lines = Annotated[str, Shown("lines")]
Temperature = Annotated[float | None, Shown(least=0, most=5)]
Tokens = Annotated[int | None, Shown(least=1, most=1_000_000)]
Seed = Annotated[int | None, Shown(least=0, most=2**53)]

FACTS = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "summary": {"type": "string"}},
    "required": ["title", "summary"],
    "additionalProperties": False,
}
MOST_PROPERTIES = 100
MOST_OF_A_SCHEMA = 100_000  # characters


def _template_ports(settings: Mapping[str, Any]) -> Ports:
    names = chains.Template(settings["template"]).names
    return Ports(tuple(Port(name, "any") for name in names), (Port("text", "text"),))


@node("Models", icon="braces", ports=_template_ports, is_cached=False)
def prompt(
    *, template: Annotated[str, Shown("lines", inline=True)] = "{{text}}", **values: Any
) -> str:
    """A text with {{names}}, each of which is an input of the node."""
    return chains.Template(template).render(values)


@node("Models", icon="sparkle", outputs={"text": str})
def generate(
    work: Work,
    prompt: str,
    *,
    model: Model = "",
    system: Lines = "",
    way: Literal["answer", "continue"] = "answer",
    max_tokens: Tokens = 256,
    temperature: Temperature = None,
    seed: Seed = None,
) -> str:
    """A model answers the prompt, or continues it."""
    shared = _asking(work, model, max_tokens, temperature, seed)
    if way == "continue":
        return str(work.step(chains.Complete("{{prompt}}", **shared), prompt=prompt))
    return str(work.step(chains.Ask("{{prompt}}", **_system(system), **shared),
                         prompt=prompt, system=system)).strip()  # fmt: skip


def _schema_ports(settings: Mapping[str, Any]) -> Ports:
    """The whole value, and an output for each property of an object."""
    schema = settings["schema"]
    if len(json.dumps(schema)) > MOST_OF_A_SCHEMA:
        raise ValueError(f"schema: expected up to {MOST_OF_A_SCHEMA} characters")
    kind = _type_of(schema)
    outputs = [Port("value", kind)]
    properties = schema.get("properties", {}) if kind == "json" else {}
    if not isinstance(properties, dict) or len(properties) > MOST_PROPERTIES:
        raise ValueError(f"schema.properties: expected an object of up to {MOST_PROPERTIES}")
    needed = schema.get("required", [])
    for name, inner in properties.items():
        if name != "value" and name in needed:
            outputs.append(Port(name, _type_of(inner)))
    return Ports((Port("prompt", "text"),), tuple(outputs))


def _type_of(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "any"
    if "enum" in schema and all(isinstance(one, str) for one in schema["enum"]):
        return "text"
    kind = schema.get("type")
    if kind == "array":
        return f"list[{_type_of(schema.get('items'))}]"
    names = {"string": "text", "number": "number", "integer": "number", "boolean": "boolean"}
    return {**names, "object": "json"}.get(kind, "any") if isinstance(kind, str) else "any"


@node("Models", icon="form", title="Structured generate", ports=_schema_ports)
def structured(
    work: Work,
    prompt: str,
    *,
    schema: Annotated[dict[str, Any], Shown("schema")] = FACTS,
    model: Model = "",
    system: Lines = "",
    max_tokens: Tokens = 512,
    temperature: Temperature = 0,
    seed: Seed = None,
) -> Any:
    """A model fills in the fields of a schema; every answer is valid."""
    shared = _asking(work, model, max_tokens, temperature, seed)
    step = chains.Ask("{{prompt}}", schema=schema, **_system(system), **shared)
    value = work.step(step, prompt=prompt, system=system)
    outputs = _schema_ports({"schema": schema}).outputs
    if len(outputs) == 1:
        return value
    return {"value": value, **{port.name: value[port.name] for port in outputs[1:]}}


@node("Models", icon="chat", is_cached=False,
      outputs={"answer": str, "messages": list[dict[str, Any]]})  # fmt: skip
def chat(
    work: Work,
    message: str,
    *,
    model: Model = "",
    system: Lines = "",
    max_tokens: Tokens = 256,
    budget: Annotated[int, Shown(least=64, most=1_000_000)] = 2048,
    temperature: Temperature = None,
    seed: Seed = None,
) -> dict[str, Any]:
    """A conversation: each run says the message, and the model remembers those before."""
    about = {"model": model, "system": system}
    if work.memory.get("about") != about:
        work.memory.clear()
        work.memory["about"] = about
    shared = _asking(work, model, max_tokens, temperature, seed)
    options = {"budget": budget, "memory": work.node, **_system(system), **shared}
    kept = work.runner.memory
    kept[work.node] = list(work.memory.get("messages", []))
    answer = work.step(chains.Converse("{{message}}", **options), message=message, system=system)
    work.memory["messages"] = kept[work.node]
    return {"answer": answer.strip(), "messages": kept[work.node]}


@node("Models", icon="vector", outputs={"vector": list[float]})
def embed(work: Work, text: str, *, model: Embedder = "") -> list[float]:
    """The embedding of a text: numbers that are close where texts mean nearly the same."""
    embedder = work.embedder(model)
    work.check()
    return [round(float(x), 7) for x in embedder.embed(text, truncate=True)[0]]


def _system(text: str) -> dict[str, Any]:
    """The option of a step for a system prompt, whose text is never read as a template."""
    return {"system": "{{system}}"} if text.strip() else {}


def _asking(
    work: Work, model: str, max_tokens: int | None, temperature: float | None, seed: int | None
) -> dict[str, Any]:
    """Options that all steps which ask a model have."""
    return {"model": work.model(model), "max_tokens": max_tokens, "temperature": temperature,
            "seed": seed}  # fmt: skip
