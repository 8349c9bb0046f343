"""Steps that ask a model: one question, a text to continue, a conversation, tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

import llmpy
from llmpy.chains.step import Run, Step, Steps
from llmpy.chains.template import Template

__all__ = ["Ask", "Asking", "Complete", "Converse", "UseTools", "stats_of"]


@dataclass(frozen=True)
class Asking(Step):
    """The common part of steps that ask a model.

    `prompt` is a template. `model`: default the chain's. `temperature`, `sampler` (a sampler
    string), `seed`, `max_tokens` and `stop` are those of `Model.chat` and `Chat.say`.
    """

    is_cached: ClassVar[bool] = True
    prompt: str
    system: str | None = None
    model: Any = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    temperature: float | None = None
    sampler: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", (self.stop,) if isinstance(self.stop, str) else self.stop)
        object.__setattr__(self, "stop", tuple(self.stop))
        Template(self.prompt), Template(self.system or "")
        if self.sampler is not None and self.temperature is not None:
            raise ValueError(f"{self.kind}: sampler is the whole sampler: leave out temperature")

    @property
    def needs(self) -> dict[str, Any]:
        names = *Template(self.prompt).names, *Template(self.system or "").names
        return dict.fromkeys(names, Any)

    @property
    def sampling(self) -> dict[str, Any]:
        given = {"temperature": self.temperature, "sampler": self.sampler, "seed": self.seed}
        return {name: value for name, value in given.items() if value is not None}

    def texts(self, values: Mapping[str, Any]) -> tuple[str, str | None]:
        system = None if self.system is None else Template(self.system).render(values)
        return Template(self.prompt).render(values), system

    def options(self, run: Run) -> dict[str, Any]:
        return {"max_tokens": self.max_tokens, "stop": self.stop, "progress": run.check}


@dataclass(frozen=True)
class Ask(Asking):
    """Ask the model, in a new conversation; the answer is a text, or a value of the type `schema`.

    `schema`: a JSON schema as a dict, or a type (a dataclass, a TypedDict, a Literal, ...), of
    which every answer is valid. It is not shown to the model: describe it in the prompt.
    """

    kind: ClassVar[str] = "ask"
    schema: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schema is not None and not isinstance(self.schema, Mapping):
            msgspec.json.Decoder(self.schema)  # TypeError for types that cannot be kept

    @property
    def gives(self) -> Any:
        if self.schema is None:
            return str
        return Any if isinstance(self.schema, Mapping) else self.schema

    def work(self, run: Run, values: Mapping[str, Any]) -> Steps:
        prompt, system = self.texts(values)
        with run.model(self.model).chat(system, **self.sampling) as chat:
            if self.schema is None:
                yield from chat.say(prompt, **self.options(run))
                yield stats_of(chat)
                return chat.messages[-1]["content"]
            text = ""
            options: dict[str, Any] = {"max_tokens": self.max_tokens, "stream": True}
            options["progress"] = run.check
            with closing(chat.parse(prompt, self.schema, **options)) as answers:
                for parsed in answers:
                    yield parsed.text[len(text) :]
                    text = parsed.text
            yield stats_of(chat)
            return parsed.value


@dataclass(frozen=True)
class Complete(Asking):
    """Let the model continue the prompt, without a chat template."""

    kind: ClassVar[str] = "complete"

    def work(self, run: Run, values: Mapping[str, Any]) -> Steps:
        prompt, _ = self.texts(values)
        model, text = run.model(self.model), ""
        with model.session(**self.sampling) as session:
            ids = session.tokenizer.encode(prompt, bos=None)
            last = max(0, len(ids) - 1)
            for at in range(0, last, model.n_batch):  # in parts, so that it can be cancelled
                run.check()
                session.feed(ids[at : min(at + model.n_batch, last)])
            limits: dict[str, Any] = {"max_tokens": self.max_tokens, "stop": self.stop}
            for piece in session.stream(ids[last:], **limits):
                if piece.kind != "prompt":
                    text += piece.text
                    yield piece
        return text


@dataclass(frozen=True)
class Converse(Asking):
    """Say the prompt in a conversation that goes on from one run of the chain to the next.

    Of the conversation, the newest messages are kept of which prompt and answer fit into `budget`
    tokens, `max_tokens` (256) of them for the answer. The messages are in the runner's `memory`,
    by the name `memory`.
    """

    kind: ClassVar[str] = "converse"
    is_cached: ClassVar[bool] = False
    max_tokens: int | None = 256
    budget: int = 2048
    memory: str = "messages"

    def work(self, run: Run, values: Mapping[str, Any]) -> Steps:
        prompt, system = self.texts(values)
        model, memory = run.model(self.model), run.runner.memory
        with model.chat(system, messages=memory.get(self.memory, []), **self.sampling) as chat:
            start = 1 if chat.system is not None else 0
            question = {"role": "user", "content": prompt}
            while (n := self._count(chat, question)) > self.budget:
                if len(chat.messages) == start:
                    raise ValueError(
                        f"{self.kind}: expected a message that fits into budget={self.budget} "
                        f"tokens with max_tokens={self.max_tokens}, found one that needs {n}"
                    )
                roles = [message["role"] for message in chat.messages]
                later = [i for i, role in enumerate(roles) if role == "user" and i > start]
                del chat.messages[start : later[0] if later else None]
            yield from chat.say(prompt, **self.options(run))
            memory[self.memory] = chat.messages[start:]
            yield stats_of(chat)
            return chat.messages[-1]["content"]

    def _count(self, chat: llmpy.Chat, question: dict[str, str]) -> int:
        ids = chat.template.encode([*chat.messages, question])
        return len(ids) + (self.max_tokens or 0)


@dataclass(frozen=True)
class UseTools(Asking):
    """Ask the model, and call the functions that it asks for, until it answers with a text.

    `tools` are functions, or names of the runner's `functions`. `max_rounds` and `timeout` (in
    seconds, for a call) are the limits of `Chat.run`; beyond them llmpy.ToolError is raised.
    """

    kind: ClassVar[str] = "use_tools"
    is_cached: ClassVar[bool] = False
    tools: tuple[Callable[..., Any] | str, ...] = ()
    tool_choice: str = "auto"
    max_rounds: int = 8
    timeout: float = 60.0

    def work(self, run: Run, values: Mapping[str, Any]) -> Steps:
        prompt, system = self.texts(values)
        tools = [run.runner.function(tool) for tool in self.tools]
        with run.model(self.model).chat(system, **self.sampling) as chat:
            yield from chat.run(
                prompt,
                tools,
                stream=True,
                tool_choice=self.tool_choice,
                max_rounds=self.max_rounds,
                timeout=self.timeout,
                **self.options(run),
            )
            yield stats_of(chat)
            return chat.messages[-1]["content"]


def stats_of(chat: llmpy.Chat) -> llmpy.Stats:
    """Return the counts and times of the last answer."""
    assert chat.stats is not None
    return chat.stats
