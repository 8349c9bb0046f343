"""Chat templates: messages -> text -> token ids.

Text of messages, tools, documents and the caller's variables never becomes a control token. It is
marked before the template renders it, with a character that none of it holds, wherever it could be,
or could become, a part of one; the marks cut such texts and are taken out again before the
tokenizer sees them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from llmpy.chat.messages import Message, checked_messages, plain, with_aliases
from llmpy.chat.named import NAMED
from llmpy.chat.sandbox import Program
from llmpy.errors import TemplateError
from llmpy.tokenizer import Kind, Tokenizer

__all__ = ["ChatTemplate", "checked_inputs", "chosen_template"]

KEY = "tokenizer.chat_template"
MARKS = [chr(c) for c in range(0xFDD0, 0xFDF0)]  # Unicode's noncharacters, for use within programs
CONTINUED = "continued "
OTHERS = "template_kwargs"
WORDS = ("role", "type")  # keys whose values are words of the format


class ChatTemplate:
    """A chat template of a model; `source` is its text in Jinja.

    `stop` are texts that end an answer if the format has no end-of-turn token.
    """

    def __init__(self, source: str, tokenizer: Tokenizer, *, stop: Sequence[str] = ()) -> None:
        self.source = source
        self.stop = tuple(stop)
        self._program = Program(source)
        self._tokenizer = tokenizer
        self._names = _names(tokenizer)
        self._guard = _Guard(tokenizer)

    @property
    def variables(self) -> frozenset[str]:
        """Names that the template reads: messages, tools, and those of `template_kwargs`."""
        return self._program.variables

    @property
    def literals(self) -> str:
        """All literal text in the template."""
        return self._program.literals

    def render(
        self,
        messages: Iterable[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> str:
        """Render messages to text, as transformers' `apply_chat_template` does.

        `add_generation_prompt`: end with the header of an assistant's message.
        `continue_final_message`: end within the last message, which the model continues.
        `template_kwargs`: other variables of the template. Raises TypeError and ValueError for
        invalid messages, TemplateError if the template rejects them.
        """
        inputs = checked_inputs(messages, tools, documents)
        return self._render(inputs, add_generation_prompt, continue_final_message, template_kwargs)

    def encode(
        self,
        messages: Iterable[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Render messages and return the token ids; only the template can write control tokens."""
        inputs = checked_inputs(messages, tools, documents)
        parts = self.parts(inputs, add_generation_prompt, continue_final_message, template_kwargs)
        return self._tokenizer.encode_split(parts)

    def parts(
        self,
        inputs: Mapping[str, Any],
        add_generation_prompt: bool,
        continue_final_message: bool,
        template_kwargs: Mapping[str, Any] | None,
    ) -> list[int | str]:
        """Render messages, split at the template's control tokens: their ids and the texts between.

        `inputs` are checked messages, tools and documents. A begin-of-text token that the tokenizer
        requires and the template did not write is added first; it never comes twice.
        """

        def render(values: Mapping[str, Any]) -> str:
            values = dict(values)
            others = values.pop(OTHERS)
            return self._render(values, add_generation_prompt, continue_final_message, others)

        given = {**inputs, OTHERS: plain(dict(template_kwargs or {}), "template_kwargs")}
        mark = self._guard.mark(given, self.source)
        text = self._guard.marked(given, mark, render)
        parts = [
            part if isinstance(part, int) else _unmarked(part, mark)
            for part in self._tokenizer.split(text)
        ]
        return _one_bos([part for part in parts if part != ""], self._tokenizer)

    def _render(
        self,
        inputs: Mapping[str, Any],
        add_generation_prompt: bool,
        continue_final_message: bool,
        template_kwargs: Mapping[str, Any] | None,
    ) -> str:
        values = {**self._names, **inputs, "add_generation_prompt": add_generation_prompt}
        values |= plain(dict(template_kwargs or {}), "template_kwargs")
        render = self._continued if continue_final_message else self._program.render
        try:
            return render(values)
        except TemplateError:
            for other in (_plainer(values), _with_json(values)):
                if other != values:
                    try:
                        return render(other)
                    except TemplateError:
                        pass
            raise

    def _continued(self, values: dict[str, Any]) -> str:
        """The text up to the end of the last message's content."""
        messages: list[Message] = values["messages"]
        content = messages[-1].get("content") if messages else None
        if not isinstance(content, str):
            raise ValueError("continue_final_message: expected a last message with text")
        if values["add_generation_prompt"]:
            raise ValueError(
                "continue_final_message: the last message cannot go on after a generation prompt; "
                "pass add_generation_prompt=False"
            )
        tag = CONTINUED
        while tag.strip() in str(values):
            tag = "_" + tag
        last = {**messages[-1], "content": content + tag}
        text = self._program.render({**values, "messages": [*messages[:-1], last]})
        at = text.rfind(tag.strip())
        if at < 0:
            raise TemplateError("the chat template leaves out the message that shall be continued")
        # Where the template trims contents, white space before the tag would have gone too.
        return text[:at] if text.startswith(tag, at) else text[:at].rstrip()


def checked_inputs(messages: Any, tools: Any = None, documents: Any = None) -> dict[str, Any]:
    """Return the inputs of a template, checked and as plain data."""
    return {
        "messages": [with_aliases(message) for message in checked_messages(messages)],
        "tools": None if tools is None else plain(list(tools), "tools"),
        "documents": None if documents is None else plain(list(documents), "documents"),
    }


def _plainer(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same without what some templates stumble over: no tools as None, contents in parts."""
    found = {name: [] if value is None else value for name, value in values.items()}
    for i, message in enumerate(messages := list(found["messages"])):
        if isinstance(parts := message.get("content"), list):
            messages[i] = {**message, "content": "\n".join(part["text"] for part in parts)}
    return {**found, "messages": messages}


def _with_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the arguments of calls as JSON, as OpenAI's API has them."""
    found = []
    for message in values["messages"]:
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            message = {**message, "tool_calls": [_json_call(call) for call in calls]}
        found.append(message)
    return {**values, "messages": found}


def _json_call(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), dict):
        return call
    arguments = json.dumps(function["arguments"], ensure_ascii=False)
    return {**call, "function": {**function, "arguments": arguments}}


def _names(tokenizer: Tokenizer) -> dict[str, str]:
    """The texts of special tokens that templates ask for by name."""
    ids = {"bos": tokenizer.bos, "eos": tokenizer.eos, "unk": tokenizer.unk}
    return {f"{name}_token": tokenizer.token(i) for name, i in ids.items() if i is not None}


def _one_bos(parts: list[int | str], tokenizer: Tokenizer) -> list[int | str]:
    bos = tokenizer.bos
    if bos is None:
        return parts
    n = next((i for i, part in enumerate(parts) if part != bos), len(parts))
    return [bos] * (n > 0 or tokenizer.add_bos) + parts[n:]


def _written(mark: str) -> tuple[str, ...]:
    """Return the forms in which a mark may appear: as it is, in a repr or in JSON, in a URL."""
    return mark, ascii(mark)[1:-1], quote(mark)


def _unmarked(text: str, mark: str) -> str:
    for written in _written(mark):
        text = text.replace(written, "")
    return text


def _least(edge: str) -> int:
    """Characters of a control token that make a part of one: a sign is enough, a letter is not."""
    return 4 if edge.isalnum() else 1


class _Guard:
    """Puts marks into texts so that they cannot become a control token, or a part of one."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        kinds = (Kind.CONTROL, Kind.UNKNOWN)
        tokens = {t for t in tokenizer.texts(*kinds) if len(t) > 1 and not t.isspace()}
        self._tokenizer = tokenizer
        ends = {t[0] for t in tokens} | {t[-1] for t in tokens}
        signs = sorted(c for c in ends if not c.isalnum() and not c.isspace())
        self._signs = re.compile("([" + "".join(map(re.escape, signs)) + "])") if signs else None
        whole = sorted(tokens, key=len, reverse=True)
        self._whole = re.compile("|".join(map(re.escape, whole))) if whole else None
        self._starts = {t[:n] for t in tokens for n in range(_least(t[0]), len(t))}
        self._ends = {t[-n:] for t in tokens for n in range(_least(t[-1]), len(t))}
        self._longest = max(map(len, tokens), default=0)
        self._inner = "\0".join(t[1:-1] for t in tokens)

    def mark(self, *values: Any) -> str:
        """A character that is in none of the values."""
        text = str(values)  # escapes noncharacters
        for mark in MARKS:
            if not any(written in text for written in _written(mark)):
                return mark
        raise ValueError("the messages hold all of Unicode's noncharacters U+FDD0 to U+FDEF")

    def marked(
        self, inputs: Mapping[str, Any], mark: str, render: Callable[[Mapping[str, Any]], str]
    ) -> str:
        """Render the inputs with marks in the texts that come from the user.

        Templates look into texts (for the end of thinking, say) and marks may hide what they look
        for. So marks go first between all signs that control tokens begin and end with; where that
        changes what the template does, only into what looks like a control token, if the template
        writes the same control tokens then.
        """
        thorough = render(_marked(inputs, lambda text, key: self._cut(text, mark, key)))
        as_it_is = render(inputs)
        if _unmarked(thorough, mark) == as_it_is:
            return thorough
        light = render(_marked(inputs, lambda text, _: self._cut_tokens(text, mark)))
        same = self._controls(light) == self._controls(thorough)
        return light if same and _unmarked(light, mark) == as_it_is else thorough

    def _controls(self, text: str) -> list[int]:
        return [part for part in self._tokenizer.split(text) if isinstance(part, int)]

    def _cut(self, text: str, mark: str, is_key: bool) -> str:
        """Marks around every sign, within every control token, and within a part of one."""
        found = self._cut_tokens(text, mark)
        if self._signs is not None:
            found = self._signs.sub(f"{mark}\\1{mark}", found)
        word = text.strip()
        if found == text and word and not is_key and word in self._inner:
            at = text.index(word) + 1
            found = text[:at] + mark + text[at:]
        return found

    def _cut_tokens(self, text: str, mark: str) -> str:
        """A mark within every control token, and where one may begin before, or end after."""
        if self._whole is not None:
            text = self._whole.sub(lambda token: token[0][0] + mark + token[0][1:], text)
        n = next((n for n in range(self._longest, 0, -1) if text[-n:] in self._starts), 0)
        if 0 < n <= len(text):
            text = text[: len(text) - n + 1] + mark + text[len(text) - n + 1 :]
        n = next((n for n in range(self._longest, 0, -1) if text[:n] in self._ends), 0)
        return text[: n - 1] + mark + text[n - 1 :] if 0 < n <= len(text) else text


def _marked(inputs: Mapping[str, Any], change: Callable[[str, bool], str]) -> dict[str, Any]:
    """The inputs with all their texts changed; the second argument: a word of the format."""
    return {name: _mapped(value, change) for name, value in inputs.items()}


def _mapped(value: Any, change: Callable[[str, bool], str]) -> Any:
    if isinstance(value, str):
        return change(value, False)
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    if isinstance(value, dict):
        return {
            change(key, True): change(item, True)
            if key in WORDS and isinstance(item, str)
            else _mapped(item, change)
            for key, item in value.items()
        }
    return value


def chosen_template(
    metadata: Mapping[str, Any], tokenizer: Tokenizer, name: str | None = None
) -> ChatTemplate:
    """The template of a model file, or a named one.

    `name`: another one that the file has, one of `NAMED`, or a template itself (it holds "{{" or
    "{%"); None for the file's own, and without that for the named one whose tokens the vocabulary
    has. TemplateError for none.
    """
    source = metadata.get(KEY if name is None else f"{KEY}.{name}")
    if isinstance(source, str) and source.strip():
        return ChatTemplate(source, tokenizer)
    if name is None:
        name = _fitting(tokenizer)
    if name in NAMED:
        named = NAMED[name]
        return ChatTemplate(named.source, tokenizer, stop=named.stop)
    if not isinstance(name, str) or ("{{" not in name and "{%" not in name):
        more = [key.removeprefix(f"{KEY}.") for key in metadata if key.startswith(f"{KEY}.")]
        known = ", ".join([*more, *NAMED])
        raise TemplateError(f"template: expected {known}, or a template in Jinja, found {name!r}")
    return ChatTemplate(name, tokenizer)


def _fitting(tokenizer: Tokenizer) -> str:
    for name, named in NAMED.items():
        if named.signs and all(tokenizer.id(sign) is not None for sign in named.signs):
            return name
    raise TemplateError(
        "the model file has no chat template, and its tokens fit none that llmpy knows: it may be "
        "a base model, which continues texts (model.generate). If it was trained to chat, say "
        f"with which template: {', '.join(NAMED)}, or one in Jinja"
    )
