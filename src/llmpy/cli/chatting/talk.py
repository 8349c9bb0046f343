"""A conversation with a model that may be exchanged: what the commands work on."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmpy.cli.chatting.settings import Settings
from llmpy.cli.tooling import steps

if TYPE_CHECKING:
    import llmpy
    from llmpy.cli.chatting.prelude import Prelude

__all__ = ["Talk"]

Load = Callable[[Path], "llmpy.Model"]
Progress = Callable[[int, int], Any]


@dataclass
class Talk:
    """A model, the chat with it, and its settings.

    `template` and `prelude` stand in place of the model's own template; `fresh`: each message is
    answered without those before it. `saved`: a file to go on from, which settings take the place
    of where they were given. `constrain` and `logprobs` are those of `Chat.say`, `calling`
    the tools and their choice for `Chat.run`.
    """

    load: Load
    path: Path
    settings: Settings
    template: str | None = None
    prelude: Prelude | None = None
    fresh: bool = False
    system: str | None = None
    think: bool | None = None
    saved: Path | None = None
    constrain: llmpy.Constraint | None = None
    logprobs: int | None = None
    calling: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.model = self.load(self.path)
        self.chat = self._chat(self.model, []) if self.saved is None else self._saved_chat()
        self._draft: llmpy.ChatDraft | None = None
        if self.system is not None:
            self.chat.system = self.system

    @property
    def name(self) -> str:
        """The name of the model's file or folder, without its ending."""
        name = self.path.resolve().name
        return name.removesuffix(".gguf").removesuffix(".bin")

    def begin_draft(self) -> None:
        """Read the conversation, and what `typed` says is being typed, until something is said."""
        import llmpy

        self.drop_draft()
        with suppress(llmpy.LlmpyError, MemoryError):  # which come again when it is said
            unread = self.fresh or self.calling is not None  # which stand before the conversation
            self._draft = None if unread else self.chat.draft()

    def typed(self, text: str) -> None:
        """Take note of what is being typed."""
        if self._draft is not None:
            self._draft.update(text)

    def drop_draft(self) -> None:
        """Nothing is being typed any more, or nothing that will be said."""
        draft, self._draft = self._draft, None
        if draft is not None:
            draft.close()

    def say(self, text: str, progress: Progress) -> Generator[llmpy.Piece]:
        """Say something, and give the pieces of the answer."""
        draft, self._draft = self._draft, None
        if draft is not None:
            return draft.commit(text, **self._options(progress))
        if self.fresh:
            self.chat.messages = [m for m in self.chat.messages if m["role"] == "system"]
        options = self._options(progress)
        if self.calling is None:
            return self.chat.say(text, **options)
        del options["logprobs"], options["constrain"]
        return steps(self.chat.run(text, stream=True, **self.calling, **options))

    def retry(self, progress: Progress) -> Generator[llmpy.Piece]:
        """Answer the last message once more."""
        return self.chat.retry(**self._options(progress))

    def changed(self, name: str) -> None:
        """Let the setting of this name take effect."""
        import llmpy

        if name == "seed":
            self.chat.session.reseed(self.settings.seed)
        elif name == "overflow":
            self.chat.overflow = llmpy.Overflow(self.settings.overflow)
        else:
            self.chat.session.sampler = self.settings.sampler()

    def think_first(self, think: bool | None) -> None:
        """Turn thinking on or off; None: as the template has it."""
        self.think = self.chat.think = think

    def switch(self, path: Path) -> None:
        """Go on with another model.

        Whatever fails, the conversation goes on with the present one. A model that does not fit
        into memory beside that is loaded in its place.
        """
        import llmpy

        messages, recommended, closed = self.chat.messages, self.settings.recommended, False
        try:
            try:
                model = self.load(path)
            except llmpy.OutOfMemory:
                self.model.close()
                closed = True
                model = self.load(path)
            try:
                chat = self._chat(model, messages)
            except BaseException:
                model.close()
                raise
        except BaseException:
            self.settings.recommended = recommended
            if closed:
                self.model = self.load(self.path)
                self.chat = self._chat(self.model, messages)
            raise
        self.model.close()
        self.model, self.chat, self.path = model, chat, path

    def _chat(self, model: llmpy.Model, messages: list[Any]) -> llmpy.Chat:
        settings = self.settings
        settings.recommended = dict(model.recommended_sampling)
        return model.chat(
            messages=messages,
            template=self.prelude.template if self.prelude else self.template,
            template_kwargs=self.prelude.template_kwargs() if self.prelude else None,
            think=self.think,
            overflow=settings.overflow,
            sampler=settings.sampler(),
            seed=settings.seed,
        )

    def _saved_chat(self) -> llmpy.Chat:
        assert self.saved is not None
        settings = self.settings
        settings.recommended = dict(self.model.recommended_sampling)
        chat = self.model.load_chat(
            self.saved,
            template=self.prelude.template if self.prelude else self.template,
            sampler=settings.sampler() if settings.sampling else None,
            seed=settings.seed,
        )
        chat.think = chat.think if self.think is None else self.think
        return chat

    def _options(self, progress: Progress) -> dict[str, Any]:
        stop = self.settings.stop + (self.prelude.stop if self.prelude else ())
        return {
            "max_tokens": self.settings.max_tokens,
            "stop": stop,
            "progress": progress,
            "logprobs": self.logprobs,
            "constrain": self.constrain,
        }
