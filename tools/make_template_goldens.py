"""Writes tests/chat/goldens.json: what transformers renders, for each template and conversation.

PYTHON tools/make_template_goldens.py [--check] [FOLDER], with a Python that has transformers (no
torch is needed); --check compares with what is there instead of writing.
The texts are kept as SHA-256, for they hold the templates' own; null where transformers raises.
The date is that of WHEN.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import transformers
from transformers.utils import chat_template_utils

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "tests" / "chat" / "goldens.json"
WHEN = datetime(2026, 2, 3, 14, 5, 6)
NAMES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


class Then(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # noqa: ARG003
        return WHEN


def conversations() -> dict[str, dict[str, Any]]:
    """The cases of the tests."""
    path = ROOT / "tests" / "chat" / "conversations.py"
    spec = importlib.util.spec_from_file_location("conversations", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cases: dict[str, dict[str, Any]] = module.CASES
    return cases


def rendered(source: str, case: dict[str, Any]) -> str | None:
    """What transformers makes of one case."""
    case = copy.deepcopy(case)
    messages, kwargs = case.pop("messages"), case.pop("template_kwargs", {})
    try:
        texts, _ = chat_template_utils.render_jinja_template(
            [messages], chat_template=source, **case, **NAMES, **kwargs
        )
    except Exception as error:
        print(f"    {type(error).__name__}: {str(error)[:100]}", file=sys.stderr)
        return None
    text: str = texts[0]
    return text


def main() -> None:
    chat_template_utils.datetime = Then
    folders = [argument for argument in sys.argv[1:] if argument != "--check"]
    folder = Path(folders[0] if folders else ROOT.parent / "shared" / "data" / "templates")
    found: dict[str, dict[str, str | None]] = {}
    for path in sorted(folder.glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        found[path.stem] = {}
        for name, case in conversations().items():
            print(f"{path.stem}: {name}", file=sys.stderr)
            text = rendered(source, case)
            digest = None if text is None else hashlib.sha256(text.encode()).hexdigest()
            found[path.stem][name] = digest
    if "--check" in sys.argv:
        before = json.loads(OUT.read_text(encoding="utf-8"))["rendered"]
        sys.exit(0 if before == found else "the goldens are not what transformers renders")
    versions = {"transformers": transformers.__version__}
    OUT.write_text(
        json.dumps({"versions": versions, "rendered": found}, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
