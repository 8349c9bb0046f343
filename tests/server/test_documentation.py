"""docs/server.md: its examples run, its commands are commands; and the server's own description."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from typing import Any, get_type_hints

import jsonschema
import pytest

from llmpy.cli.serve import command
from llmpy.server.description import REQUESTS
from llmpy.server.routes import ROUTES
from llmpy.server.settings import ServeOptions, Settings
from tests.repository import sources
from tests.server.conftest import Running

PAGE = (sources.ROOT / "docs" / "server.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.S)
PYTHON = [code for kind, code in BLOCKS if kind == "python"]
COMMANDS = [line for kind, code in BLOCKS if kind == "sh" for line in code.splitlines()]


@pytest.mark.parametrize("code", PYTHON)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # examples close no client
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_example_runs(chat_server: Running, code: str) -> None:
    assert "http://127.0.0.1:8080" in code
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(code.replace("http://127.0.0.1:8080", chat_server.url), {})
    assert shown.getvalue().strip()


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_has_these_options(line: str) -> None:
    words = shlex.split(line)
    assert words[:2] == ["llmpy", "serve"]
    assert command.make_context("serve", words[2:]).params["models"]


def test_the_page_names_every_path() -> None:
    paths = {path.removesuffix("/") for path in ROUTES}
    untold = {"/api/push", "/api/create", "/api/copy", "/api/delete", "/api/pull", "/rerank"}
    assert [path for path in paths - untold if f"`{path}`" not in PAGE] == []


def test_the_description_has_every_path_and_request(server: Running) -> None:
    found = server.ask("GET", "/openapi.json").json
    assert found["openapi"] == "3.1.0"
    paths = {path.replace("{name}", ""): methods for path, methods in found["paths"].items()}
    assert paths.keys() == ROUTES.keys()
    for path, methods in ROUTES.items():
        assert {method.lower() for method in methods} == paths[path].keys()
        if "POST" in methods and path not in ("/api/push", "/api/create", "/api/copy"):
            assert path in REQUESTS
    schema = {**found, "$ref": "#/components/schemas/RerankRequest"}
    jsonschema.validate({"query": "a", "documents": ["b"]}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"query": "a"}, schema)


def test_every_request_has_an_answer_of_the_description(server: Running) -> None:
    found: Any = server.ask("GET", "/openapi.json").json
    for path in REQUESTS:
        answer = server.post(path, {})
        assert str(answer.status) in found["paths"][path]["post"]["responses"]


def test_serve_names_every_setting() -> None:
    """Those that it has no parameter of its own for, with their types."""
    own = {"host", "port", "keys"}
    settings = {k: v for k, v in get_type_hints(Settings).items() if k not in own}
    assert get_type_hints(ServeOptions) == settings
