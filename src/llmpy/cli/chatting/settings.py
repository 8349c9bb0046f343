"""Settings that a user may change during a chat: sampling, limits, and what is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from llmpy.cli import options

if TYPE_CHECKING:
    import llmpy

__all__ = ["CHOICES", "NAMES", "Settings"]

SAMPLING: dict[str, tuple[type, float, str]] = {
    **{name: (kind, default, meaning) for name, kind, meaning, default in options.SAMPLING},
    "frequency_penalty": (float, 0.0, "Penalty for each time a recent token came; 0: none."),
    "presence_penalty": (float, 0.0, "Penalty on tokens that came recently; 0: none."),
    "last_n": (int, 64, "How many tokens are recent; -1: all."),
}
OTHERS = {
    "sampler": "A sampler string in place of all these values.",
    "seed": "The same seed gives the same answers.",
    "max_tokens": "Tokens of an answer, at most.",
    "overflow": "What happens when the context is full: error or drop_oldest.",
    "thinking": "How thinking is shown: fold, show or hide.",
}
NAMES = (*SAMPLING, *OTHERS)
CHOICES = {"overflow": ("error", "drop_oldest"), "thinking": ("fold", "show", "hide")}
DEFAULT = "default"  # as a value: what it would be, had nobody said anything


@dataclass
class Settings:
    """The values that were given; `sampling` holds those of the sampler.

    `recommended` are those of the model file, which hold where none was given.
    """

    sampling: dict[str, Any] = field(default_factory=dict)
    sampler_string: str | None = None
    seed: int | None = None
    max_tokens: int | None = None
    overflow: str = "error"
    thinking: Literal["fold", "show", "hide"] = "fold"
    stop: tuple[str, ...] = ()
    recommended: dict[str, Any] = field(default_factory=dict)

    def sampler(self) -> llmpy.Chain:
        """Return the chain of these values."""
        import llmpy

        if self.sampler_string is not None:
            return llmpy.chain(self.sampler_string)
        return llmpy.default_chain(**{**self.recommended, **self.sampling})

    def set(self, name: str, text: str) -> None:
        """Change one value, written as text; ValueError says what is wrong with it."""
        if name in SAMPLING:
            self._set_sampling(name, text)
        elif name in CHOICES:
            value = CHOICES[name][0] if text == DEFAULT else text
            if value not in CHOICES[name]:
                raise ValueError(f"{name}: expected {' or '.join(CHOICES[name])}, found {text!r}")
            setattr(self, name, value)
        elif name == "sampler":
            self._set_sampler(text)
        elif name in ("seed", "max_tokens"):
            setattr(self, name, None if text == DEFAULT else _whole(name, text))
        else:
            raise ValueError(f"no setting is called {name!r}; there are {', '.join(NAMES)}")

    def rows(self) -> list[tuple[str, str, str]]:
        """Return name, value and meaning of each."""
        found = []
        for name, (_, default, meaning) in SAMPLING.items():
            value = self.sampling.get(name, self.recommended.get(name, default))
            found.append((name, f"{value:g}", meaning))
        none = {"seed": "random", "max_tokens": "no limit", "sampler": "none"}
        for name, meaning in OTHERS.items():
            value = self.sampler_string if name == "sampler" else getattr(self, name)
            found.append((name, none[name] if value is None else str(value), meaning))
        return found

    def _set_sampler(self, text: str) -> None:
        import llmpy

        try:
            self.sampler_string = None if text == DEFAULT else str(llmpy.chain(text))
        except llmpy.SamplerError as error:
            raise ValueError(str(error)) from error

    def _set_sampling(self, name: str, text: str) -> None:
        import llmpy

        if self.sampler_string is not None:
            raise ValueError(f"{name}: the sampler is {self.sampler_string}: change that instead")
        kind = SAMPLING[name][0]
        changed = {key: value for key, value in self.sampling.items() if key != name}
        if text != DEFAULT:
            try:
                changed[name] = kind(text)
            except ValueError:
                what = "a whole number" if kind is int else "a number"
                raise ValueError(f"{name}: expected {what}, found {text!r}") from None
        try:
            llmpy.default_chain(**{**self.recommended, **changed})
        except llmpy.SamplerError as error:
            raise ValueError(str(error)) from error
        self.sampling = changed


def _whole(name: str, text: str) -> int:
    most = 2**64 - 1 if name == "seed" else 2**31 - 1
    if not (text.isascii() and text.isdigit()) or int(text[:30]) > most:
        raise ValueError(f"{name}: expected a whole number from 0 to {most}, found {text!r}")
    return int(text)
