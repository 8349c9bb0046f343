"""Typed answers of sessions, and constraints that hold for a session."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar, Unpack, overload

from llmpy.session.asynchronous import exhausted, returned, stepped
from llmpy.session.parsing import Parsed, parsing
from llmpy.session.tally import Tally

if TYPE_CHECKING:
    from llmpy.constraints import Constrain, Constraint
    from llmpy.session.events import Piece
    from llmpy.session.transcript import Transcript
    from llmpy.tokenizer import Tokenizer

__all__ = ["TypedAnswers", "detailed"]

Prompt = str | Sequence[int]
A = TypeVar("A")


class ParseOptions(TypedDict, total=False):
    """The options of `Session.parse` besides the prompt and the type."""

    max_tokens: int | None
    special: bool
    bos: bool | None


class _Session(Protocol):
    """The members of a session that this part uses."""

    transcript: Transcript
    stream: Callable[..., Generator[Piece]]

    @property
    def tokenizer(self) -> Tokenizer: ...

    def cancel(self) -> None: ...

    def rewind(self, n_tokens: int) -> None: ...

    def __len__(self) -> int: ...


class TypedAnswers:
    """The methods of a session that generate typed answers."""

    @overload
    def parse(self: _Session, prompt: Prompt, T: type[A], **o: Unpack[ParseOptions]) -> A: ...

    @overload
    def parse(self: _Session, prompt: Prompt, T: Any, **o: Unpack[ParseOptions]) -> Any: ...

    def parse(
        self: _Session,
        prompt: Prompt,
        T: Any,
        *,
        max_tokens: int | None = None,
        details: bool = False,
        stream: bool = False,
        special: bool = False,
        bos: bool | None = None,
    ) -> Any:
        """Read the prompt, and generate a complete and valid value of the type `T`.

        `T`: a dataclass, a TypedDict, a pydantic model, an Enum, a Literal, `int`, `list[...]`, `X
        | None` and the like, or a JSON schema as a dict. The model does not see the type: describe
        it in the prompt (`schema_of` returns the schema of a type). With `details`, a `Parsed` is
        returned, which has the probability of each field. With `stream`, an iterator is returned:
        it yields a partial `Parsed` for each token, and a complete one at the end. The other
        options are those of `stream`.

        Raises, before anything is generated, ConstraintError for a schema that is not supported and
        TypeError for a type without JSON; AnswerError where `max_tokens` or the context end the
        answer, or the type's own checks refuse it. The session is then as it was before the call.
        """
        options = {"max_tokens": max_tokens, "special": special, "bos": bos}
        steps = _parsing(self, prompt, T, options, partial=stream)
        if stream:
            return steps
        found = returned(steps)
        return found if details else found.value

    def aparse(
        self: _Session,
        prompt: Prompt,
        T: Any,
        *,
        max_tokens: int | None = None,
        details: bool = False,
        stream: bool = False,
        special: bool = False,
        bos: bool | None = None,
    ) -> Any:
        """Run `parse` in asyncio: return a coroutine, or with `stream` an asynchronous iterator."""
        options = {"max_tokens": max_tokens, "special": special, "bos": bos}
        steps = _parsing(self, prompt, T, options, partial=stream)
        if stream:
            return stepped(steps, self.cancel)
        return detailed(exhausted(steps, self.cancel), details)

    @property
    def constraint(self: _Session) -> Constraint | None:
        """The constraint of each generated text; assign a value of `constrain=`, or None.

        It applies to `next_token` and to all streams without a constraint of their own, and starts
        again after each `feed`. A fork copies its state, and `rewind` rewinds it.
        """
        state = self.transcript.sequence.constraint
        return None if state is None else state.constraint

    @constraint.setter
    def constraint(self: _Session, constrain: Constrain | None) -> None:
        from llmpy.constraints import constraint_state

        transcript = self.transcript
        state = None if constrain is None else constraint_state(constrain, self.tokenizer)
        transcript.begin()
        try:
            if state is None:
                transcript.sequence.constraint = None
            else:
                transcript.activate(state)
        finally:
            transcript.end()


def _parsing(
    session: _Session, prompt: Prompt, T: Any, options: dict[str, Any], *, partial: bool
) -> Generator[Parsed[Any], None, Parsed[Any]]:
    """The steps of `parse`; what can be wrong with its arguments is wrong now."""
    from llmpy.constraints import answer_type, begin

    answer = answer_type(T)
    state = begin(answer.constraint, session.tokenizer, recording=True)
    tally, n_before = Tally(session.transcript), len(session)
    events = tally.counted(session.stream(prompt, constrain=state, **options))
    steps = parsing(session.transcript, answer, state, events, tally.stats, partial=partial)
    return _unchanged_by_errors(session, steps, n_before)


def _unchanged_by_errors(
    session: _Session, steps: Generator[Any, None, A], n_before: int
) -> Generator[Any, None, A]:
    try:
        return (yield from steps)
    except Exception:
        if session.transcript.sequence.cache is not None and n_before <= len(session):
            session.rewind(n_before)
        raise


async def detailed(running: Coroutine[Any, Any, Parsed[Any]], details: bool) -> Any:
    """Return what `parse` returns, once it is there."""
    found = await running
    return found if details else found.value
