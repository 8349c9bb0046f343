"""Libraries over OpenAI's API, unmodified, and schemathesis: .ci/full installs and runs them."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from tests.server.conftest import Running, serving

pytestmark = [pytest.mark.full, pytest.mark.filterwarnings("default")]
ASK = "Describe the city of Paris."
KEY = "none"
MODEL = "smollm2"
N_REQUESTS = 20_000


@pytest.fixture(scope="module", autouse=True)
def left_open() -> Iterator[None]:
    """Connections that these libraries leave open are warned of here, not in a later test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class City(BaseModel):
    name: str = Field(max_length=20)
    capital: bool


@pytest.fixture(scope="module")
def url(smollm2: Path) -> Iterator[str]:
    with serving(f"{MODEL}={smollm2}", n_ctx=2048) as running:
        yield f"{running.url}/v1"


def test_langchain(url: str) -> None:
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    asked: dict[str, Any] = {"base_url": url, "api_key": KEY, "model": MODEL}
    model = ChatOpenAI(**asked, temperature=0, max_tokens=20)
    text = model.invoke(ASK).content
    assert text
    assert "".join(str(chunk.content) for chunk in model.stream(ASK)) == text
    typed = ChatOpenAI(**asked).with_structured_output(City, method="json_schema")
    assert isinstance(typed.invoke(ASK), City)
    calls = ChatOpenAI(**asked).bind_tools([City], tool_choice="City").invoke(ASK).tool_calls
    assert isinstance(City(**calls[0]["args"]), City)
    vectors = OpenAIEmbeddings(**asked, check_embedding_ctx_length=False)
    assert len(vectors.embed_query("Paris")) == 576


def test_the_openai_package_of_npm(url: str, tmp_path: Path) -> None:
    import openai

    npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "openai@6"]
    subprocess.run(npm, cwd=tmp_path, check=True, timeout=300)
    script = shutil.copy(Path(__file__).with_name("client.mjs"), tmp_path)
    run = ["node", script, url, MODEL]
    found = json.loads(subprocess.run(run, stdout=subprocess.PIPE, check=True, timeout=300).stdout)
    with openai.OpenAI(base_url=url, api_key=KEY) as client:
        messages: Any = [{"role": "user", "content": "What is the capital of France?"}]
        asked: dict[str, Any] = {"model": MODEL, "messages": messages, "max_tokens": 12}
        expected = client.chat.completions.create(**asked, temperature=0).choices[0].message.content
    assert found["streamed"] == found["text"] == expected
    assert isinstance(found["typed"]["capital"], bool)
    assert found["call"]["name"] == "look"
    assert isinstance(json.loads(found["call"]["arguments"])["capital"], bool)
    assert found["sizes"] == [576, 576]
    assert found["models"] == [MODEL]


def test_instructor(url: str) -> None:
    import instructor
    import openai

    with openai.OpenAI(base_url=url, api_key=KEY) as client:
        patched = instructor.from_openai(client, mode=instructor.Mode.JSON_SCHEMA)
        messages: Any = [{"role": "user", "content": ASK}]
        asked: dict[str, Any] = {"model": MODEL, "messages": messages, "response_model": City}
        assert isinstance(patched.chat.completions.create(**asked), City)
        assert list(patched.chat.completions.create_partial(**asked))[-1].name is not None
        by_tool = instructor.from_openai(client, mode=instructor.Mode.TOOLS)
        assert isinstance(by_tool.chat.completions.create(**asked), City)


def test_pydantic_ai(url: str) -> None:
    from pydantic_ai import Agent, NativeOutput, ToolOutput
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=url, api_key=KEY))
    assert Agent(model).run_sync(ASK, model_settings={"max_tokens": 20}).output
    assert isinstance(Agent(model, output_type=NativeOutput(City)).run_sync(ASK).output, City)
    assert isinstance(Agent(model, output_type=ToolOutput(City)).run_sync(ASK).output, City)


def test_dspy(url: str) -> None:
    import dspy

    model = dspy.LM(f"openai/{MODEL}", api_base=url, api_key=KEY, cache=False)
    assert model(ASK, max_tokens=20)[0]


def test_llm(url: str) -> None:
    from llm.default_plugins.openai_models import Chat

    model = Chat(MODEL, model_name=MODEL, api_base=url, supports_schema=True)
    assert model.prompt(ASK, stream=False, max_tokens=20, key=KEY).text()
    assert "".join(model.prompt(ASK, stream=True, max_tokens=20, key=KEY))
    assert model.prompt(ASK, stream=False, schema=City, key=KEY).text().startswith("{")


@pytest.fixture(scope="module")
def tiny(stories: Path) -> Iterator[Running]:
    with serving(f"stories={stories}", template="chatml", n_ctx=64) as running:
        yield running


def test_schemathesis_finds_no_failure(tiny: Running) -> None:
    each = -(-N_REQUESTS // 30)  # of the paths and methods
    command = [
        str(Path(sys.executable).with_name("st")),
        "run",
        f"{tiny.url}/openapi.json",
        "--checks=not_a_server_error",
        f"--max-examples={each}",
        "--seed=1",
        "--continue-on-failure",
        "--request-timeout=60",
        "--no-color",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=7200, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
