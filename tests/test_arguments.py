"""Arguments of a wrong type are refused by name before anything changes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmpy
from llmpy.ffi import available

STORIES = "weights/stories260K/stories260K.gguf"
PROMPT = "Once upon a time"

NUMBER = (512.0, "512", True, [1], 2.5)
FLAG = ("no", 2, [])
BOS = ("no", 2)
EXPLAIN = ("5", 2.5, [1], None)
TEXT = (b"text", 5, ["text"])
FUNCTION = (5, "print")
PATH = (5, b"model.gguf", ["model.gguf"])
LICENSES = (5, "mit", b"mit", [5])
SHARE = {
    "n_gpu_layers": ("2", 2.5, True), "device": (5, b"0"),
    "device_memory": (True, 6e9, b"6GB", [b"6GB"], [None]),
}  # fmt: skip
IDS = (b"hi", bytearray(b"hi"), 5, None, [1.7], ["a"], [[1]], np.array([1.0]), {1: 2})

# Of each public function: its wrong values by argument. Every argument of it must be here.
WRONG: dict[str, dict[str, tuple[Any, ...]]] = {
    "infer": {
        "prompt": IDS, "callback": FUNCTION, "max_tokens": NUMBER, "logprobs": NUMBER,
        "stop": (5, b"a", None), "special": FLAG, "bos": BOS, "explain": EXPLAIN,
    },
    "stream": {
        "prompt": IDS, "max_tokens": NUMBER, "logprobs": NUMBER, "stop": (5, b"a", None),
        "special": FLAG, "bos": BOS, "explain": EXPLAIN,
    },
    "steps": {"prompt": IDS, "max_tokens": NUMBER, "special": FLAG, "bos": BOS},
    "infill": {
        "prefix": TEXT, "suffix": TEXT, "callback": FUNCTION, "max_tokens": NUMBER,
        "stop": (5, b"a", None),
    },
    "score": {"text": IDS, "after": IDS, "top": NUMBER, "special": FLAG},
    "generate": {
        "prompt": (b"hi", 5, None, [1.7], [[1.7]]), "max_tokens": NUMBER, "logprobs": NUMBER,
        "stop": (5, b"a", None), "special": FLAG, "n_parallel": NUMBER,
    },
    "feed": {"prompt": IDS, "special": FLAG, "bos": BOS},
    "rewind": {"n_tokens": (1.0, "1", None, True)},
    "embed": {
        "texts": (b"hi", 5, None, [5], [b"hi"], [[1.7]]), "normalize": FLAG,
        "truncate": ("yes", 2.5),
    },
    "logits": {"tokens": IDS, "first": NUMBER},
    "encode": {"text": TEXT, "special": FLAG, "start": FLAG, "bos": BOS, "eos": BOS},
    "encode_parts": {"parts": ([(b"a", False)], [("a", 2)]), "start": FLAG, "bos": BOS, "eos": BOS},
    "decode": {"ids": (b"hi", "hi", 5), "special": FLAG},
    "load": {
        "path": PATH, "architecture": (5, b"llama"), "n_ctx": NUMBER, "n_threads": NUMBER,
        "n_batch": NUMBER, "backend": (5, str, None), "max_total_tokens": NUMBER,
        "progress": FUNCTION, "rope": (5, "linear"), "tokenizer": (5, object()), "mmap": FLAG,
        "download": FLAG, "allow_licenses": LICENSES, "prefix_cache_bytes": NUMBER, **SHARE,
    },
    "json_schema": {"schema": (5, "a", None), "assert_formats": FLAG},
    "regex": {"pattern": TEXT},
    "grammar": {"text": TEXT},
    "choices": {"texts": (5, "ab", [5])},
    "plan_memory": {
        "path": PATH, "n_ctx": NUMBER, "sessions": NUMBER, "n_batch": NUMBER,
        "backend": (5, str, None), "architecture": (5, b"llama"), "rope": (5, "linear"), **SHARE,
    },
    "program_text": {
        "path": PATH, "n_ctx": NUMBER, "backend": (5, str, None), "architecture": (5, b"llama"),
        "rope": (5, "linear"),
    },
    "load_tokenizer": {"path": PATH, "architecture": (5,)},
    "load_template": {"path": PATH, "name": (5,), "architecture": (5,)},
    "open_model": {"path": PATH, "architecture": (5,)},
    "open_gguf": {"path": PATH},
    "convert": {
        "path": PATH, "out": PATH, "type": (5,), "architecture": (5,), "n_threads": NUMBER,
        "progress": FUNCTION,
    },
    "quantize": {
        "path": PATH, "out": PATH, "kind": (5, None), "importance": (5, {}), "keep": (5, {"a": 5}),
        "pure": FLAG, "architecture": (5,), "n_threads": NUMBER, "allow_requantize": FLAG,
        "allow_same": FLAG, "allow_in_place": FLAG, "progress": FUNCTION,
    },
    "perplexity": {
        "model": (5, "m.gguf"), "text": TEXT, "n_ctx": NUMBER, "n_windows": NUMBER,
        "progress": FUNCTION,
    },
    "divergence": {
        "model": (5, "m.gguf"), "base": (5, "m.gguf"), "text": TEXT, "n_ctx": NUMBER,
        "n_windows": NUMBER, "progress": FUNCTION,
    },
    "collect_importance": {
        "path": PATH, "text": TEXT, "name": (5,), "n_ctx": NUMBER, "n_windows": NUMBER,
        "output": FLAG, "architecture": (5,), "n_threads": NUMBER, "progress": FUNCTION,
    },
    "read_importance": {"path": PATH},
    "write_importance": {"path": PATH, "importance": (5, None, {})},
    "read_bandwidth": {"n_threads": NUMBER, "n_bytes": NUMBER, "passes": NUMBER},
    "pull": {
        "name": PATH, "save_as": (5, b"a"), "sha256": (5, b"a"), "allow_licenses": LICENSES,
        "progress": FUNCTION,
    },
    "find_model": {"name": (5, b"a", Path("a"))},
    "copy_model": {"source": PATH, "name": (5, b"a"), "owned": FLAG, "license": (5, b"a")},
    "remove_model": {"name": (5, b"a")},
    "set_default_model": {"name": (5, b"a")},
    "next_tokens": {"sessions": (5, None, [5], "ab"), "ignore_eos": FLAG},
}  # fmt: skip
CHECKED_ELSEWHERE = {  # each of these has tests of its own
    ("embed", "pooling"), ("load", "kv_dtype"), ("plan_memory", "kv_dtype"),
    ("program_text", "kv_dtype"),
    ("collect_importance", "backend"),
    ("encode", "errors"), ("encode_parts", "errors"), ("generate", "sampler"), ("generate", "seed"),
    ("generate", "sampling"), ("infer", "constrain"), ("stream", "constrain"),
    ("generate", "constrain"),
}  # fmt: skip
NAMES = {("convert", "type"): "type", ("quantize", "kind"): "type"}  # in messages
CASES = [
    pytest.param(function, argument, value, id=f"{function} {argument}={value!r}")
    for function, arguments in WRONG.items()
    for argument, values in arguments.items()
    for value in values
]


@pytest.fixture(scope="module")
def model(shared_data: Callable[[str], Path]) -> Iterator[llmpy.Model]:
    """A small model that runs here."""
    backend = "cpu" if available() else "reference"
    with llmpy.load(shared_data(STORIES), backend=backend, n_ctx=256) as loaded:
        yield loaded


@pytest.fixture
def session(model: llmpy.Model) -> llmpy.Session:
    """Something was said."""
    session = model.session(sampler=llmpy.greedy())
    session.feed(PROMPT)
    return session


def bound(name: str, model: llmpy.Model, session: llmpy.Session) -> Callable[..., Any]:
    """The function or method of that name."""
    for thing in (session, model, model.tokenizer, llmpy):
        if hasattr(thing, name):
            function: Callable[..., Any] = getattr(thing, name)
            return function
    raise AssertionError(name)


def right(name: str, path: Path, out: Path, model: llmpy.Model) -> dict[str, Any]:
    """Arguments that a function has no default for, and that it would do something with."""
    found = {"path": path, "out": out, "text": PROMPT * 10, "model": model, "base": model}
    found |= {"name": "a-name", "source": path}
    wanted = {
        "convert": ("path", "out"), "quantize": ("path", "out"), "perplexity": ("model", "text"),
        "divergence": ("model", "base", "text"), "collect_importance": ("path", "text"),
        "load": ("path",), "plan_memory": ("path",), "load_tokenizer": ("path",),
        "open_model": ("path",), "program_text": ("path",),
        "load_template": ("path",), "pull": ("name",), "copy_model": ("source", "name"),
    }  # fmt: skip
    more = {
        "quantize": {"kind": "q8_0"}, "read_bandwidth": {"n_threads": 1},
        "logits": {"tokens": [1]}, "decode": {"ids": [5]}, "encode": {"text": "a"},
        "infill": {"prefix": "a", "suffix": "b"}, "score": {"text": "abc"},
        "infer": {"prompt": "a"}, "stream": {"prompt": "a"}, "feed": {"prompt": "a"},
        "embed": {"texts": "a"}, "json_schema": {"schema": {}}, "regex": {"pattern": "a"},
        "grammar": {"text": "start: /a/"}, "choices": {"texts": ["a"]},
        "next_tokens": {"sessions": ()},
        "generate": {"prompt": "a"}, "encode_parts": {"parts": ()},
        "write_importance": {"path": out, "importance": llmpy.Importance({}, {})},
    }  # fmt: skip
    return {key: found[key] for key in wanted.get(name, ())} | more.get(name, {})


def test_every_argument_is_tried(model: llmpy.Model, session: llmpy.Session) -> None:
    for name, tried in WRONG.items():
        known = set(inspect.signature(bound(name, model, session)).parameters)
        others = {argument for function, argument in CHECKED_ELSEWHERE if function == name}
        assert known == tried.keys() | others, name


def test_every_public_function_is_tried() -> None:
    public = {name for name in llmpy.__all__ if inspect.isfunction(getattr(llmpy, name))}
    without = {"available_cpus", "chain", "default_chain"}
    without |= {"default_model", "default_name", "models"}
    without |= {"diagnose"}  # takes a switch alone
    without |= {"schema_of", "serve"}  # take anything that is a type; any number of models
    assert public - WRONG.keys() == without | {"aload"}  # which passes all on to load


@pytest.mark.parametrize(("name", "argument", "value"), CASES)
def test_a_wrong_type_is_refused_by_name(
    name: str, argument: str, value: Any, model: llmpy.Model, session: llmpy.Session, tmp_path: Path
) -> None:
    out = tmp_path / "out.gguf"
    tokens, seen = session.tokens, session.seen
    arguments = right(name, model.path, out, model) | {argument: value}
    shown = NAMES.get((name, argument), argument)
    with pytest.raises(TypeError, match=rf"^{shown}\b.*: expected .*, found "):
        bound(name, model, session)(**arguments)
    assert (session.tokens, session.seen) == (tokens, seen)
    assert not out.exists()


@pytest.mark.parametrize("name", WRONG)
def test_an_unknown_keyword_is_that_of_the_public_function(
    name: str, model: llmpy.Model, session: llmpy.Session
) -> None:
    function = bound(name, model, session)
    with pytest.raises(TypeError, match=rf"{name}\(\) got an unexpected keyword argument 'color'"):
        function(**right(name, model.path, model.path, model), color="red")


@pytest.mark.parametrize("number", [np.int64(3), np.uint8(3)])
def test_numpys_whole_numbers_are_numbers(session: llmpy.Session, number: Any) -> None:
    assert session.infer("", max_tokens=number).n_generated == 3


@pytest.mark.parametrize("ids", [(1, 5), range(3), np.array([7, 8]), iter([4])], ids=str)
def test_token_ids_come_in_any_sequence(session: llmpy.Session, ids: Any) -> None:
    before = session.tokens
    session.feed(ids)
    assert len(session.tokens) > len(before)
