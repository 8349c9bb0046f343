"""The pages of docs/api: every public name with its signature and docstring, by griffe2md.

A page for each package that public names come from; tools/generate_docs.py writes and checks them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import griffe
import griffe2md
from griffe2md import default_config

import llmpy

SOURCE = Path(llmpy.__file__).parents[1]
EXTRA = ("apps.dates", "backends", "chains", "testing")  # whose whole `__all__` is public
CONFIG = {
    **default_config,
    "docstring_style": None,  # ours are plain paragraphs
    "heading_level": 2,
    "inherited_members": True,
    "line_length": 100,
    "members_order": "source",
    "show_if_no_docstring": False,
    "show_object_full_path": False,
    "show_root_full_path": False,
    "show_root_members_full_path": False,
    "show_signature_annotations": True,
    "summary": False,
}


def pages(note: str) -> dict[str, str]:
    """Return the text of each page by its path under docs/."""
    package = griffe.load("llmpy", search_paths=[str(SOURCE)], resolve_aliases=True)
    by_page: dict[str, list[griffe.Object]] = defaultdict(list)
    for prefix, names in (("", llmpy.__all__), *((m, _exports(package, m)) for m in EXTRA)):
        for name in names:
            found = package[f"{prefix}.{name}" if prefix else name]
            target = found.final_target if isinstance(found, griffe.Alias) else found
            by_page[prefix or target.canonical_path.split(".")[1]].append(target)
    result = {}
    index = ["# API reference", "", note, "", "Every public name, by the package it is in.", ""]
    for page, objects in sorted(by_page.items()):
        objects.sort(key=lambda o: (o.name.lower(), o.name))
        body = "\n".join(_rendered(o) for o in objects)
        title = f"llmpy.{page}" if page in EXTRA else page
        result[f"api/{page}.md"] = f"# {title}\n\n{note}\n\n{body.rstrip()}\n"
        index += [f"## [{title}]({page}.md)", "", "| name | what it is |", "|---|---|"]
        index += [f"| [`{o.name}`]({page}.md#{o.name.lower()}) | {_first(o)} |" for o in objects]
        index.append("")
    result["api/README.md"] = "\n".join(index).rstrip() + "\n"
    return result


def _exports(package: griffe.Module | griffe.Alias, module: str) -> list[str]:
    return [str(name) for name in package[module].exports or []]


def _rendered(found: griffe.Object) -> str:
    shown = _meant(found)
    text = griffe2md.render_object_docs(shown, CONFIG)  # type: ignore[arg-type]
    if shown is not found:  # a second name, under which it is public
        text = re.sub(rf"\b{shown.name}\b", found.name, text, count=2)
    text = re.sub(r"<code>(.*?)</code>", _without_links, text)  # to anchors of other pages
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _meant(found: griffe.Object) -> griffe.Object:
    """Return the class that an attribute is another name of; anything else as it is."""
    if isinstance(found, griffe.Attribute) and isinstance(found.value, griffe.ExprName):
        meant = found.module.modules_collection[found.value.canonical_path]
        return meant.final_target if isinstance(meant, griffe.Alias) else meant
    return found


def _without_links(match: re.Match[str]) -> str:
    return "`" + re.sub(r"\[(.*?)\]\(#[^)]*\)", r"\1", match[1]) + "`"


def _first(found: griffe.Object) -> str:
    meant = _meant(found)
    doc = meant.docstring.value if meant.docstring else ""
    sentence = re.split(r"(?<=\.)\s", " ".join(doc.split("\n\n")[0].split()))[0]
    return sentence.replace("|", "\\|")
