"""Sampler strings: `top-k:k=40/temperature:0.7`, to a chain's steps and back.

The syntax is that of llm.rs. Steps are separated by `/` or spaces, and applied in the order in
which they are written. A step is `name:key=value:key=value`. In names, case, `-`, `_` and spaces in
quotes do not count; a key may be shortened as long as it is clear; a value without a key is that of
the first one. Texts stand in double quotes, as in JSON: `logit-bias:" yes"=2:15=-inf`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from difflib import get_close_matches
from typing import Any

from llmpy.errors import SamplerError
from llmpy.sampling.adaptive import AdaptiveP, Mirostat1, Mirostat2
from llmpy.sampling.penalties import Frequency, IgnoreEos, LogitBias, Presence, Repetition
from llmpy.sampling.repeats import Dry, SequenceRepetition
from llmpy.sampling.step import BuiltIn
from llmpy.sampling.temperatures import DynamicTemperature, Greedy, Temperature
from llmpy.sampling.texts import BannedStrings
from llmpy.sampling.truncation import (
    LocallyTypical,
    MinP,
    TailFree,
    TopA,
    TopK,
    TopNSigma,
    TopP,
    Xtc,
)

__all__ = ["NAMES", "parsed", "printed"]

STEPS: tuple[type[BuiltIn], ...] = (
    Repetition,
    Frequency,
    Presence,
    SequenceRepetition,
    Dry,
    LogitBias,
    IgnoreEos,
    BannedStrings,
    TopK,
    TailFree,
    LocallyTypical,
    TopP,
    TopA,
    MinP,
    TopNSigma,
    Xtc,
    Temperature,
    DynamicTemperature,
    Greedy,
    Mirostat1,
    Mirostat2,
    AdaptiveP,
)
NAMES = tuple(step.name for step in STEPS)
# Other names: those of llm.rs, and what llama.cpp calls the same.
ALSO: dict[str, type[BuiltIn]] = {
    "seqrepetition": SequenceRepetition,
    "typical": LocallyTypical,
    "typicalp": LocallyTypical,
    "tfsz": TailFree,
    "temp": Temperature,
    "tempext": DynamicTemperature,
    "penalties": Repetition,
    "tokenbias": LogitBias,
    "flatbias": LogitBias,
}
BOTH_PENALTIES = ("freqpresence", "frequencypresence")  # two steps of ours in one of llm.rs
MOST = 100_000  # characters
QUOTED = r'"(?:[^"\\]|\\.)*"'
WORD = re.compile(rf'(?:{QUOTED}|[^"/\s])+|[/\s]+|"')
ARGUMENT = re.compile(rf'(?:{QUOTED}|[^":])+|:|"')
PAIR = re.compile(rf'((?:{QUOTED}|[^"=])*)=(.*)', re.S)


def parsed(text: str) -> tuple[BuiltIn, ...]:
    """Return the steps of a sampler string; SamplerError names the nearest right word."""
    if len(text) > MOST:
        raise SamplerError(f"sampler string: expected at most {MOST} characters, found {len(text)}")
    steps: list[BuiltIn] = []
    for word in _cut(WORD, text):
        if not word.strip("/ \t\n\r\f\v"):
            continue
        name, *arguments = _cut(ARGUMENT, word, ":")
        steps += _steps(name, [argument for argument in arguments if argument])
    return tuple(steps)


def _cut(pattern: re.Pattern[str], text: str, separator: str = "") -> list[str]:
    """The parts of a text that `pattern` finds, without the separators; quotes must be closed."""
    parts = [""]
    for found in pattern.finditer(text):
        part = found.group()
        if part == '"':
            raise SamplerError(f"sampler string: expected a closing quote in {text[:200]!r}")
        if separator and part == separator:
            parts.append("")
        elif separator:
            parts[-1] += part
        else:
            parts.append(part)
    return parts


def _plain(name: str) -> str:
    return re.sub(r"[-_\s]", "", name.strip('"')).lower()


def _steps(name: str, arguments: list[str]) -> list[BuiltIn]:
    known = {_plain(step.name): step for step in STEPS} | ALSO
    plain = _plain(name)
    if plain in BOTH_PENALTIES:
        return _both_penalties(name, arguments)
    if plain not in known:
        names = [*map(_plain, NAMES), *ALSO, *BOTH_PENALTIES]
        near = get_close_matches(plain, names, 1, 0.5)
        meant = known[near[0]].name if near and near[0] in known else "freq-presence"
        hint = f"did you mean {meant!r}? " if near else ""
        raise SamplerError(
            f"sampler string: no sampler is called {name!r}; {hint}There are {', '.join(NAMES)}"
        )
    step = known[plain]
    if step is LogitBias:
        return [_logit_bias(arguments)]
    if step is BannedStrings:
        return [BannedStrings(*(_text("banned-strings", value) for value in arguments))]
    given = _given(step.name, {f.name: str(f.type) for f in fields(step)}, arguments)
    missing = [f.name for f in fields(step) if f.default is MISSING and f.name not in given]
    if missing:
        example = ":".join(f"{key}=..." for key in missing)
        raise SamplerError(
            f"sampler string: {step.name}: expected a value, as in {step.name}:{example}"
        )
    return [step(**given)]


def _given(name: str, kinds: Mapping[str, str], arguments: list[str]) -> dict[str, Any]:
    """The values of one step's arguments, by key; `kinds` are the types of all there are."""
    given: dict[str, Any] = {}
    for argument in arguments:
        pair = PAIR.fullmatch(argument)
        word, value = (pair[1].strip(), pair[2].strip()) if pair else ("", argument.strip())
        key = _key(name, list(kinds), word)
        if key in given:
            raise SamplerError(f"sampler string: {name}: expected {key} once, found it twice")
        given[key] = _value(f"{name}: {key}", kinds[key], value)
    return given


def _key(name: str, keys: list[str], word: str) -> str:
    """The key that is meant by a word, which may be its beginning; by none, the first."""
    if not keys:
        raise SamplerError(f"sampler string: {name}: expected no values, found {word or 'one'}")
    if not word:
        return keys[0]
    plain = word.replace("-", "_").lower()
    found = [key for key in keys if key == plain] or [key for key in keys if key.startswith(plain)]
    if len(found) == 1:
        return found[0]
    near = get_close_matches(plain, keys, 1, 0.5)
    if found:
        hint = f"which may be {' or '.join(found)}"
    elif near:
        hint = f"did you mean {near[0]!r}? There are {', '.join(keys)}"
    else:
        hint = f"there are {', '.join(keys)}"
    raise SamplerError(f"sampler string: {name}: no value is called {word!r}; {hint}")


def _value(name: str, kind: str, text: str) -> Any:
    """A number, or a list of texts and ids in JSON."""
    if kind.startswith("tuple"):
        return tuple(_json(name, text, list))
    try:
        return int(text) if kind == "int" else float(text)
    except ValueError:
        what = "a whole number" if kind == "int" else "a number"
        raise SamplerError(f"sampler string: {name}: expected {what}, found {text!r}") from None


def _json(name: str, text: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        what = "a text in double quotes" if kind is str else 'a list, as ["\\n", 13]'
        raise SamplerError(f"sampler string: {name}: expected {what}, found {text!r}")
    return value


def _text(name: str, text: str) -> str:
    found: str = _json(name, text.strip(), str)
    return found


def _logit_bias(arguments: list[str]) -> LogitBias:
    bias: dict[int | str, float] = {}
    for argument in arguments:
        pair = PAIR.fullmatch(argument)
        if pair is None:
            raise SamplerError(
                f'sampler string: logit-bias: expected ID=BIAS or "TEXT"=BIAS, found {argument!r}'
            )
        key, value = pair[1].strip(), pair[2].strip()
        token: int | str = int(key) if key.isascii() and key.isdigit() else _text("logit-bias", key)
        bias[token] = _value(f"logit-bias: {key}", "float", value)
    return LogitBias(bias)


def _both_penalties(name: str, arguments: list[str]) -> list[BuiltIn]:
    """The frequency and presence penalties of llm.rs, which has one sampler for both."""
    kinds = {"frequency_penalty": "float", "presence_penalty": "float", "last_n": "int"}
    given = _given(name, kinds, arguments)
    last_n = given.get("last_n", 64)
    steps = [
        Frequency(given.get("frequency_penalty", 0.0), last_n),
        Presence(given.get("presence_penalty", 0.0), last_n),
    ]
    return [step for step in steps if step.penalty != 0.0]


def printed(steps: Iterable[Any]) -> str:
    """Return the sampler string of steps, those of the user's by their names in brackets."""
    return "/".join(map(_printed, steps))


def _printed(step: Any) -> str:
    if not isinstance(step, BuiltIn):
        return f"<{getattr(step, '__qualname__', type(step).__qualname__)}>"
    if isinstance(step, LogitBias):
        entries = (f"{_quoted(token)}={_shown(bias)}" for token, bias in step.entries)
        return ":".join((step.name, *entries))
    if isinstance(step, BannedStrings):
        return ":".join((step.name, *map(_quoted, step.strings)))
    known = fields(step)
    parts = [step.name]
    for field in known:
        value = getattr(step, field.name)
        if value == field.default and not (field is known[0] and field.default is MISSING):
            continue
        shown = _quoted(list(value)) if isinstance(value, tuple) else _shown(value)
        parts.append(shown if len(known) == 1 else f"{field.name}={shown}")
    return ":".join(parts)


def _shown(number: float) -> str:
    if isinstance(number, int) or not math.isfinite(number):
        return str(number)
    return str(int(number)) if number == int(number) and abs(number) < 1e15 else repr(number)


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
