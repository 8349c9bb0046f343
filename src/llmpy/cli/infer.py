"""`llmpy infer`: a prompt in, text out as it comes."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmpy.cli.constraining import (
    check_whole,
    constraint_options,
    note_logprobs,
    written_logprobs,
)
from llmpy.cli.options import (
    SessionFiles,
    checked_sampling,
    generation_options,
    load,
    load_options,
    quoted,
    session_options,
    stdin_text,
    timings,
    utf8,
    with_piped,
    without_last_break,
)
from llmpy.cli.streams import note
from llmpy.cli.terminal import cleaned, for_terminal
from llmpy.cli.tooling import steps, tools_option

if TYPE_CHECKING:
    import llmpy

MARK = "{{PROMPT}}"


@click.command(name="infer")
@load_options
@click.option(
    "-p", "--prompt", help="The prompt, and after it the text of a pipe; '-' reads it from stdin."
)
@click.option(
    "-f",
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"Take the prompt from this file, with {MARK} in it replaced by -p.",
)
@generation_options
@constraint_options
@tools_option
@session_options
@click.option("--hide-prompt", is_flag=True, help="Print only what is generated.")
@click.option(
    "--special",
    is_flag=True,
    help="Encode control tokens written in the prompt as such; with -f, in that file only.",
)
@click.option("--explain", is_flag=True, help="Print the effect of each sampler on stderr.")
@click.option("--stats", is_flag=True, help="Print counts and rates on stderr.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def command(
    path: Path,
    loading: dict[str, Any],
    files: SessionFiles,
    prompt: str | None,
    file: Path | None,
    max_tokens: int | None,
    seed: int | None,
    stop: tuple[str, ...],
    constrain: llmpy.Constraint | None,
    logprobs: int | None,
    samplers: tuple[str, ...],
    calling: dict[str, Any] | None,
    explain: bool,
    hide_prompt: bool,
    special: bool,
    stats: bool,
    as_json: bool,
    **sampling: float | None,
) -> int:
    """Continue a prompt, printing the text as it is generated."""
    import llmpy

    given = checked_sampling(stop, samplers, sampling)
    parts = _parts(prompt, file, special, optional=files.load is not None)
    if calling is not None and files != SessionFiles():
        raise click.UsageError("--tools makes a chat of the prompt: use `llmpy chat`")
    model = load(path, **loading)
    if calling is not None:
        text = "".join(text for text, _ in parts)
        calling |= {"max_tokens": max_tokens, "stop": stop}
        return _run_tools(model.chat(seed=seed, **given), text, as_json, calling)
    if files.load is None:
        session = model.session(seed=seed, **given)
    else:
        sampler = given.get("sampler")
        if given and sampler is None:
            sampler = llmpy.default_chain(**{**model.recommended_sampling, **given})
        session = model.load_session(files.load, sampler=sampler, seed=seed)
    printer = Printer(session, hide_prompt, quiet=as_json)
    options = {"max_tokens": max_tokens, "stop": stop, "logprobs": logprobs, "explain": explain}
    code = printer.run(_ids(session, parts), {**options, "constrain": constrain})
    if files.save is not None:
        session.save(files.save)
    templated = not special and constrain is None and "tokenizer.chat_template" in model.metadata
    if printer.ended_at_once and templated:
        note("llmpy: the model ended the text at once; `llmpy chat` applies its chat template")
    if as_json:
        click.echo(json.dumps(printer.summary()))
    elif logprobs is not None:
        note_logprobs(session.tokenizer, printer.generated)
    if printer.stats is not None:
        if stats:
            note(f"{printer.stats}\ncomputed by {cleaned(model.computed_by)}")
        check_whole(constrain, printer.stats.finish_reason)
    return code


def _run_tools(chat: llmpy.Chat, text: str, as_json: bool, calling: dict[str, Any]) -> int:
    """Answer with the help of tools: the answer on stdout, each call and its result on stderr."""
    for piece in steps(chat.run(text, stream=True, **calling)):
        if piece.kind == "thinking" and piece.tool_call is not None:
            note(cleaned(piece.text.rstrip()))
        elif piece.kind == "generated" and not as_json:
            sys.stdout.write(for_terminal(piece.text, sys.stdout))
            sys.stdout.flush()
    reason = chat.stats.finish_reason if chat.stats else "interrupted"
    answer = {"text": chat.messages[-1].get("content", ""), "messages": chat.messages}
    click.echo(json.dumps({**answer, "finish_reason": reason}) if as_json else "")
    return 0


class Printer:
    """Runs one inference and collects what there is to say about it."""

    def __init__(self, session: llmpy.Session, hide_prompt: bool, quiet: bool) -> None:
        self.session = session
        self.hide_prompt = hide_prompt
        self.quiet = quiet
        self.text = ""
        self.tokens: list[int] = []
        self.generated: list[llmpy.Piece] = []  # those with log-probabilities
        self.stats: llmpy.Stats | None = None

    def run(self, prompt: list[int], options: dict[str, Any]) -> int:
        """Print as it comes; Ctrl-C keeps what there is. Returns the exit code."""
        for piece in self.session.playback():
            self.show(piece._replace(kind="prompt"))
        try:
            self.stats = self.session.infer(prompt, self.show, **options)
        except KeyboardInterrupt:
            if not self.quiet:
                click.echo()
            note("llmpy: interrupted")
            return 130
        if not self.quiet:
            click.echo()
        return 0

    def show(self, piece: llmpy.Piece) -> None:
        """Print one piece."""
        if piece.kind == "prompt" and self.hide_prompt:
            return
        self.text += piece.text
        if piece.stages and piece.token is not None:
            note(explanation(self.session.tokenizer, piece.token, piece.stages))
        if piece.kind != "prompt" and piece.token is not None:
            self.tokens.append(piece.token)
            self.generated += [piece] if piece.logprobs else []
        if not self.quiet and piece.text:
            sys.stdout.write(for_terminal(piece.text, sys.stdout))
            sys.stdout.flush()

    @property
    def ended_at_once(self) -> bool:
        """Whether the first token that was generated is one that ends a text."""
        reason = None if self.stats is None else self.stats.finish_reason
        return len(self.tokens) == 1 and reason == "end"

    def summary(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        stats = self.stats
        return {
            "text": self.text,
            "tokens": self.tokens,
            "finish_reason": stats.finish_reason if stats else "interrupted",
            "timings": timings(stats),
            **written_logprobs(self.session.tokenizer, self.generated),
        }


def _ids(session: llmpy.Session, parts: list[tuple[str, bool]]) -> list[int]:
    """The prompt in tokens, as it continues the session."""
    tokenizer, tokens = session.tokenizer, session.tokens
    if not tokens:
        return tokenizer.encode_parts(parts, bos=None)
    return tokenizer.encode_parts(parts, start=tokenizer.is_control(tokens[-1]))


def explanation(tokenizer: llmpy.Tokenizer, token: int, stages: Sequence[llmpy.Stage]) -> str:
    """Return a line for the token that was drawn, and one for what was left after each sampler."""

    def shown(candidates: Sequence[llmpy.Candidate]) -> str:
        return "  ".join(
            f"{name(one.token)} {one.probability:.1%}" for one in candidates if one.probability
        )

    def name(token: int) -> str:
        return quoted(tokenizer.piece(token).decode("utf-8", "replace"))

    first = stages[0]
    width = max(len("model"), *(len(stage.step) for stage in stages))
    rows = [("model", first.n_before, first.before)]
    rows += [(stage.step, stage.n_after, stage.after) for stage in stages]
    lines = [f"{step:<{width}} {n:>7}: {shown(found)}" for step, n, found in rows]
    return "\n".join([f"-> {name(token)}", *(f"   {cleaned(line)}" for line in lines)])


def _parts(
    prompt: str | None, file: Path | None, special: bool, *, optional: bool
) -> list[tuple[str, bool]]:
    """The prompt in parts, and whether control tokens in each count: never in a user's text."""
    if prompt is None and file is None:
        if optional:
            return []
        raise click.UsageError("a prompt is needed: give -p TEXT, -p - for stdin, or -f FILE")
    if prompt is not None:
        prompt = stdin_text() if prompt == "-" else with_piped(prompt)
    if file is None:
        return [(prompt or "", special)]
    text = without_last_break(utf8(file.read_bytes(), str(file)))
    if prompt is not None and MARK not in text:
        raise click.UsageError(f"{file} has no {MARK} where the prompt of -p could go")
    first, *others = text.split(MARK)
    parts = [(first, special)]
    for other in others:
        parts += [(prompt or "", False), (other, special)]
    return parts
