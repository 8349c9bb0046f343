"""`llmpy chat`: a conversation with an instruct model, on a terminal or in one call."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from llmpy.cli.constraining import (
    check_whole,
    constraint_options,
    note_logprobs,
    written_logprobs,
)
from llmpy.cli.options import (
    PATH,
    SessionFiles,
    checked_sampling,
    chosen_template,
    generation_options,
    load,
    load_options,
    model_argument,
    named_or_default,
    session_options,
    stdin_text,
    template_option,
    text_of,
    timings,
    with_piped,
)
from llmpy.cli.streams import note
from llmpy.cli.terminal import cleaned
from llmpy.cli.tooling import tools_option

if TYPE_CHECKING:
    import llmpy
    from llmpy.cli.chatting.answering import Display
    from llmpy.cli.chatting.prelude import Prelude
    from llmpy.cli.chatting.talk import Talk

__all__ = ["chat_options", "command", "run_chat"]

F = TypeVar("F", bound=Callable[..., Any])


def chat_options(function: F) -> F:
    """Add what `llmpy chat` and `llmpy repl` take."""
    with_model: Callable[..., Any] = partial(load_options, model=model_argument)
    for option in reversed(
        [
            with_model,
            click.option(
                "-p",
                "--prompt",
                help="Answer this text and exit, with that of a pipe after it; '-': that on stdin.",
            ),
            click.option("--system", help="The text of a system message."),
            template_option,
            click.option(
                "--prelude",
                type=PATH,
                help="A text file in place of a template, with {{PROMPT}} where the first message "
                "goes: for base models.",
            ),
            click.option(
                "--message-prefix",
                help="With --prelude: what comes before each message, or around it at {{PROMPT}}.",
            ),
            click.option(
                "--think/--no-think",
                default=None,
                help="Whether the model thinks before it answers.  [as its template has it]",
            ),
            click.option("--hide-thinking", is_flag=True, help="Do not show what it thinks."),
            click.option(
                "--overflow",
                type=click.Choice(["error", "drop_oldest"]),
                default="error",
                show_default=True,
                help="When the context is full: stop, or leave out the oldest turns.",
            ),
            generation_options,
            constraint_options,
            tools_option,
            session_options,
            click.option(
                "--plain", is_flag=True, help="Show answers as they are, without markdown."
            ),
            click.option("--stats", is_flag=True, help="Print counts and rates after each answer."),
            click.option(
                "--json", "as_json", is_flag=True, help="With -p or stdin: print one JSON object."
            ),
        ]
    ):
        function = option(function)
    return function


@click.command(name="chat")
@chat_options
def command(**options: Any) -> int:
    """Chat with an instruct model; `llmpy run` is the same.

    On a terminal it is a conversation, in which /help shows what can be done. With TEXT, -p, or
    text on stdin, it is one answer on stdout; thinking goes to stderr.
    """
    return run_chat(options, fresh=False)


def run_chat(options: dict[str, Any], *, fresh: bool) -> int:
    """Do what the options say; returns the exit code. `fresh`: each message is answered alone."""
    show = {name: options.pop(name) for name in ("plain", "stats", "as_json")}
    options["path"] = _one_of("-m", options["path"], "MODEL", options.pop("model"))
    text = _prompt(_one_of("-p", options.pop("prompt"), "TEXT", options.pop("text")))
    if text is None and show["as_json"]:
        raise click.UsageError("--json needs -p or text on stdin")
    if text is None and options["logprobs"] is not None:
        raise click.UsageError("--logprobs needs -p or text on stdin")
    options["path"] = named_or_default(options["path"])
    files = options.pop("files")
    if fresh and files != SessionFiles():
        raise click.UsageError("llmpy repl keeps no conversation that could be loaded or saved")
    talk, code = _talk(fresh=fresh, saved=files.load, **options), 0
    if text is not None:
        code = _answer_once(talk, text, **show)
    else:
        _converse(talk, plain=show["plain"], stats=show["stats"])
    if files.save is not None:
        talk.chat.save(files.save)
    return code


def _talk(
    *,
    fresh: bool,
    saved: Path | None,
    path: Path,
    loading: dict[str, Any],
    system: str | None,
    template: str | None,
    prelude: Path | None,
    message_prefix: str | None,
    think: bool | None,
    hide_thinking: bool,
    overflow: str,
    max_tokens: int | None,
    seed: int | None,
    stop: tuple[str, ...],
    constrain: llmpy.Constraint | None,
    logprobs: int | None,
    samplers: tuple[str, ...],
    calling: dict[str, Any] | None,
    **others: Any,
) -> Talk:
    """Load the model; `others` are the options of the sampler."""
    import llmpy
    from llmpy.cli.chatting.settings import Settings
    from llmpy.cli.chatting.talk import Talk

    if template is not None and prelude is not None:
        raise click.UsageError("--prelude stands in place of a template: leave out --template")
    given = checked_sampling(stop, samplers, others)
    string = given.pop("sampler", None)
    settings = Settings(
        sampling=given,
        sampler_string=string,
        seed=seed,
        max_tokens=max_tokens,
        overflow=overflow,
        thinking="hide" if hide_thinking else "fold",
        stop=stop,
    )
    plain_text = _prelude(prelude, message_prefix)
    try:
        return Talk(
            load=partial(load, **loading),
            path=path,
            settings=settings,
            template=chosen_template(template),
            prelude=plain_text,
            fresh=fresh,
            saved=saved,
            system=system,
            think=think,
            constrain=constrain,
            logprobs=logprobs,
            calling=calling,
        )
    except llmpy.TemplateError as error:
        hint = "--template and --prelude stand in place of the model's own template"
        raise click.ClickException(f"{error}; {hint}") from error


def _prelude(file: Path | None, prefix: str | None) -> Prelude | None:
    from llmpy.cli.chatting.prelude import prelude_of

    if file is None:
        if prefix is not None:
            raise click.UsageError("--message-prefix needs --prelude")
        return None
    try:
        return prelude_of(text_of(file), prefix)
    except ValueError as error:
        raise click.UsageError(f"{file}: {error}") from error


def _prompt(prompt: str | None) -> str | None:
    """The text to answer, or None for a conversation."""
    if prompt == "-" or (prompt is None and not (sys.stdin and sys.stdin.isatty())):
        prompt = stdin_text()
        if not prompt.strip():
            raise click.UsageError("stdin: expected a text to answer, found none")
    elif prompt is not None and not prompt.strip():
        raise click.UsageError("-p: expected a text to answer, found an empty one")
    elif prompt is not None:
        prompt = with_piped(prompt)
    elif prompt is None and not sys.stdout.isatty():
        raise click.UsageError("a conversation needs a terminal; give -p TEXT, or text on stdin")
    return prompt


def _one_of(option: str, given: Any, argument: str, named: Any) -> Any:
    """Return the value of an option or an argument; refuse both."""
    if given is not None and named is not None:
        raise click.UsageError(f"expected {option} or {argument}, found both")
    return named if given is None else given


def _answer_once(talk: Talk, text: str, *, plain: bool, stats: bool, as_json: bool) -> int:
    """One answer to stdout; Ctrl-C keeps what there is."""
    import llmpy
    from llmpy.cli.chatting.answering import InterruptedAnswer, interruptible, shown

    generated: list[llmpy.Piece] = []

    def say(progress: Callable[[int, int], Any]) -> Generator[llmpy.Piece]:
        with closing(talk.say(text, progress)) as pieces:
            for piece in pieces:
                generated.extend([piece] if piece.logprobs else [])
                yield piece

    try:
        with interruptible() as stop:
            reason = shown(say, _display(talk, plain, as_json), stop)
    except InterruptedAnswer:
        reason = "interrupted"
    except llmpy.ContextFull as error:
        raise click.ClickException(
            f"the context holds {error.n_ctx} tokens and {error.needed} are needed; give a larger "
            "one with -c, or a shorter text"
        ) from error
    if as_json:
        click.echo(json.dumps(_summary(talk, reason, generated)))
    else:
        note_logprobs(talk.chat.session.tokenizer, generated)
    if reason == "interrupted":
        note("llmpy: interrupted")
        return 130
    if reason == "context":
        n_ctx = talk.chat.session.n_ctx
        note(f"llmpy: the answer ends here: all {n_ctx} tokens of context are used")
    if stats:
        note(f"{talk.chat.stats}\ncomputed by {cleaned(talk.model.computed_by)}")
    check_whole(talk.constrain, reason)
    return 0


def _display(talk: Talk, plain: bool, as_json: bool) -> Display:
    from llmpy.cli.chatting.plain import PlainDisplay

    if as_json:
        return PlainDisplay(None, None)
    if not plain and sys.stdout.isatty():
        from llmpy.cli.chatting.live import LiveDisplay
        from llmpy.cli.chatting.screen import made_console

        console = made_console()
        if not console.is_dumb_terminal:
            return LiveDisplay(console, talk.settings.thinking)
    return PlainDisplay(sys.stdout, None if talk.settings.thinking == "hide" else sys.stderr)


def _summary(talk: Talk, reason: str, generated: list[llmpy.Piece]) -> dict[str, Any]:
    """Return the object that `--json` prints."""
    chat, answer = talk.chat, dict[str, Any]()
    if chat.messages and chat.messages[-1]["role"] == "assistant":
        answer = chat.messages[-1]
    stats = chat.stats
    return {
        "text": answer.get("content", ""),
        "thinking": answer.get("reasoning_content", ""),
        "messages": chat.messages,
        "finish_reason": reason,
        "timings": timings(stats),
        **written_logprobs(chat.session.tokenizer, generated),
    }


def _converse(talk: Talk, *, plain: bool, stats: bool) -> None:
    from llmpy.cli.chatting.files import data_folder
    from llmpy.cli.chatting.keyboard import Keyboard, opened_history
    from llmpy.cli.chatting.program import Program
    from llmpy.cli.chatting.screen import ConsoleScreen, made_console

    program = Program(talk, ConsoleScreen(made_console()), stats=stats, plain=plain)
    program.run(Keyboard(opened_history(data_folder()), program.status, program.typed))
