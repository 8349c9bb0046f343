"""Saving a session to a file and going on from there: what is between sessions and snapshots."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmpy import checks
from llmpy.engine.saving import CacheSize, FrozenCache, cache_size, restore
from llmpy.errors import SamplerError, SnapshotError
from llmpy.sampling import Chain, Rng
from llmpy.sampling.stored import chain_from_data, data_of_chain
from llmpy.session.compression import zstandard
from llmpy.session.overflow import Overflow
from llmpy.session.snapshot import COMPRESSIONS, Snapshot, write_snapshot
from llmpy.session.transcript import Transcript

if TYPE_CHECKING:
    from llmpy.engine import Engine, Sequence
    from llmpy.session.fingerprint import SavedModel
    from llmpy.tokenizer import Tokenizer

__all__ = ["begin_saved", "save"]

NAME = "llmpy"


def save(
    transcript: Transcript,
    model: SavedModel,
    path: Path,
    compression: str,
    more: dict[str, Any],
) -> None:
    """Write a snapshot of a session; `more` are further entries of "about".

    The session may go on as soon as its cache is frozen, and is used for no longer.
    """
    checks.one_of("compression", compression, COMPRESSIONS)
    if transcript.sequence.constraint is not None:
        raise SnapshotError(
            path, "constraint", "a session without one", "a constraint, which no snapshot has",
            hint="Set session.constraint = None before, and assign it again to what is loaded.",
        )  # fmt: skip
    if compression == "zstd":
        zstandard()
    engine = transcript.engine
    transcript.begin()
    try:
        transcript.check_open()
        cache = FrozenCache(engine, transcript.sequence)
        about = {**_about(transcript), **more}
    finally:
        transcript.end()
    try:
        about |= {"model": model.fingerprint(path), "model_name": model.path.name}
        write_snapshot(path, about, cache, compression)
    finally:
        cache.close()


def _about(transcript: Transcript) -> dict[str, Any]:
    """All of a session but its tokens and its cache."""
    sequence, overflow = transcript.sequence, transcript.overflow
    rng = sequence.rng
    assert rng is not None
    return {
        NAME: version(NAME),
        "layout": transcript.engine.pool.kv.layout,
        "n_fed": transcript.n_fed,
        "n_left_out": transcript.n_left_out,
        "n_keep": transcript.n_keep,
        "overflow": str(overflow) if isinstance(overflow, Overflow) else None,
        "sampler": data_of_chain(transcript.chain),
        "sampler_state": list(sequence.state.values) if sequence.state is not None else [],
        "rng": [rng.seed, rng.counter],
    }


def begin_saved(
    snapshot: Snapshot,
    engine: Engine,
    tokenizer: Tokenizer,
    model: SavedModel,
    *,
    sampler: Chain | None,
    rng: Rng | None,
    overflow: Overflow | Callable[..., Any] | None,
    recompute: bool,
) -> Transcript:
    """Return what goes on as the saved session would have; what is None is as it was saved.

    `recompute`: compute all tokens again where the layout of keys and values is another one.
    """
    about = snapshot.about
    found = model.fingerprint(snapshot.path)
    if about.get("model") != found:
        was = (
            f"a snapshot of {str(about.get('model_name'))[:80]!r} ({str(about.get('model'))[:16]})"
        )
        raise snapshot.refuse("model", f"one of {model.path.name!r} ({found[:16]})", was)
    _check_tokens(snapshot, engine)
    size = _usable(snapshot, engine, recompute)
    chain = _sampler(snapshot) if sampler is None else sampler
    sequence = engine.sequence(rng=_rng(snapshot) if rng is None else rng)
    try:
        sequence.append(snapshot.tokens)
        restore(engine, sequence, size, snapshot.pieces())
        if overflow is None:
            overflow_name: Any = about.get("overflow")
            overflow = (
                Overflow(overflow_name) if overflow_name in list(Overflow) else Overflow.ERROR
            )
        transcript = Transcript(engine, tokenizer, sequence, overflow)
        transcript.chain = chain
        if sampler is None:
            _remember(snapshot, sequence)
        transcript.n_fed = _count(snapshot, "n_fed", len(sequence))
        transcript.n_left_out = _count(snapshot, "n_left_out", 1 << 62)
        transcript.n_keep = _count(snapshot, "n_keep", 1 << 31)
    except BaseException:
        engine.release(sequence)
        raise
    return transcript


def _check_tokens(snapshot: Snapshot, engine: Engine) -> None:
    tokens = snapshot.tokens
    if len(tokens) > engine.n_ctx:
        expected = f"at most {engine.n_ctx} tokens, the context of this model as it was loaded"
        hint = f"Load it with n_ctx={len(tokens)} or more."
        raise snapshot.refuse("n_ctx", expected, str(len(tokens)), hint)
    wrong = tokens[(tokens < 0) | (tokens >= engine.n_outputs)]
    if wrong.size:
        expected = f"ids from 0 to {engine.n_outputs - 1}"
        raise snapshot.refuse("tokens", expected, str(wrong[0]))


def _usable(snapshot: Snapshot, engine: Engine, recompute: bool) -> CacheSize:
    """Return how much of the saved cache the engine can take over."""
    kv, size, layout = engine.pool.kv, snapshot.size, snapshot.about.get("layout")
    nothing = cache_size(engine.pool, 0)
    if layout != kv.layout:
        if recompute:
            return nothing
        raise snapshot.refuse(
            "layout", kv.layout, str(layout)[:80],
            "Keys and values lie otherwise in the memory of this backend, type or instruction set: "
            "load the model as it was, or pass recompute=True to compute them again.",
        )  # fmt: skip
    expected = cache_size(engine.pool, size.n_tokens)
    if size != expected:
        raise snapshot.refuse("about.cache", str(expected), str(size))
    return size


def _sampler(snapshot: Snapshot) -> Chain:
    chain = snapshot.about.get("sampler")
    if chain is None:
        expected, found = "a chain of built-in steps", "one with a step of the user's own"
        raise snapshot.refuse("sampler", expected, found, "Pass it as sampler=.")
    try:
        return chain_from_data(chain)
    except SamplerError as error:
        raise snapshot.refuse("sampler", "a chain", str(error)[:200]) from error


def _remember(snapshot: Snapshot, sequence: Sequence) -> None:
    """Give the chain back what it remembered of the tokens that it drew."""
    values, state = snapshot.about.get("sampler_state"), sequence.state
    assert state is not None
    right = isinstance(values, list) and len(values) == len(state.values)
    if not right or not all(isinstance(x, float) and math.isfinite(x) for x in values or ()):
        expected = f"{len(state.values)} numbers"
        raise snapshot.refuse("sampler_state", expected, repr(values)[:80])
    state.values = tuple(values or ())


def _rng(snapshot: Snapshot) -> Rng:
    try:
        seed, counter = snapshot.about["rng"]
        return Rng(seed, counter)
    except (LookupError, TypeError, ValueError) as error:
        raise snapshot.refuse("rng", "seed and counter", str(error)[:80]) from error


def _count(snapshot: Snapshot, name: str, most: int) -> int:
    value = snapshot.about.get(name)
    if type(value) is not int or not 0 <= value <= most:
        raise snapshot.refuse(name, f"a number from 0 to {most}", repr(value)[:80])
    return value
