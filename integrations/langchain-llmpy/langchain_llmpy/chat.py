"""`ChatLlmpy`: a chat model of LangChain that runs in this process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, closing
from itertools import count
from operator import itemgetter
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput
from langchain_core.language_models.chat_models import (
    agenerate_from_stream,
    generate_from_stream,
)
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    convert_to_openai_messages,
)
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import ConfigDict, Field

import llmpy
from langchain_llmpy.loaded import loaded

__all__ = ["ChatLlmpy"]

SAMPLING = ("temperature", "top_p", "top_k", "min_p")
PARALLEL = "parallel_tool_calls"
METHODS = ("json_schema", "json_mode", "function_calling")
Schema = dict[str, Any] | type


class ChatLlmpy(BaseChatModel):
    """A chat model of llmpy: `ChatLlmpy(model="smollm2").invoke("Hello")`.

    `model` is a name of `llmpy ls` or the path of a file, `n_ctx` the context to load it with.
    Parameters of sampling that are None are those that the model recommends. Each call may have its
    own of all but `n_ctx`.
    """

    model_config = ConfigDict(populate_by_name=True)

    model: str = Field(alias="model_name")
    n_ctx: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    stop: list[str] | None = Field(None, alias="stop_sequences")
    think: bool | None = None
    parallel_tool_calls: bool = True

    @property
    def _llm_type(self) -> str:
        return "llmpy"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        names = ("model", "n_ctx", *SAMPLING, "seed", "max_tokens", "stop", "think", PARALLEL)
        return {name: getattr(self, name) for name in names}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return super()._get_ls_params(stop=stop or self.stop or None, **kwargs)

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools to the model.

        `tool_choice`: "auto", "none", "any", "required" or True (one call at least), or the name of
        the tool that must be called. `parallel_tool_calls`: whether an answer may have several.
        """
        kwargs.pop("strict", None)  # arguments always fit
        if parallel_tool_calls is not None:
            kwargs[PARALLEL] = parallel_tool_calls
        return self.bind(
            tools=[convert_to_openai_tool(tool) for tool in tools],
            tool_choice=_choice(tool_choice),
            **kwargs,
        )

    def with_structured_output(
        self,
        schema: Schema,
        *,
        include_raw: bool = False,
        method: str = "json_schema",
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Answer with values of a schema, which is enforced while the model writes.

        `method`: "json_schema" (or "json_mode", which is the same), or "function_calling", where
        the schema is that of a tool.
        """
        if method not in METHODS:
            raise ValueError(f"method: expected one of {', '.join(METHODS)}, found {method!r}")
        kwargs.pop("strict", None)  # it always is
        if method == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        if kwargs:
            raise ValueError(f"with_structured_output: unexpected arguments {', '.join(kwargs)}")
        model = self.bind(
            json_schema=convert_to_json_schema(schema),
            ls_structured_output_format={"kwargs": {"method": method}, "schema": schema},
        )
        is_model = isinstance(schema, type) and is_basemodel_subclass(schema)
        parser: Runnable[Any, Any] = (
            PydanticOutputParser(pydantic_object=schema) if is_model else JsonOutputParser()
        )
        if not include_raw:
            return model | parser
        parsed = RunnablePassthrough.assign(
            parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
        )
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return {"raw": model} | parsed.with_fallbacks([failed], exception_key="parsing_error")

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, None, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, None, **kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        chat, options, name = self._asked(messages, stop, kwargs)
        n_calls = count()
        with closing(chat.retry(**options)) as pieces:
            for piece in pieces:
                if (chunk := _chunk(piece, n_calls)) is not None:
                    if run_manager is not None:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
        yield _last_chunk(chat, name)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        chat, options, name = self._asked(messages, stop, kwargs)
        n_calls = count()
        async with aclosing(chat.aretry(**options)) as pieces:
            async for piece in pieces:
                if (chunk := _chunk(piece, n_calls)) is not None:
                    if run_manager is not None:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
        yield _last_chunk(chat, name)

    def _asked(
        self, messages: list[BaseMessage], stop: list[str] | None, given: dict[str, Any]
    ) -> tuple[llmpy.Chat, dict[str, Any], str]:
        """Return a chat of the messages, the options of the answer, and the model's name."""
        params = {**self._identifying_params, **given}
        sampling = {name: params[name] for name in SAMPLING if params[name] is not None}
        model = loaded(params["model"], self.n_ctx)
        chat = model.chat(
            messages=_messages(messages), think=params["think"], seed=params["seed"], **sampling
        )
        schema, tools = given.get("json_schema"), given.get("tools")
        options = {
            "max_tokens": params["max_tokens"],
            "stop": (stop if stop is not None else self.stop) or (),
            "constrain": None if schema is None else llmpy.json_schema(schema),
        }
        if tools:
            options["tools"] = [convert_to_openai_tool(tool) for tool in tools]
            options["tool_choice"] = _choice(given.get("tool_choice"))
            options[PARALLEL] = params[PARALLEL]
        return chat, options, params["model"]


def _choice(given: str | dict[str, Any] | bool | None) -> str:
    """LangChain's words for which tool is to be called in those of llmpy."""
    if isinstance(given, dict):
        return str(given.get("function", given)["name"])
    words = {None: "auto", False: "auto", True: "required", "any": "required"}
    return words.get(given, str(given))


def _chunk(piece: llmpy.Piece, n_calls: Iterator[int]) -> ChatGenerationChunk | None:
    """What LangChain is told of a piece of the answer, None for nothing."""
    call = piece.tool_call
    if call is not None:
        arguments = json.dumps(call.arguments, ensure_ascii=False)
        part = tool_call_chunk(name=call.name, args=arguments, id=call.id, index=next(n_calls))
        message = AIMessageChunk(content="", tool_call_chunks=[part])
    elif not piece.text:
        return None
    elif piece.kind == "thinking":
        thought = {"reasoning_content": piece.text}
        message = AIMessageChunk(content="", additional_kwargs=thought)
    else:
        message = AIMessageChunk(content=piece.text)
    return ChatGenerationChunk(message=message)


def _last_chunk(chat: llmpy.Chat, name: str) -> ChatGenerationChunk:
    """The counts of an answer, and why it ended."""
    stats = chat.stats
    assert stats is not None
    read, written = stats.n_prompt + stats.n_reused, stats.n_generated
    message = AIMessageChunk(
        content="",
        usage_metadata=UsageMetadata(
            input_tokens=read, output_tokens=written, total_tokens=read + written
        ),
        response_metadata={
            "model_name": name,
            "model_provider": "llmpy",
            "finish_reason": stats.finish_reason,
        },
        chunk_position="last",
    )
    return ChatGenerationChunk(message=message)


def _messages(messages: list[BaseMessage]) -> list[dict[str, Any]]:
    """Messages as chat templates have them: one system message, and arguments as data."""
    found: list[dict[str, Any]] = []
    for message in convert_to_openai_messages(messages):
        for call in message.get("tool_calls") or ():
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
        first = next((m for m in found if m["role"] == message["role"] == "system"), None)
        if first is not None:
            first["content"] = f"{_text(first)}\n\n{_text(message)}"
        else:
            found.append(message)
    return found


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)
