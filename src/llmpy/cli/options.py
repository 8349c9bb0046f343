"""Options that several commands share, and loading with progress on stderr."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_args

import click

from llmpy.cli.streams import note
from llmpy.cli.terminal import cleaned

if TYPE_CHECKING:
    import llmpy

__all__ = [
    "LOADING",
    "PATH",
    "SAMPLING",
    "SessionFiles",
    "any_model_option",
    "architecture_option",
    "backend_option",
    "checked_sampling",
    "chosen_template",
    "compute_options",
    "config_option",
    "described",
    "embedded",
    "generation_options",
    "gpu_options",
    "kv_dtype_option",
    "load",
    "load_options",
    "model_argument",
    "model_option",
    "n_ctx_option",
    "named_or_default",
    "quoted",
    "session_options",
    "show_windows",
    "stdin_text",
    "template_option",
    "text_of",
    "text_options",
    "timings",
    "utf8",
    "with_piped",
    "without_last_break",
]

F = TypeVar("F", bound=Callable[..., Any])
KvDtype = Literal["auto", "int14", "f16", "f32", "q8_0", "q4_0"]


class _Path(click.Path):
    """A path; an empty one, which would mean this folder, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        if value == "":
            self.fail("expected a path, found an empty one", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Path(path_type=Path)


def config_option(program: str) -> Callable[[F], F]:
    """Add --config, the file of a program's configuration, and its usual place."""

    def place(_context: click.Context, _option: click.Parameter, path: Path | None) -> Path:
        if path is not None:
            return path
        import platformdirs

        return Path(platformdirs.user_config_dir("llmpy")) / program / "config.toml"

    return click.option(
        "--config",
        "path",
        type=PATH,
        metavar="FILE",
        callback=place,
        help=f"The configuration.  [{program}/config.toml in the user's folder for configurations]",
    )


def named_or_default(path: Path | None, *, any_model: bool = False) -> Path:
    """The model that was given, else the default one; where there is none, one is offered.

    `any_model`: whatever it is good for, so that the one of the package will do.
    """
    if path is not None:
        return path
    import llmpy

    found = llmpy.default_model()
    if found is not None:
        return Path(found.name)
    return embedded() if any_model else _offered()


def embedded() -> Path:
    """The model that is part of the package, and a word on stderr that it is used."""
    from llmpy.apps.dates import model_path

    path = model_path()
    note(f"model: {path.stem}, which is part of llmpy (-m takes another)")
    return path


def _offered() -> Path:
    """On a machine without a model: download the first of the catalogue, if a person agrees."""
    import llmpy
    from llmpy.cli.progress import pulled, readable_bytes

    entry = llmpy.CATALOGUE[0]
    what = f"{readable_bytes(entry.download)} to download, licence {entry.license}"
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(
            f"a model is needed, and none is installed: llmpy pull {entry.name} ({what}), or "
            "-m MODEL"
        )
    click.echo(f"No model is installed. {entry.name} is {entry.about} ({what}).", err=True)
    if not click.confirm(f"Download {entry.name}?", default=True, err=True):
        raise click.ClickException("a model is needed: llmpy pull NAME, or -m MODEL")
    return Path(pulled(entry.name).name)


def _model_option(*, default: bool, any_model: bool = False) -> Callable[[F], F]:
    def chosen(ctx: click.Context, _option: click.Parameter, path: Path | None) -> Path | None:
        if default and not ctx.resilient_parsing:
            return named_or_default(path, any_model=any_model)
        return path

    return click.option(
        "-m",
        "--model",
        "path",
        type=PATH,
        callback=chosen,
        help="The model: a name (see llmpy ls), a GGUF file, or the folder of a checkpoint.  "
        f"[the default model{', else that of the package' * any_model}]",
    )


model_option = _model_option(default=True)
any_model_option = _model_option(default=True, any_model=True)


def model_argument(function: F) -> F:
    """Add -m and the arguments MODEL and TEXT, which stand for -m and -p."""
    text = click.argument("text", metavar="[TEXT]", required=False)
    model = click.argument("model", metavar="[MODEL]", required=False, type=PATH)
    return model(text(_model_option(default=False)(function)))


architecture_option = click.option(
    "--architecture",
    metavar="NAME",
    help="Architecture of a GGML, GGMF or GGJT file: llama, gptj, ...  [other files contain it]",
)


template_option = click.option(
    "--template",
    metavar="NAME|FILE",
    help="A named chat template (chatml, llama3, alpaca, ...) or a file in Jinja.  [the model's]",
)


n_ctx_option = click.option(
    "-c", "--n-ctx", type=click.IntRange(1), help="Context length in tokens.  [model's own]"
)
kv_dtype_option = click.option(
    "--kv-dtype",
    type=click.Choice(get_args(KvDtype)),
    default="auto",
    show_default=True,
    help="Storage type of the KV cache; not every backend has all of them.",
)

LOADING = (
    "n_ctx", "n_threads", "backend", "n_gpu_layers", "device", "device_memory", "kv_dtype",
    "architecture", "rope_freq_base",
    "rope_freq_scale", "tokenizer", "mmap",
)  # fmt: skip


def load_options(function: F, model: Callable[[F], F] = model_option) -> F:
    """Add -m and what `load` takes: the command gets the path, and the rest as `loading`."""

    @wraps(function)
    def command(**options: Any) -> Any:
        loading = {name: options.pop(name) for name in LOADING}
        return function(loading=loading, **options)

    found = kv_dtype_option(architecture_option(_override_options(cast("F", command))))
    return model(n_ctx_option(compute_options(gpu_options(found))))


def _override_options(function: F) -> F:
    """Add what takes the place of what a model file says."""
    positive = click.FloatRange(0, min_open=True)
    for option in reversed(
        [
            click.option(
                "--rope-freq-base", type=positive, help="RoPE base frequency.  [model's own]"
            ),
            click.option(
                "--rope-freq-scale",
                type=positive,
                help="RoPE frequency factor: 0.25 extends the context to four times.",
            ),
            click.option(
                "--tokenizer", type=PATH, help="A tokenizer.json, or a model to take it from."
            ),
            click.option(
                "--mmap/--no-mmap",
                default=True,
                help="Map the weights from the file, or copy them into memory.",
            ),
        ]
    ):
        function = option(function)
    return function


@dataclass(frozen=True)
class SessionFiles:
    """The files that a session comes from and goes to; None for no such file."""

    load: Path | None = None
    save: Path | None = None


def session_options(function: F) -> F:
    """Add --load-session, --save-session and --persist-session: the command gets `files`."""

    @wraps(function)
    def command(**options: Any) -> Any:
        load, save, both = (options.pop(f"{n}_session") for n in ("load", "save", "persist"))
        if both is not None:
            if load is not None or save is not None:
                raise click.UsageError("--persist-session stands for the two others: give it alone")
            load, save = both if both.exists() else None, both
        return function(files=SessionFiles(load, save), **options)

    found = cast("F", command)
    for name, meaning in (
        ("persist", "Go on from this file if it is there, and write to it."),
        ("save", "Write the session to this file at the end."),
        ("load", "Go on with the session in this file."),
    ):
        found = click.option(f"--{name}-session", type=PATH, metavar="FILE", help=meaning)(found)
    return found


def _backend(_: click.Context, __: click.Parameter, name: str) -> str:
    """Refuse a name that no backend has, before a model is opened."""
    if name not in ("auto", "cpu", "reference") and name.split(":")[0] not in ("array", "gpu"):
        raise click.BadParameter(
            f"{name!r} is none of auto, cpu, gpu[:DEVICE], reference, array[:NAMESPACE[:DEVICE]]"
        )
    return name


backend_option = click.option(
    "--backend",
    metavar="NAME",
    callback=_backend,
    default="auto",
    show_default=True,
    help="What computes: cpu, gpu[:DEVICE], reference, or array[:NAMESPACE[:DEVICE]].",
)


def compute_options(function: F) -> F:
    """Add -t and --backend."""
    threads = click.option(
        "-t",
        "--n-threads",
        type=click.IntRange(1),
        help="Number of threads.  [all CPUs allowed]",
    )
    return threads(backend_option(function))


def gpu_options(function: F) -> F:
    """Add -ngl, --device and --device-memory."""
    for option in reversed(
        [
            click.option(
                "-ngl",
                "--n-gpu-layers",
                type=click.IntRange(0),
                help="Layers that the GPU computes, the last ones; the CPU computes the others.  "
                "[all, with --backend gpu]",
            ),
            click.option(
                "--device",
                metavar="NAME[,NAME]...",
                help="The GPU, by number or a part of its name; several share the layers.",
            ),
            click.option(
                "--device-memory",
                metavar="SIZE[,SIZE]...",
                help="Memory of each GPU for the model, as in 6GB: what does not fit stays on the "
                "CPU.",
            ),
        ]
    ):
        function = option(function)
    return function


SAMPLING: tuple[tuple[str, type, str, float], ...] = (
    ("temperature", float, "Randomness; 0 takes the most likely token.", 0.8),
    ("top_k", int, "Sample from the k most likely tokens; 0: from all.", 40),
    ("top_p", float, "Sample from the fewest tokens with this total probability; 1: all.", 0.95),
    ("min_p", float, "Drop tokens less likely than this fraction of the top token; 0: none.", 0.05),
    ("repeat_penalty", float, "Penalty on recent tokens; 1: none.", 1.0),
)
"""Parameters of `llmpy.default_chain`: name, type, meaning, default."""


def _sampling_options(function: F) -> F:
    """Add --temperature, --top-k, --top-p, --min-p, --repeat-penalty, -s and --seed."""
    function = click.option(
        "-s",
        "--sampler",
        "samplers",
        multiple=True,
        metavar="STRING",
        help="The whole sampler in place of these options, as in 'top-k:k=40/temperature:0.7'; "
        "several are applied in their order (docs/sampling.md).",
    )(function)
    function = click.option(
        "--seed", type=click.IntRange(0, 2**64 - 1), help="Seed of the random numbers.  [random]"
    )(function)
    for name, kind, meaning, default in reversed(SAMPLING):
        option = f"--{name.replace('_', '-')}"
        shown = f"{meaning}  [model's own, else {default:g}]"
        function = click.option(option, type=kind, help=shown)(function)
    return function


def generation_options(function: F) -> F:
    """Add -n, the parameters of the sampler and --seed, and --stop."""
    function = click.option(
        "--stop", multiple=True, help="End before this text (may be given several times)."
    )(function)
    return click.option(
        "-n",
        "--max-tokens",
        type=click.IntRange(0),
        help="Most tokens to generate.  [until the text ends or the context is full]",
    )(_sampling_options(function))


def checked_sampling(
    stop: tuple[str, ...], samplers: tuple[str, ...], sampling: Mapping[str, float | None]
) -> dict[str, Any]:
    """Return what was given of the sampler, as `Model.session` takes it; UsageError if wrong."""
    import llmpy

    if "" in stop:
        raise click.UsageError("--stop: expected a text, found an empty one")
    given: dict[str, Any] = {name: value for name, value in sampling.items() if value is not None}
    if samplers and given:
        name = next(iter(given))
        raise click.UsageError(
            f"-s is the whole sampler: leave out --{name.replace('_', '-')}, or write it in -s"
        )
    try:
        if samplers:
            return {"sampler": str(llmpy.chain(*samplers))}
        llmpy.default_chain(**given)
    except llmpy.SamplerError as error:
        raise click.UsageError(str(error)) from error
    return given


def chosen_template(value: str | None) -> str | None:
    """Return what `--template` means: the text of a file, or the name of a template."""
    if value is None or not (Path(value).suffix or Path(value).name != value):
        return value
    text = text_of(Path(value))
    if "{{" not in text and "{%" not in text:
        raise click.UsageError(
            f"--template: expected a template in Jinja, found {value!r} with none"
        )
    return text


def text_options(function: F) -> F:
    """Add -f and --windows."""
    for option in reversed(
        [
            click.option(
                "-f",
                "--file",
                "source",
                required=True,
                type=PATH,
                help="The text to read (UTF-8).",
            ),
            click.option(
                "--windows", type=click.IntRange(1), help="Windows of the text to read.  [all]"
            ),
        ]
    ):
        function = option(function)
    return function


def text_of(source: Path) -> str:
    """Return the content of a text file."""
    return utf8(source.read_bytes(), str(source))


def show_windows(estimate: str) -> Callable[[llmpy.MeasureEvent], None]:
    """Progress for a terminal: how many windows are read, and the estimate by that name, if any."""

    def progress(event: llmpy.MeasureEvent) -> None:
        if sys.stderr.isatty():
            so_far = f", {estimate} {event.estimate:.4f}" if estimate else ""
            end = "\r\x1b[K" if event.window == event.total else ""
            line = f"\r\x1b[Kwindow {event.window} of {event.total}{so_far}{end}"
            note(line, end="")

    return progress


def quoted(text: str) -> str:
    """Text out of a file in quotes, without what a terminal would obey or could not show."""
    whole = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    written = json.dumps(whole, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in written)


def utf8(data: bytes, name: str) -> str:
    """Text that came from outside; `name` says whence."""
    try:
        return data.decode("utf-8").removeprefix("\ufeff")  # editors' byte order mark
    except UnicodeDecodeError as error:
        raise click.ClickException(
            f"{name}: expected UTF-8 text, found byte 0x{data[error.start]:02x} at {error.start}"
        ) from error


def stdin_text() -> str:
    """Return the text of stdin, without the line break that ends it."""
    if sys.stdin is None:
        raise click.ClickException("stdin: expected a text, found it closed")
    return without_last_break(utf8(sys.stdin.buffer.read(), "stdin"))


def with_piped(prompt: str) -> str:
    """A prompt, and after a blank line what a pipe or a file on stdin holds, if there is one.

    A terminal, a device or a socket is not waited for.
    """
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):  # closed, or none of the system's
        return prompt
    text = stdin_text() if stat.S_ISFIFO(mode) or stat.S_ISREG(mode) else ""
    return f"{prompt}\n\n{text}" if text.strip() else prompt


def without_last_break(text: str) -> str:
    """The text without one line break at its end, which editors and `echo` write."""
    return text.removesuffix("\n").removesuffix("\r")


def load(
    path: Path,
    *,
    rope_freq_base: float | None = None,
    rope_freq_scale: float | None = None,
    **options: Any,
) -> llmpy.Model:
    """Load the model; on a terminal, stderr shows how far it is. `options`: of `llmpy.load`."""
    import llmpy

    show, last = sys.stderr.isatty(), ""
    given = {"freq_base": rope_freq_base, "freq_scale": rope_freq_scale}
    rope = {name: value for name, value in given.items() if value is not None}

    def progress(event: llmpy.LoadEvent) -> None:
        nonlocal last
        part = f"{event.bytes_done / max(1, event.bytes_total):4.0%}"
        if show and event.seconds > 0.3 and part != last:
            note(f"\rloading {cleaned(path.name)}: {part}", end="")
            last = part

    model = llmpy.load(path, rope=rope or None, progress=progress, **options)
    if show:
        note("\r\x1b[K", end="")
    return model


def timings(stats: llmpy.Stats | None) -> dict[str, Any] | None:
    """Return the counts and seconds that `--json` prints; None where nothing was counted."""
    if stats is None:
        return None
    return {
        "n_prompt": stats.n_prompt,
        "prompt_seconds": stats.prompt_seconds,
        "n_generated": stats.n_generated,
        "generate_seconds": stats.generate_seconds,
    }


def described(model: llmpy.StoredModel, default: str | None) -> dict[str, Any]:
    """Return what `ls --json` and `show` print of a model; `default`: the default one's name."""
    return {
        "name": model.name,
        "installed": True,
        "default": model.name == default,
        "bytes": model.size,
        "memory": model.fits,
        "license": model.license,
        "source": model.source,
        "path": str(model.path),
        "good_for": model.good_for or None,
        "added": model.added or None,
    }
