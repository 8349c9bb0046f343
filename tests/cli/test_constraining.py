"""--schema, --regex, --grammar, --choices and --logprobs of `llmpy infer` and `llmpy chat`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llmpy.cli import group


@pytest.fixture
def infer(shared_data: Callable[[str], Path]) -> Callable[..., Result]:
    """Run `llmpy infer` with stories260K."""
    model = str(shared_data("weights/stories260K/stories260K.gguf"))

    def run(*arguments: str) -> Result:
        given = ["infer", "-m", model, "-p", "Once", "--hide-prompt", "--seed", "1", *arguments]
        return CliRunner().invoke(group, given)

    return run


def test_regex(infer: Callable[..., Result]) -> None:
    result = infer("--regex", "[0-9]{3}-[a-z]{2}")
    assert result.exit_code == 0
    assert re.fullmatch("[0-9]{3}-[a-z]{2}", result.stdout.strip())


def test_choices(infer: Callable[..., Result]) -> None:
    assert infer("--choices", "yes, no").stdout.strip() in ("yes", "no")


def test_schema(infer: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text('{"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "maxItems": 2}')
    assert set(json.loads(infer("--schema", str(file)).stdout)) <= {1, 2}


@pytest.mark.parametrize("text", ['root ::= "a" [0-9] "b"', 'start: "a" /[0-9]/ "b"'])
def test_grammar(infer: Callable[..., Result], tmp_path: Path, text: str) -> None:
    file = tmp_path / "grammar"
    file.write_text(text)
    assert re.fullmatch("a[0-9]b", infer("--grammar", str(file)).stdout.strip())


def test_logprobs(infer: Callable[..., Result]) -> None:
    result = infer("--logprobs", "2", "-n", "3")
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    assert all(re.match(r" *-?[0-9]+\.[0-9]{3}  \"", line) for line in lines)
    found = json.loads(infer("--logprobs", "2", "-n", "3", "--json").stdout)["logprobs"]
    assert [len(one["top"]) for one in found] == [2, 2, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--regex", "a", "--choices", "b"], "expected one of --regex, --choices"),
        (["--regex", "(a"], "--regex"),
        (["--choices", ","], "not empty"),
        (["--regex", "[0-9]{30}", "-n", "3"], "the answer is not whole: -n was reached"),
    ],
)
def test_mistakes(infer: Callable[..., Result], arguments: list[str], message: str) -> None:
    result = infer(*arguments)
    assert result.exit_code != 0
    assert message in result.stderr


@pytest.mark.parametrize(
    ("text", "message"), [("{", "expected JSON"), ('{"dependencies": {}}', "dep")]
)
def test_mistakes_in_a_schema(
    infer: Callable[..., Result], tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "schema.json"
    file.write_text(text)
    result = infer("--schema", str(file))
    assert result.exit_code == 2
    assert message in result.stderr


def test_chat(smollm2: Path, tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(
        json.dumps(
            {
                "type": "object",
                "properties": {"hot": {"type": "boolean"}},
                "required": ["hot"],
                "additionalProperties": False,
            }
        )
    )
    arguments = ["chat", str(smollm2), "-p", "Is fire hot?", "--schema", str(file)]
    arguments += ["--temperature", "0", "--json", "--logprobs", "1", "-c", "512"]
    result = CliRunner().invoke(group, arguments)
    found = json.loads(result.stdout)
    assert isinstance(json.loads(found["text"])["hot"], bool)
    assert found["logprobs"]
