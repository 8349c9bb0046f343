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

COMMANDS = {  # with the first sentence of its help, so that listing them imports none
    "anywhere": "Complete the text at the cursor of any program, when keys are pressed.",
    "app": "Chat with local models in the browser.",
    "bench": "Measure prefill (reading a prompt) and decode (generating), in tokens per second.",
    "chat": "Chat with an instruct model; `llmpy run` is the same.",
    "convert": "Write MODEL (the folder of a Hugging Face checkpoint, or a file) as the GGUF file "
    "OUT.",
    "cp": "Add the name NAME for a model, a file or a folder; no byte is copied.",
    "dates": "Print the dates in each TEXT in EDTF (ISO 8601-2), a line for each TEXT.",
    "default": "Set the model that commands use if none is named, or print it.",
    "discord": "Run a Discord bot with the slash commands of its configuration.",
    "doctor": "Say what limits models on this machine, and what to do about it.",
    "embed": "Print an embedding for each TEXT, one per line.",
    "flow": "Join models, texts and tools by wires, in the browser; with run, run FILE without it.",
    "imatrix": "Run a model on a text, and write the importance matrix of its weights.",
    "infer": "Continue a prompt, printing the text as it is generated.",
    "info": "Print the metadata of a model file.",
    "ls": "List the models that -m accepts by name, including those of Ollama and LM Studio.",
    "perplexity": "Print the perplexity of a text: exp of the mean loss of its tokens.",
    "plan": "Print the memory that MODEL needs with full sessions, by part.",
    "ps": "Show the models that a running `llmpy serve` has loaded.",
    "pull": "Download a model, and give it a name that -m accepts.",
    "quantize": "Quantize MODEL to the GGUF file OUT.",
    "repl": "Answer prompts one by one, each with a fresh context.",
    "rm": "Remove models by name, and print how many bytes were freed.",
    "run-chain": 'Run a chain; TEXT is its value `text` ("-": what stdin holds).',
    "serve": "Serve models over HTTP, for clients of the APIs of OpenAI, Anthropic and Ollama.",
    "show": "Print the path, size, licence and source of a model.",
    "stop": "Unload the model NAME of a running `llmpy serve`, once its answers have ended.",
    "tokens": "Print the token ids of TEXT ('-': stdin) and their pieces, one per line.",
}
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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands."""
        most = formatter.width - 6 - max(map(len, COMMANDS))
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, click.Command(name, help=text).get_short_help_str(most))
                    for name, text in COMMANDS.items()
                ]
            )


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
        _fail(_text_of(error), 1)
    end_streams()
    sys.exit(code if isinstance(code, int) else 0)


def _text_of(error: Exception) -> str:
    """Return its message; of one of the system the file and what is wrong with it."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _fail(message: str, code: int) -> None:
    note(f"llmpy: {_one_line(message)}")
    end_streams()
    sys.exit(code)


def _warn(message: Warning | str, *_where: object, **_more: object) -> None:
    note(f"llmpy: warning: {_one_line(str(message))}")


def _one_line(message: str) -> str:
    """Without line breaks, and without characters from a file that a terminal would obey."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(message.split()))
