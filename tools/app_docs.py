"""How much the page of the app weighs, for docs/app.md: counted from its files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
WEB = ROOT / "src" / "llmpy" / "apps" / "webapp" / "web"
BEGIN = "<!-- weight: written by tools/generate_docs.py -->\n"
END = "<!-- end of weight -->"
NAMED = re.compile(  # what a page, a module or a style needs before it is complete
    r'(?:href|src)="/web/([^"]+)"|^(?:import|export)\b[^;(]*?["\']([^"\']+)["\'];|url\("?([^")]+)"?\)',
    re.MULTILINE,
)


def at_start() -> set[str]:
    """Files of a chat without code and formulas: those that the page names, and so on."""
    found: set[str] = set()
    left = ["index.html"]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        if name.startswith("vendor/") or not name.endswith((".html", ".css", ".js")):
            continue
        folder = (WEB / name).parent
        for by_page, by_module, by_style in NAMED.findall((WEB / name).read_text("utf-8")):
            path = WEB / by_page if by_page else folder / (by_module or by_style)
            left.append(path.resolve().relative_to(WEB).as_posix())
    return found


def rows() -> list[tuple[str, int, str]]:
    """What is loaded, its bytes, and when."""
    start = at_start()
    own = {p.relative_to(WEB).as_posix() for p in WEB.rglob("*") if p.suffix in (".js", ".css")}
    own = {name for name in own if not name.startswith("vendor/")}
    libraries = {name for name in start if name.startswith("vendor/") and name.endswith(".js")}
    fonts = {name for name in start if name.endswith(".woff2")}
    code = ["vendor/highlight/core.min.js", "vendor/highlight/languages/python.min.js"]
    formulas = [f"vendor/{name}" for name in ("temml.min.js", "temml.css", "Temml.woff2")]
    late = "models, settings, logs, settings and menu of a chat, forms, numbers of an answer"
    return [
        ("HTML, CSS and modules of the chat", _size(start - libraries - fonts), "at the start"),
        ("marked, DOMPurify", _size(libraries), "at the start"),
        ("Inter", _size(fonts), "at the start"),
        ("**all of a normal chat**", _size(start), ""),
        (late, _size(own - start), "when one of them is shown"),
        ("highlight.js and one language (Python)", _size(code), "at the first fence that closes"),
        ("Temml", _size(formulas), "at the first formula"),
    ]


def page(text: str) -> str:
    """The page as it is, with the table anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = ["", "| what is loaded | bytes | when |", "|---|---:|---|"]
    lines += [f"| {what} | {size:,} | {when} |" for what, size, when in rows()]
    return before + BEGIN + "\n".join([*lines, "", ""]) + END + after


def _size(names: Iterable[str]) -> int:
    return sum((WEB / name).stat().st_size for name in names)
