"""Markdown: the same byte by byte as at once, quick with hostile text, all in its box."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.apps.webapp.browser.scripted import Scripted

DRAW = """async ([text, steps]) => {
    const { MarkdownView } = await import('/web/js/markdown.js');
    const make = () => {
        const element = document.createElement('div');
        element.className = 'prose';
        document.querySelector('#view').append(element);
        return new MarkdownView(element);
    };
    const settle = () => new Promise(r => setTimeout(r, 150));
    const plain = (node) => { // without the order of attributes
        if (node.nodeType !== 1) return node.data;
        const attributes = [...node.attributes].map(a => `${a.name}=${a.value}`).sort().join();
        return `<${node.localName} ${attributes}>${[...node.childNodes].map(plain).join('')}</>`;
    };
    make().finish(text);
    await settle(); // highlighter and formulas are loaded
    const whole = make();
    whole.finish(text);
    const grown = make();
    for (let i = 0; i < text.length; i += steps) grown.grow(text.slice(0, i));
    grown.finish(text);
    await settle();
    return [plain(whole.element), plain(grown.element), grown.element.textContent];
}"""

TEXTS = {
    "everything": (
        "# Title\n\nHello **world**, *all* `code` ~~gone~~, $5 and $6.\n\n- one\n- two\n"
        "  ```python\n  def f(): return 1\n  ```\n\n1. a\n\n   b\n2. c\n\n"
        "| a | b |\n|---|---:|\n| 1 | 2 |\n\n"
        "> quoted\n> more\n\n```js\nlet a = 1;\n```\n---\n[l](https://a.example) end"
    ),
    "formulas": "A\n$$\nx\n\n= 1\n$$\nB \\(a_1\\) C \\[b\n= 2\\] D $$e$$ and $n$\n\n"
    "$$ open\n\nend",
    "open fence": "text\n\n```python\ndef f():\n\n    return 1\n",
    "tildes and long fences": "~~~\na\n```\nb\n~~~\n\n````md\n```\nx\n```\n````\nend",
    "later definitions": "See [this] and [that][1].\n\nText\n\n[this]: https://a.example\n"
    "[1]: https://b.example",
    "setext": "Title\n===\n\nOther\n---\ntext\n* * *\nend",
    "html": "a <b>x</b>\n\n<div>\n\ny\n</div>\n<!-- c -->\nend <script>1</script>",
    "nested": "- a\n  - b\n    - c\n\n      d\n- [ ] e\n- [x] f\n\n> - g\n>   > h",
}  # fmt: skip


@pytest.fixture
def page(scripted: Scripted, tab: Any) -> Any:
    found = tab.open(scripted.url)
    found.wait_for_selector("#input")
    return found


@pytest.mark.parametrize("name", TEXTS)
def test_it_is_the_same_byte_by_byte(page: Any, name: str) -> None:
    whole, grown, _ = page.evaluate(DRAW, [TEXTS[name], 1])
    assert grown == whole


HOSTILE = {
    "a line of 1 MB": "word " * 200_000,
    "a line of 1 MB without a space": "x" * 1_000_000,
    "a fence of 1 MB": "```\n" + "code of some length\n" * 50_000,
    "a table of 2,000 rows": "|a|b|c|\n|-|-|-|\n" + "|1|2|3|\n" * 2000,
    "stars": "*" * 20_000,
    "brackets": "[" * 20_000 + "](x)",
    "backticks": "`a" * 20_000,
    "nested quotes": ">" * 300 + " deep",
    "nested lists": "\n".join(" " * i + "- x" for i in range(200)),
    "underscores": "_a__b" * 8_000,
    "dollars": "$$ x " * 8_000,
    "links": "[a](" * 5_000,
    "entities": "&amp;" * 20_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_drawn_in_time_and_whole(page: Any, name: str) -> None:
    text = HOSTILE[name]
    took = page.evaluate("""async (text) => {
        const { MarkdownView } = await import('/web/js/markdown.js');
        const element = document.createElement('div');
        element.className = 'prose';
        document.querySelector('#view').append(element);
        const start = performance.now();
        const view = new MarkdownView(element);
        view.grow(text.slice(0, text.length / 2));
        view.finish(text);
        window.drawn = element;
        return performance.now() - start;
    }""", text)  # fmt: skip
    assert took < 60_000  # a guard against what grows as the square
    shown = page.evaluate("window.drawn.textContent")
    letters = [c for c in text if c.isalnum()]
    if name not in ("entities", "links"):
        assert sum(c.isalnum() for c in shown) >= len(letters) * 0.99


@pytest.mark.parametrize("growing", [False, True])
def test_wide_things_scroll_in_their_own_box(
    scripted: Scripted, chat: Callable[..., Any], growing: bool
) -> None:
    wide = "|" + "|".join(f"column {i}" for i in range(40)) + "|\n|" + "-|" * 40 + "\n"
    wide += "|" + "|".join("value" for _ in range(40)) + "|\n\n"
    wide += "```\n" + "code " * 200 + "\n```\n\n" + "x" * 500 + "\n\n\\[" + "a+" * 200 + "b\\]"
    thread = scripted.thread("x" * 400, "" if growing else wide)
    page = chat(thread, viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    if growing:
        page.fill("#input", "more")
        page.click(".send")
        run = scripted.run()
        run.text(wide)
    page.wait_for_selector(".prose table")
    page.wait_for_function("() => document.querySelector('.prose math')")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.evaluate("document.querySelector('.scroller').scrollWidth") <= 360
    for box in (".table", ".code pre"):
        assert page.evaluate(
            "s => { const b = document.querySelector(s); return b.scrollWidth > b.clientWidth; }",
            box,
        )


def test_text_in_both_directions_stays_in_its_place(
    scripted: Scripted, chat: Callable[..., Any]
) -> None:
    override = "\u202e\u2067"
    thread = scripted.thread(
        f"{override}question", f"{override}مرحبا `code` عالم\n\n```\nx = 1 {override}# y\n```",
        title=f"{override}title",
    )  # fmt: skip
    page = chat(thread)
    assert page.evaluate("getComputedStyle(document.querySelector('.row .title')).unicodeBidi") == (
        "isolate"
    )
    assert page.get_attribute(".prose p", "dir") == "auto"
    assert page.evaluate("getComputedStyle(document.querySelector('.code')).direction") == "ltr"
    button = page.locator(".code-bar button >> nth=-1").bounding_box()
    code = page.locator(".code").bounding_box()
    assert button["x"] > code["x"] + code["width"] / 2
    assert page.inner_text("#picker").strip() == "small"


def test_the_bar_of_a_long_block_stays_in_view_and_wraps(
    scripted: Scripted, chat: Callable[..., Any]
) -> None:
    code = "```python\n" + "\n".join(f"x{i} = {'1 + ' * 60}1" for i in range(120)) + "\n```"
    page = chat(scripted.thread("Q", code))
    page.wait_for_selector(".code-bar:has-text('python')")
    page.evaluate("document.querySelector('.scroller').scrollTop = 900")
    top = page.locator(".scroller").bounding_box()["y"]
    bar = page.locator(".code-bar").bounding_box()
    assert top <= bar["y"] < top + bar["height"]
    assert page.locator(".code").bounding_box()["y"] < top - 500
    pre = page.locator(".code pre")
    is_wide = "pre => pre.scrollWidth > pre.clientWidth"
    assert pre.evaluate(is_wide)
    page.click(".code-bar [data-do=wrap]")
    assert not pre.evaluate(is_wide)
    assert page.get_attribute(".code-bar [data-do=wrap]", "aria-pressed") == "true"
