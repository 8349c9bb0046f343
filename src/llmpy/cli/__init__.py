"""The command line: one module a command, built on the public names of llmpy alone.

Results go to stdout, progress and stats to stderr. Errors are one line and exit code 2 (wrong
usage) or 1 (failure); Ctrl-C ends with 130.
"""

from __future__ import annotations

import sys
import warnings

import click

from llmpy.cli.streams import end_streams, note, open_streams

__all__ = ["main"]

COMMANDS = (
    "app", "bench", "chat", "convert", "cp", "dates", "default", "discord", "doctor", "embed",
    "imatrix", "infer", "info", "ls", "perplexity", "plan", "ps", "pull", "quantize", "repl", "rm",
    "run-chain", "serve", "show", "stop", "tokens",
)  # fmt: skip
ALIASES = {"run": "chat"}


class Commands(click.Group):
    """Finds a command in the module of its name, so that one command imports only its own needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All commands, sorted."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, or None."""
        cmd_name = ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in COMMANDS:
            return None
        module = __import__(f"llmpy.cli.{cmd_name.replace('-', '_')}", fromlist=["command"])
        command: click.Command = module.command
        return command


@click.group(
    cls=Commands,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="llmpy", prog_name="llmpy")
def group() -> None:
    """Run large language models on this machine."""


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the `llmpy` command; exits the process."""
    try:
        open_streams()
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            code = group(arguments, prog_name="llmpy", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        where = f" (see '{error.ctx.command_path} --help')" if error.ctx else ""
        _fail(error.format_message() + where, 2)
    except click.ClickException as error:
        _fail(error.format_message(), 1)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except BrokenPipeError:  # whoever read our output has seen enough
        end_streams()
        sys.exit(1)
    except (MemoryError, OSError, RuntimeError, ValueError) as error:
        _fail(str(error) or type(error).__name__, 1)
    end_streams()
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    note(f"llmpy: {_one_line(message)}")
    end_streams()
    sys.exit(code)


def _warn(message: Warning | str, *_where: object, **_more: object) -> None:
    note(f"llmpy: warning: {_one_line(str(message))}")


def _one_line(message: str) -> str:
    """Without line breaks, and without characters from a file that a terminal would obey."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(message.split()))
