"""The plug-in, as llm finds it by its entry point, with real models."""

from __future__ import annotations

import json
from collections.abc import Iterator

import llm
import pytest
from click.testing import CliRunner
from llm.cli import cli
from llm.plugins import load_plugins, pm

import llmpy
from tools import fetch_models

QUESTION = "What is the capital of France?"
GREEDY = {"temperature": 0, "max_tokens": 12}


@pytest.fixture(scope="module", autouse=True)
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two models by name, and a folder of llm's own for this module."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("user")
        patch.setenv("LLMPY_MODELS", str(folder / "models"))
        patch.setenv("OLLAMA_MODELS", str(folder / "ollama"))
        patch.setenv("LLM_USER_PATH", str(folder / "llm"))
        for name in ("smollm2", "minilm"):
            llmpy.pull(str(fetch_models.path_of(name)), save_as=name)
        load_plugins()
        yield


@pytest.fixture(scope="module")
def model() -> llm.Model:
    return llm.get_model("llmpy/smollm2")


@pytest.fixture(scope="module")
def expected() -> str:
    """What llmpy itself answers."""
    chat = llmpy.load("smollm2").chat(temperature=0)
    return chat.ask(QUESTION, max_tokens=12)


def test_llm_finds_the_plugin() -> None:
    plugins = {dist.metadata["name"] for _, dist in pm.list_plugin_distinfo()}
    assert "llm-llmpy" in plugins
    assert llm.get_model("smollm2").model_id == "llmpy/smollm2"


def test_an_answer_is_that_of_llmpy(model: llm.Model, expected: str) -> None:
    response = model.prompt(QUESTION, **GREEDY)
    assert response.text().strip() == expected
    n_tokens = len(llmpy.load("smollm2").tokenizer.encode(expected, bos=False))
    assert response.usage().output == n_tokens
    assert response.usage().input > 10


def test_an_answer_streams(model: llm.Model, expected: str) -> None:
    texts = list(model.prompt(QUESTION, **GREEDY))
    assert len(texts) > 5
    assert "".join(texts).strip() == expected


async def test_an_answer_with_asyncio(expected: str) -> None:
    found = await llm.get_async_model("llmpy/smollm2").prompt(QUESTION, **GREEDY).text()
    assert found.strip() == expected


def test_the_same_seed_gives_the_same_answer(model: llm.Model) -> None:
    def answer(seed: int) -> str:
        return model.prompt("Tell me a story.", temperature=1.5, seed=seed, max_tokens=12).text()

    assert answer(1) == answer(1) != answer(2)


def test_a_conversation_is_read_whole(model: llm.Model) -> None:
    conversation = model.conversation()
    chat = llmpy.load("smollm2").chat("Be brief.", temperature=0)
    for text in ("My name is Alice.", "What is my name?"):
        response = conversation.prompt(text, system="Be brief.", **GREEDY)
        assert response.text().strip() == chat.ask(text, max_tokens=12)


def test_an_answer_fits_a_schema(model: llm.Model) -> None:
    schema = llm.schema_dsl("name, age int")
    response = model.prompt(
        "My dog Rex is 3 years old.", schema=schema, temperature=0, max_tokens=200
    )
    found = json.loads(response.text())
    assert isinstance(found["name"], str)
    assert isinstance(found["age"], int)


def test_a_tool_is_called_and_its_result_read(model: llm.Model) -> None:
    asked = []

    def weather(city: str) -> str:
        """Tell the weather of a city."""
        asked.append(city)
        return "rain"

    chain = model.conversation(chain_limit=3).chain(
        "Use the tool to tell the weather of Paris.",
        tools=[weather],
        options={"temperature": 0, "max_tokens": 60, "tool_choice": "required"},
    )
    responses = list(chain.responses())
    for response in responses:
        response.text()
    calls = responses[0].tool_calls()
    assert {call.name for call in calls} == {"weather"}
    assert asked[:1] == [calls[0].arguments["city"]]
    assert responses[1].prompt.tool_results[0].output == "rain"


def test_vectors_are_those_of_llmpy() -> None:
    vector = llm.get_embedding_model("llmpy/minilm").embed("a text")
    assert vector == llmpy.load("minilm").embed("a text")[0].tolist()


def test_a_wrong_option_is_refused(model: llm.Model) -> None:
    with pytest.raises(ValueError, match="temperature"):
        model.prompt(QUESTION, temperature=-1)


def test_the_command(expected: str) -> None:
    command = ["-m", "llmpy/smollm2", QUESTION, "-o", "temperature", "0", "-o", "max_tokens", "12"]
    result = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert result.output.strip() == expected
