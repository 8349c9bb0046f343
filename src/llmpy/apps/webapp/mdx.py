"""Threads of local.ai: files of the kind `.l.mdx`.

A head between lines of "---", then messages: a tag `<User ... />`, `<Bot ... />` or `<Note ... />`
with its properties, and the text after it. There are no branches in it.
"""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime

from llmpy.apps.webapp.records import Record, new_id

__all__ = ["from_mdx", "is_mdx", "to_mdx"]

TAGS = ("<User", "<Bot", "<Note")
PROPERTY = re.compile(r'\b(\w{1,40})="([^"]*)"')
NUMBERS = re.compile(r"completionParams=\{(\{.*?\})\}", re.S)
CHAIN = ("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "seed")
MOST_OF_A_TAG = 100_000  # characters


def is_mdx(text: str) -> bool:
    """Whether a text is such a file."""
    return text.startswith("---") and bool(re.search(r"^<(?:User|Bot|Note)\s", text, re.M))


def to_mdx(thread: Record, path: list[Record]) -> str:
    """A branch as such a file."""
    parts = [f"---\ndate: {_stamp(thread['created'], ' ')}\nicon: 0\n---"]
    for message in path:
        when = _stamp(message["created"])
        if message["role"] == "user":
            tag = f'<User id="{message["id"]}" timestamp="{when}" />'
        else:
            properties = [f'id="{message["id"]}"', f'model="{_plain(message["model"] or "")}"']
            if thread["system"]:
                properties.append(f'system="{_plain(thread["system"])}"')
            properties.append(f'timestamp="{when}"')
            chosen = {k: v for k, v in message["settings"].items() if k in CHAIN}
            if chosen:
                properties.append(f"completionParams={{{json.dumps(chosen)}}}")
            tag = "<Bot" + "".join(f"\n\t{text}" for text in properties) + "\n/>"
        lines = message["content"].strip().splitlines()
        text = "\n".join(f" {line}" if line.startswith(TAGS) else line for line in lines)
        parts.append(f"{tag}\n\n{text}")
    return "\n\n".join(parts) + "\n"


def from_mdx(text: str, title: str | None) -> Record:
    """A thread of such a file; notes are left out."""
    lines = text.splitlines()
    head = lines.index("---", 1) if "---" in lines[1:] else 0
    messages: list[Record] = []
    system, tag, body = None, "", list[str]()
    role = ""
    found: dict[str, str] = {}

    def end() -> None:
        if role in ("user", "assistant"):
            parent = messages[-1]["id"] if messages else None
            messages.append(
                {
                    "id": new_id("m"),
                    "parent": parent,
                    "role": role,
                    "content": "\n".join(body).strip(),
                    "model": found.get("model") or None if role == "assistant" else None,
                    "created": _seconds(found.get("timestamp")),
                }
            )

    for line in lines[head + 1 :]:
        if tag or line.startswith(TAGS):
            if not tag:
                end()
                role, body = "", []
            tag += line + "\n"
            if "/>" in line or len(tag) > MOST_OF_A_TAG:
                found = dict(PROPERTY.findall(NUMBERS.sub("", tag[:MOST_OF_A_TAG])))
                role = {"<User": "user", "<Bot": "assistant"}.get(tag.split()[0], "note")
                system = found.get("system") or system
                tag = ""
        else:
            body.append(line)
    end()
    leaf = messages[-1]["id"] if messages else None
    return {"title": title, "system": system, "messages": messages, "leaf": leaf}


def _plain(text: str) -> str:
    """A property's value: no quotation mark or line break may be in it."""
    return " ".join(text.replace('"', "'").replace("/>", "/ >").split())


def _stamp(seconds: float, between: str = "T") -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(between, "milliseconds").replace("+00:00", "Z")


def _seconds(text: str | None) -> float:
    try:
        return datetime.fromisoformat(text or "").timestamp()
    except ValueError:
        return time.time()
