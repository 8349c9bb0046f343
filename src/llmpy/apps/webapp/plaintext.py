"""One branch of a thread as Markdown, for people, and back."""

from __future__ import annotations

import json
import re
import time

from llmpy.apps.webapp.records import Record, new_id

__all__ = ["from_markdown", "to_markdown"]

HEADING = re.compile(r"^## (You|Assistant)(?: \(.*\))?$")
ESCAPED = re.compile(r"^(\\*)(## (?:You|Assistant))", re.M)
UNESCAPED = re.compile(r"^(\\*)\\(## (?:You|Assistant))", re.M)


def to_markdown(thread: Record, path: list[Record]) -> str:
    """The messages under headings; thinking as a quotation, files and calls in fences."""
    parts = [f"# {thread['title'] or 'Chat'}"]
    if thread["system"]:
        parts.append(_quoted("System: " + thread["system"]))
    for message in path:
        answers = message["role"] == "assistant"
        name = "Assistant" if answers else "You"
        model = f" ({message['model']})" if answers and message["model"] else ""
        parts.append(f"## {name}{model}")
        for file in message["files"]:
            parts.append(f"File `{file.get('name', '')}`:\n\n{_fenced(str(file.get('text', '')))}")
        if message["thinking"]:
            parts.append(_quoted("Thinking: " + message["thinking"]))
        for call in message["tool_calls"]:
            arguments = json.dumps(call.get("arguments"), ensure_ascii=False)
            result = call.get("result") or call.get("error") or ""
            parts.append(_quoted(f"Called `{call.get('name')}` with {arguments}: {result}"))
        if text := message["content"].strip():
            parts.append(ESCAPED.sub(r"\1\\\2", text))
    return "\n\n".join(parts) + "\n"


def from_markdown(text: str, title: str | None) -> Record:
    """A thread of Markdown in that form; other Markdown becomes one question."""
    lines = text.splitlines()
    messages: list[Record] = []
    head: list[str] = []
    body = head
    role = ""
    now = time.time()

    def end() -> None:
        if role:
            content = UNESCAPED.sub(r"\1\2", "\n".join(body))
            parent = messages[-1]["id"] if messages else None
            message = {"id": new_id("m"), "parent": parent, "role": role, "created": now}
            messages.append({**message, "content": content.strip()})

    for line in lines:
        if match := HEADING.match(line):
            end()
            role, body = ("user" if match[1] == "You" else "assistant"), []
        else:
            body.append(line)
    end()
    heading = next((line[2:].strip() for line in head if line.startswith("# ")), None)
    system = "\n".join(line[2:] for line in head if line.startswith("> "))
    if not messages and text.strip():
        messages = [{"id": new_id("m"), "role": "user", "content": text.strip(), "created": now}]
    return {
        "title": title or heading,
        "system": system.removeprefix("System: ") or None,
        "messages": messages,
        "leaf": messages[-1]["id"] if messages else None,
    }


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.strip().splitlines())


def _fenced(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text.rstrip()}\n{fence}"
