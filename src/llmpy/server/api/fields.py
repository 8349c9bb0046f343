"""Fields that requests of all APIs share: reading them, and those that choose tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from llmpy.sampling import Chain, default_chain
from llmpy.server.api.samplers import MoreSamplers
from llmpy.server.call import Call
from llmpy.server.errors import ApiError, bad_value
from llmpy.server.models import Loaded

__all__ = ["Sampling", "checked_stop", "read", "schema_of", "within"]

T = TypeVar("T", bound=msgspec.Struct)

MOST_STOPS = 16
MOST_OF_A_STOP = 1000  # characters


class Sampling(MoreSamplers, kw_only=True):
    """Parameters of `llmpy.default_chain`, and those that servers have under other names."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repeat_last_n: int | None = None
    logit_bias: dict[str, float] | None = None
    seed: int | None = None
    ignore_eos: bool | None = None

    def chain(self, loaded: Loaded) -> Chain:
        """The chain of the fields that were given, over what the model's file recommends."""
        given: dict[str, Any] = dict(loaded.model.recommended_sampling)
        for name in (
            "temperature", "top_p", "top_k", "min_p", "repeat_penalty", "frequency_penalty",
            "presence_penalty",
        ):  # fmt: skip
            if (value := getattr(self, name)) is not None:
                given[name] = value
        if self.repetition_penalty is not None and self.repeat_penalty is None:
            given["repeat_penalty"] = self.repetition_penalty
        if self.repeat_last_n is not None:
            given["last_n"] = self.repeat_last_n
        if self.logit_bias:
            given["logit_bias"] = _biases(self.logit_bias, loaded.model.n_vocab)
        if self.ignore_eos:
            never = dict.fromkeys(loaded.model.tokenizer.end_ids, -math.inf)
            given["logit_bias"] = {**given.get("logit_bias", {}), **never}
        return self.extended(default_chain(**given))

    @property
    def own_seed(self) -> int | None:
        """The seed as random numbers take it; other APIs have negative ones."""
        return None if self.seed is None else self.seed % 2**64


def _biases(given: Mapping[str, float], n_vocab: int) -> dict[int, float]:
    found = {}
    for key, bias in given.items():
        where = f"logit_bias.{key[:40]}"
        if not key.isdecimal() or len(key) > 9 or int(key) >= n_vocab:
            raise ApiError(
                400, f"{where}: expected a token id, 0 to {n_vocab - 1}", param="logit_bias"
            )
        if not -100 <= bias <= 100:
            raise ApiError(400, f"{where}: expected -100 to 100, found {bias}", param="logit_bias")
        found[int(key)] = bias
    return found


async def read(
    call: Call, kind: type[T], refused: Mapping[str, str], ignored: Mapping[str, str]
) -> T:
    """The request as `kind`.

    `refused`: fields that are known and not honoured, each with what is wrong; null is no request
    for one. Others that `kind` has not are noted in the log, but those of `ignored`, which are
    known to change nothing here.
    """
    body = await call.json()
    for name, problem in refused.items():
        if body.get(name) not in (None, False, [], {}):
            raise ApiError(400, f"{name}: {problem}", param=name, code="unsupported_parameter")
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    if unknown := sorted(body.keys() - known - refused.keys() - ignored.keys()):
        call.notes["unknown_fields"] = [name[:50] for name in unknown[:20]]
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise bad_value(error) from None


def schema_of(form: Any, name: str) -> Any:
    """The JSON schema of what OpenAI's APIs call a format; None for any text.

    A format is {"type": "text"}, "json_object", or "json_schema" with the schema in it, or in its
    field "json_schema".
    """
    if form is None:
        return None
    kind = form.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    if kind != "json_schema":
        raise ApiError(
            400,
            f"{name}.type: expected text, json_object or json_schema, found {kind!r:.60}",
            param=f"{name}.type",
        )
    holder, where = form, name
    if "json_schema" in form:
        holder, where = form["json_schema"], f"{name}.json_schema"
    schema = holder.get("schema") if isinstance(holder, dict) else None
    if not isinstance(schema, dict):
        raise ApiError(
            400, f"{where}.schema: expected a JSON schema, found none", param=f"{where}.schema"
        )
    return schema


def within(name: str, value: int | None, least: int, most: int) -> None:
    """Refuse a number that is out of range; None is no number."""
    if value is not None and not least <= value <= most:
        raise ApiError(400, f"{name}: expected {least} to {most}, found {value}", param=name)


def checked_stop(name: str, stop: str | list[str] | None) -> tuple[str, ...]:
    """Stop strings as a tuple, none of them empty; a limited number of limited length."""
    listed = [stop] if isinstance(stop, str) else stop or []
    if len(listed) > MOST_STOPS:
        raise ApiError(
            400, f"{name}: expected up to {MOST_STOPS} texts, found {len(listed)}", param=name
        )
    for i, text in enumerate(listed):
        if not 0 < len(text) <= MOST_OF_A_STOP:
            where = name if isinstance(stop, str) else f"{name}[{i}]"
            raise ApiError(
                400,
                f"{where}: expected a text of 1 to {MOST_OF_A_STOP} characters, found {len(text)}",
                param=where,
            )
    return tuple(listed)
